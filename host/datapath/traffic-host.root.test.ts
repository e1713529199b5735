/**
 * The node's own policy on real connections: from outside, to the outside, and between the node and
 * its pods, over both families.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ENDPOINT_HOST } from "./layout.ts";
import { ALLOW_ALL, entry, sh, TestNode, type TestPod } from "./testdata/node-client.ts";
import { addOutside, type Outside, removeOutside, UPLINK } from "./testdata/outside.ts";
import { Peer } from "./testdata/peer.ts";

const NODE = "imk-h";
const TCP = 6;
const DROP = 1;
const POD = 1001;
const WORLD = 2;
const SSH = 8022;
const WEB = 8080;

let node: TestNode;
let pod: TestPod;
let outside: Outside;
let peers: { host: Peer; pod: Peer; outside: Peer };

const families = [
  { family: 4, at: "ipv4", icmp: 1, echo: 8, node: "10.9.9.1", inside: "10.9.0.1" },
  { family: 6, at: "ipv6", icmp: 58, echo: 128, node: "fd09:9::1", inside: "fd09::1" },
] as const;

const egressAll = entry({ direction: "egress" });
const sshOnly = entry({ identity: WORLD, protocol: TCP, port: SSH, cookie: 5 });
const denied = { denied: true };

beforeAll(async () => {
  node = new TestNode(NODE);
  node.create("10.9.0.1", "fd09::1");
  outside = addOutside(NODE);
  await node.start();
  pod = await node.addPod("pod", 1, "10.9.1.1", "fd09:1::1", POD);
  for (const prefix of ["10.9.0.1", "fd09::1", ...outside.gateways])
    await node.datapath("upsertIpcache", prefix, 1);
  await node.datapath("attachNetdev", UPLINK);
  peers = {
    host: new Peer(node.netns),
    pod: new Peer(pod.netns),
    outside: new Peer(outside.netns),
  };
  for (const { at, node: address, inside } of families) {
    for (const port of [SSH, WEB])
      for (const host of [address, inside]) await peers.host.listen("tcp", host, port);
    await peers.outside.listen("tcp", outside[at], WEB);
    await peers.pod.listen("tcp", pod[at], WEB);
  }
});

afterAll(async () => {
  for (const peer of Object.values(peers)) await peer.kill();
  await node.destroy();
  removeOutside(NODE);
});

beforeEach(async () => {
  await node.policy(1, ALLOW_ALL);
  await node.events();
});

afterEach(async () => {
  await node.datapath("removePolicy", ENDPOINT_HOST);
});

const drops = async (): Promise<unknown[]> => {
  const events = (await node.events()).filter(({ type }) => type === DROP);
  return [...new Set(events.map((one) => `${one.endpoint} ${one.direction} ${one.subType}`))];
};

function pings(netns: string, to: string): boolean {
  return sh(`nsenter --net=${netns} ping -c1 -W1 ${to} || true`).includes("1 received");
}

describe.each(families)("IPv$family", ({ at, icmp, echo, node: address, inside }) => {
  const echoOnly = entry({ protocol: icmp, port: echo << 8 });

  test("without a policy everybody may", async () => {
    expect((await peers.outside.open(address, WEB)).greeting).toMatch("hello");
    expect(pings(outside.netns, address)).toBe(true);
  });

  test("from outside: SSH and echo only", async () => {
    await node.policy(ENDPOINT_HOST, [sshOnly, echoOnly, egressAll]);
    const { id, greeting } = await peers.outside.open(address, SSH);
    expect(greeting).toMatch(`hello ${outside[at]} `);
    expect(await peers.outside.exchange(id, "ls")).toBe("ls");
    expect(pings(outside.netns, address)).toBe(true);
    expect(await drops()).toEqual([]);
    expect((await peers.outside.open(address, WEB, denied)).greeting).toBe("timeout");
    // The node's other address is no way round.
    expect((await peers.outside.open(inside, WEB, denied)).greeting).toBe("timeout");
    expect(await drops()).toEqual([`${ENDPOINT_HOST} ingress 133`]);
  });

  test("to the outside: answers need no rule, connections do", async () => {
    await node.policy(ENDPOINT_HOST, [
      entry({ direction: "egress", protocol: TCP, port: WEB }),
      sshOnly,
    ]);
    const { id, greeting } = await peers.host.open(outside[at], WEB);
    expect(greeting).toMatch("hello");
    expect(await peers.host.exchange(id, "GET")).toBe("GET");
    await node.policy(ENDPOINT_HOST, [sshOnly]);
    expect(await peers.host.exchange(id, "GET", 300)).toBe("timeout");
    await peers.host.close(id, "reset");
    expect((await peers.host.open(outside[at], WEB, denied)).greeting).toBe("timeout");
    // What the other side goes on saying on the cut connection is dropped as well.
    expect(await drops()).toContain(`${ENDPOINT_HOST} egress 133`);
    // Its answers still leave.
    expect((await peers.outside.open(address, SSH)).greeting).toMatch("hello");
  });

  test("a rule that denies", async () => {
    await node.policy(ENDPOINT_HOST, [
      ...ALLOW_ALL,
      entry({ identity: WORLD, protocol: TCP, port: WEB, deny: true }),
    ]);
    expect((await peers.outside.open(address, SSH)).greeting).toMatch("hello");
    expect((await peers.outside.open(address, WEB, denied)).greeting).toBe("timeout");
    expect(await drops()).toEqual([`${ENDPOINT_HOST} ingress 181`]);
  });

  test("pods and the node need each other's leave", async () => {
    await node.policy(ENDPOINT_HOST, [
      entry({ identity: POD, protocol: TCP, port: WEB }),
      entry({ identity: POD, direction: "egress", protocol: TCP, port: WEB }),
    ]);
    expect((await peers.pod.open(inside, WEB)).greeting).toMatch("hello");
    expect((await peers.host.open(pod[at], WEB)).greeting).toMatch("hello");
    expect((await peers.pod.open(inside, SSH, denied)).greeting).toBe("timeout");
    await node.policy(ENDPOINT_HOST, []);
    expect((await peers.host.open(pod[at], WEB, denied)).greeting).toBe("timeout");
    expect(await drops()).toEqual([`${ENDPOINT_HOST} ingress 133`, `${ENDPOINT_HOST} egress 133`]);
  });

  test("what a pod sends to many is judged by the node's policy too", async () => {
    const all = at === "ipv4" ? "224.0.0.1" : "ff02::1%eth0";
    const port = at === "ipv4" ? 9994 : 9996;
    await peers.host.listen("udp", at === "ipv4" ? "0.0.0.0" : "::", port);
    expect(await peers.pod.udp(all, port, "x")).toMatch(`hello ${pod[at]}`);
    await node.policy(ENDPOINT_HOST, [egressAll]);
    expect(await peers.pod.udp(all, port, "x", denied)).toBe("timeout");
    expect(await drops()).toEqual([`${ENDPOINT_HOST} ingress 133`]);
  });

  test("pods have their own policy only, whatever the node's", async () => {
    await node.policy(ENDPOINT_HOST, []);
    expect((await peers.outside.open(pod[at], WEB)).greeting).toMatch("hello");
    expect((await peers.pod.open(outside[at], WEB)).greeting).toMatch("hello");
  });

  test("the node may speak to itself", async () => {
    await node.policy(ENDPOINT_HOST, []);
    for (const to of [address, inside])
      expect((await peers.host.open(to, WEB)).greeting).toMatch("hello");
  });

  test("off the interface, off the policy", async () => {
    await node.policy(ENDPOINT_HOST, []);
    expect(await node.datapath("detachNetdev", UPLINK)).toBe(true);
    expect((await peers.outside.open(address, WEB)).greeting).toMatch("hello");
    await node.datapath("attachNetdev", UPLINK);
    expect((await peers.outside.open(address, WEB, denied)).greeting).toBe("timeout");
  });

  test("neighbours are found under a policy that allows nothing", async () => {
    await node.policy(ENDPOINT_HOST, [sshOnly]);
    sh(`ip -n ${NODE} neigh flush dev ${UPLINK}; ip -n ${NODE}-outside neigh flush dev eth0`);
    expect((await peers.outside.open(address, SSH)).greeting).toMatch("hello");
  });
});

test("outlives its agent", async () => {
  await node.policy(ENDPOINT_HOST, [sshOnly]);
  await node.kill();
  const web = (): Promise<string> =>
    peers.outside.open(families[0].node, WEB, denied).then(({ greeting }) => greeting);
  expect(await web()).toBe("timeout");
  await node.start();
  expect(await web()).toBe("timeout");
  await node.datapath("commit");
  expect(await web()).toBe("timeout");
});
