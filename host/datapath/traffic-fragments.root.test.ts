/**
 * Real datagrams that do not fit into one packet, and live connections of every protocol that lose
 * their rule, over both families.
 */
import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ALLOW_ALL, entry, sh, TestNode, type TestPod } from "./testdata/node-client.ts";
import { addOutside, type Outside, removeOutside, UPLINK } from "./testdata/outside.ts";
import { Peer } from "./testdata/peer.ts";
import type { PolicyMapEntry } from "./types.ts";

const NODE = "imk-f";
const TCP = 6;
const UDP = 17;
const DROP = 1;
const VERDICT = 5;
const CLIENT = 1001;
const SERVER = 1002;
const WORLD = 2;
const PORT = 8080;
const LARGE = "0123456789abcdef".repeat(512);
const LARGE_PING = 4000;

let node: TestNode;
let client: TestPod;
let server: TestPod;
let outside: Outside;
let peers: { client: Peer; server: Peer; outside: Peer };

const families = [
  { family: 4, at: "ipv4", icmp: 1, echo: 8, node: "10.9.0.1" },
  { family: 6, at: "ipv6", icmp: 58, echo: 128, node: "fd09::1" },
] as const;

beforeAll(async () => {
  node = new TestNode(NODE);
  node.create("10.9.0.1", "fd09::1");
  outside = addOutside(NODE);
  await node.start();
  client = await node.addPod("client", 1, "10.9.1.1", "fd09:1::1", CLIENT);
  server = await node.addPod("server", 2, "10.9.1.2", "fd09:1::2", SERVER);
  for (const prefix of ["10.9.0.1", "fd09::1", ...outside.gateways])
    await node.datapath("upsertIpcache", prefix, 1);
  await node.datapath("attachNetdev", UPLINK);
  peers = {
    client: new Peer(client.netns),
    server: new Peer(server.netns),
    outside: new Peer(outside.netns),
  };
  for (const { at } of families) {
    await peers.server.listen("udp", server[at], PORT);
    await peers.server.listen("tcp", server[at], PORT);
    await peers.outside.listen("udp", outside[at], PORT);
  }
});

afterAll(async () => {
  for (const peer of Object.values(peers)) await peer.kill();
  await node.destroy();
  removeOutside(NODE);
});

beforeEach(async () => {
  for (const id of [1, 2]) await node.policy(id, ALLOW_ALL);
  await node.events();
});

/** Reasons, without TCP: what is left of a connection that was cut goes on trying for a while. */
async function dropsOf(): Promise<number[]> {
  const events = await node.events();
  const drops = events.filter(({ type, tuple }) => type === DROP && tuple.protocol !== TCP);
  return [...new Set(drops.map(({ subType }) => subType))];
}

/** Answers received of `count` echo requests. */
function ping(netns: string, to: string, bytes: number): number {
  const said = sh(`nsenter --net=${netns} ping -c2 -i0.2 -W1 -s${bytes} ${to} || true`);
  return Number(/(\d+) received/.exec(said)?.[1]);
}

