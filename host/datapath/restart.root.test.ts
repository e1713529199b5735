/**
 * The owner of the datapath dies, comes back, comes back with another map layout: enforcement has
 * no gap in either direction, connections live on, and uninstall leaves nothing.
 */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ABI_VERSION } from "./layout.ts";
import { ALLOW_ALL, entry, sh, TestNode, type TestPod } from "./testdata/node-client.ts";
import { Peer } from "./testdata/peer.ts";

const TCP = 6;
const CLIENT = 1001;
const PORT = 8080;
const HAMMER_MS = 1_500;

let node: TestNode;
let client: TestPod;
let server: TestPod;
let other: TestPod;
let peers: { client: Peer; server: Peer; other: Peer; steady: Peer };

beforeAll(async () => {
  node = new TestNode("imk-r");
  node.create("10.9.0.1", "fd09::1");
  await node.start();
  client = await node.addPod("client", 1, "10.9.1.1", "fd09:1::1", CLIENT);
  server = await node.addPod("server", 2, "10.9.1.2", "fd09:1::2", 1002);
  other = await node.addPod("other", 3, "10.9.1.3", "fd09:1::3", 1003);
  await writePolicies();
  peers = {
    client: new Peer(client.netns),
    server: new Peer(server.netns),
    other: new Peer(other.netns),
    steady: new Peer(client.netns),
  };
  await peers.server.listen("tcp", server.ipv4, PORT);
  await peers.server.listen("tcp", server.ipv6, PORT);
});

afterAll(async () => {
  for (const peer of Object.values(peers)) await peer.kill();
});

async function writePolicies(): Promise<void> {
  await node.policy(1, ALLOW_ALL);
  await node.policy(2, [entry({ identity: CLIENT, protocol: TCP, port: PORT })]);
  await node.policy(3, ALLOW_ALL);
}

/** What an agent does after it has read its own store. */
async function restore(versions: Record<string, number>): Promise<void> {
  await node.start(versions);
  for (const pod of [client, server, other]) await node.datapath("upsertEndpoint", pod);
  await writePolicies();
  await node.datapath("commit");
}

const nextVersions = (raise: number): Record<string, number> =>
  Object.fromEntries(Object.entries(ABI_VERSION).map(([name, now]) => [name, now + raise]));

describe("restart", () => {
  test.each([
    ["with the same maps", {}],
    ["with every map of a new version", nextVersions(1)],
    ["back to the older version", {}],
    ["with only the policy map of a new version", { policies: 3 }],
  ])("kill -9 and start %s: no gap, no hole", async (_name, versions) => {
    const { id } = await peers.steady.open(server.ipv6, PORT);
    expect(await peers.steady.exchange(id, "before")).toBe("before");
    const allowed = peers.client.hammer(server.ipv4, PORT, HAMMER_MS);
    const denied = peers.other.hammer(server.ipv4, PORT, HAMMER_MS);
    await node.kill();
    await restore(versions);
    const passed = await allowed;
    expect(passed.served).toBe(passed.tried);
    expect((await denied).served).toBe(0);
    expect(await peers.steady.exchange(id, "after")).toBe("after");
    const files = readdirSync(`${node.bpffs}/maps`);
    expect(files).toHaveLength(Object.keys(ABI_VERSION).length);
  });

  test("enforces while nobody owns it", async () => {
    await node.kill();
    const denied = await peers.other.open(server.ipv4, PORT, { denied: true });
    expect(denied.greeting).toBe("timeout");
    expect((await peers.client.open(server.ipv4, PORT)).greeting).toMatch("hello");
    await node.start({ policies: 3 });
    expect((await node.datapath("listEndpoints")).map(({ id }) => id).sort()).toEqual([1, 2, 3]);
    expect(await node.datapath("listPolicy", 2)).toMatchObject([{ identity: CLIENT, port: PORT }]);
  });

  test("an endpoint that was deleted is cut off, not set free", async () => {
    await node.datapath("deleteEndpoint", 1);
    const cut = await peers.client.open(server.ipv4, PORT, { denied: true });
    expect(cut.greeting).toBe("timeout");
    expect((await node.datapath("listCt")).map(({ source }) => source)).not.toContain(client.ipv4);
  });

  test("a layout that changed without its version is refused", async () => {
    await node.kill();
    const path = `${node.bpffs}/maps/config`;
    sh(`rm ${path}@2; bpftool map create ${path}@2 type array key 4 value 20 entries 1 name x`);
    await expect(node.start({ policies: 3 })).rejects.toThrow(/same version/);
    await node.kill();
    sh(`rm ${path}@2`);
    await node.start({ policies: 3 });
  });

  test("uninstall needs no start and leaves nothing", async () => {
    await node.kill();
    node.launch({ policies: 3 });
    const removed = await node.destroy();
    expect(removed.filter((line) => line.startsWith("map"))).toHaveLength(12);
    expect(removed.filter((line) => line.startsWith("link"))).not.toHaveLength(0);
    expect(removed.filter((line) => /rule|route/.test(line))).toHaveLength(4);
    expect(sh("ls /sys/fs/bpf")).not.toMatch(/imk-r\b/);
    expect(sh("ip netns list")).not.toMatch(/imk-r/);
  });
});