describe.each(families)("IPv$family", ({ at, icmp, echo, node: nodeAddress }) => {
  const udpOf = (identity: number): PolicyMapEntry =>
    entry({ identity, protocol: UDP, port: PORT });
  const echoOf = (fields: Partial<PolicyMapEntry>): PolicyMapEntry =>
    entry({ protocol: icmp, port: echo << 8, ...fields });

  test("8 KiB of UDP pass by identity and port, and so does the answer", async () => {
    await node.policy(1, [{ ...udpOf(SERVER), direction: "egress" }]);
    await node.policy(2, [udpOf(CLIENT)]);
    const answer = await peers.client.udp(server[at], PORT, LARGE);
    expect(answer).toBe(`hello ${client[at]} ${LARGE}`);
    expect(await dropsOf()).toEqual([]);
    await node.policy(2, [udpOf(77)]);
    expect(await peers.client.udp(server[at], PORT, LARGE, { denied: true })).toBe("timeout");
    expect(await dropsOf()).toEqual([133]);
  });

  test("8 KiB of UDP from outside and to the outside", async () => {
    await node.policy(1, [{ ...udpOf(WORLD), direction: "egress" }]);
    await node.policy(2, [udpOf(WORLD)]);
    const out = await peers.client.udp(outside[at], PORT, LARGE);
    expect(out).toBe(`hello ${client[at]} ${LARGE}`);
    const back = await peers.outside.udp(server[at], PORT, LARGE);
    expect(back).toBe(`hello ${outside[at]} ${LARGE}`);
    expect(await dropsOf()).toEqual([]);
  });

  test("large echo requests pass by their type", async () => {
    await node.policy(1, [echoOf({ direction: "egress" })]);
    await node.policy(2, [echoOf({ identity: CLIENT })]);
    expect(ping(client.netns, server[at], LARGE_PING)).toBe(2);
    expect(await dropsOf()).toEqual([]);
    // Nobody may ask the client.
    expect(ping(server.netns, client[at], LARGE_PING)).toBe(0);
    expect(await dropsOf()).toEqual([133]);
  });

  test("large echo requests between a pod and its node", async () => {
    await node.policy(1, [echoOf({ identity: 1, direction: "egress" })]);
    expect(ping(client.netns, nodeAddress, LARGE_PING)).toBe(2);
    expect(ping(node.netns, client[at], LARGE_PING)).toBe(2);
    expect(await dropsOf()).toEqual([]);
  });

  describe.each([
    ["the sender's egress rule", 1, "egress"],
    ["the receiver's ingress rule", 2, "ingress"],
  ] as const)("live connections end with %s", (_name, endpoint, direction) => {
    const told = async (): Promise<unknown[]> => {
      const events = await node.events();
      const verdicts = events.filter(({ type, verdict }) => type === VERDICT && verdict < 0);
      return [...new Set(verdicts.map((one) => `${one.direction} ${one.verdict}`))];
    };
    const deny = entry({ direction, deny: true });
    test.each([
      ["without a rule", [], -133],
      ["by a rule", [...ALLOW_ALL, deny], -181],
    ])("UDP, %s", async (_how, policy, verdict) => {
      const sameOne = { localPort: 40_011 };
      const again = (more = {}): Promise<string> =>
        peers.client.udp(server[at], PORT, "x", { ...sameOne, ...more });
      expect(await again()).toBe(`hello ${client[at]} x`);
      await node.policy(endpoint, policy);
      expect(await again({ denied: true })).toBe("timeout");
      expect(await told()).toEqual([`${direction} ${verdict}`]);
      await node.policy(endpoint, ALLOW_ALL);
      expect(await again()).toBe(`hello ${client[at]} x`);
    });

    test("TCP", async () => {
      const rule = entry({ direction, protocol: TCP, port: PORT });
      await node.policy(endpoint, [rule]);
      const { id } = await peers.client.open(server[at], PORT);
      expect(await peers.client.exchange(id, "before")).toBe("before");
      await node.policy(endpoint, [entry({ ...rule, port: PORT + 1 })]);
      expect(await peers.client.exchange(id, "after", 300)).toBe("timeout");
      expect(await told()).toEqual([`${direction} -133`]);
      await peers.client.close(id, "reset");
    });

    test("echo", async () => {
      await node.policy(endpoint, [echoOf({ direction })]);
      const command = [`--net=${client.netns}`, "ping", "-c4", "-i0.3", "-W1", server[at]];
      const running = spawn("nsenter", command, { stdio: ["ignore", "pipe", "ignore"] });
      let said = "";
      running.stdout.on("data", (data) => {
        said += data;
      });
      const ended = new Promise((resolve) => running.once("close", resolve));
      await sleep(450);
      await node.policy(endpoint, []);
      await ended;
      expect(said).toMatch(/4 packets transmitted, 2 received/);
      expect(await told()).toEqual([`${direction} -133`]);
    });
  });
});
