/**
 * Real connections between pods of one node, over both families: what policy lets through, what a
 * live change does to them, and how the hand-over to a transparent proxy looks from both ends.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ALLOW_ALL, entry, Relay, sh, TestNode, type TestPod } from "./testdata/node-client.ts";
import { addOutside, removeOutside, UPLINK } from "./testdata/outside.ts";
import { Peer } from "./testdata/peer.ts";

const TCP = 6;
const UDP = 17;
const DROP = 1;
const TRACE = 4;
const VERDICT = 5;
const TO_PROXY = 1;
const CLIENT = 1001;
const SERVER = 1002;
const OTHER = 1003;
const HOST = 1;
const PORT = 8080;
const BRIEF_PORT = 8090;

const egressAll = entry({ direction: "egress" });

let node: TestNode;
let client: TestPod;
let server: TestPod;
let peers: { client: Peer; server: Peer; other: Peer; host: Peer; outside: Peer };
let relay: Relay | undefined;

const families = [
  { family: 4, at: "ipv4", node: "10.9.0.1", outside: "10.9.9.2" },
  { family: 6, at: "ipv6", node: "fd09::1", outside: "fd09:9::2" },
] as const;

beforeAll(async () => {
  node = new TestNode("imk-t");
  node.create("10.9.0.1", "fd09::1");
  addOutside("imk-t");
  await node.start();
  client = await node.addPod("client", 1, "10.9.1.1", "fd09:1::1", CLIENT);
  server = await node.addPod("server", 2, "10.9.1.2", "fd09:1::2", SERVER);
  const other = await node.addPod("other", 3, "10.9.1.3", "fd09:1::3", OTHER);
  for (const prefix of ["10.9.0.1", "fd09::1", "10.9.9.1", "fd09:9::1"])
    await node.datapath("upsertIpcache", prefix, HOST);
  await node.datapath("attachNetdev", UPLINK);
  peers = {
    client: new Peer(client.netns),
    server: new Peer(server.netns),
    other: new Peer(other.netns),
    host: new Peer(node.netns),
    outside: new Peer("/run/netns/imk-t-outside"),
  };
  for (const host of [server.ipv4, server.ipv6]) {
    for (const port of [PORT, PORT + 1]) await peers.server.listen("tcp", host, port);
    await peers.server.listen("brief", host, BRIEF_PORT);
    await peers.server.listen("udp", host, PORT);
  }
  for (const { node: address, outside } of families) {
    await peers.host.listen("tcp", address, PORT);
    await peers.outside.listen("tcp", outside, PORT);
  }
});

afterAll(async () => {
  for (const peer of Object.values(peers)) await peer.kill();
  const removed = await node.destroy();
  removeOutside("imk-t");
  expect(removed.length).toBeGreaterThan(0);
});

beforeEach(async () => {
  for (const id of [1, 2, 3]) await node.policy(id, ALLOW_ALL);
  await node.events();
});

afterEach(async () => {
  await relay?.kill();
  relay = undefined;
});

async function startRelay(environment: Record<string, string> = {}): Promise<Relay> {
  relay = new Relay(node, environment);
  await relay.ready();
  return relay;
}

const dropsOf = async (): Promise<number[]> =>
  (await node.events()).filter(({ type }) => type === DROP).map(({ subType }) => subType);

describe.each(families)("IPv$family", ({ at, node: nodeAddress, outside, family }) => {
  const allowClient = entry({ identity: CLIENT, protocol: TCP, port: PORT });
  const redirectClient = entry({
    identity: CLIENT,
    protocol: TCP,
    port: PORT,
    redirect: true,
    ruleSet: 77,
    cookie: 5,
  });

  test("allows by identity and port, and tells both verdicts", async () => {
    await node.policy(2, [allowClient]);
    const { id, greeting } = await peers.client.open(server[at], PORT);
    expect(greeting).toMatch(`hello ${client[at]} `);
    expect(await peers.client.exchange(id, "ping")).toBe("ping");
    await peers.client.close(id);
    const verdicts = (await node.events()).filter(({ type }) => type === VERDICT);
    expect(verdicts.map(({ direction, verdict, reason }) => [direction, verdict, reason])).toEqual([
      ["egress", 0, 4],
      ["ingress", 0, 2],
    ]);
  });

  test("drops what no rule allows, with reason 133", async () => {
    await node.policy(2, [allowClient]);
    expect((await peers.client.open(server[at], PORT + 1, { denied: true })).greeting).toBe(
      "timeout",
    );
    expect((await peers.other.open(server[at], PORT, { denied: true })).greeting).toBe("timeout");
    expect(new Set(await dropsOf())).toEqual(new Set([133]));
  });

  test("drops what a rule denies, with reason 181, whatever else allows it", async () => {
    await node.policy(2, [allowClient, entry({ deny: true })]);
    expect((await peers.client.open(server[at], PORT, { denied: true })).greeting).toBe("timeout");
    expect(new Set(await dropsOf())).toEqual(new Set([181]));
  });

  test("lets answers through a default deny, and nothing else", async () => {
    await node.policy(1, [egressAll]);
    await node.policy(2, [allowClient]);
    expect((await peers.client.open(server[at], PORT)).greeting).toMatch("hello");
    expect((await peers.server.open(client[at], PORT, { denied: true })).greeting).toBe("timeout");
  });

  test("polices UDP, answers included", async () => {
    await node.policy(1, [egressAll]);
    await node.policy(2, [entry({ identity: CLIENT, protocol: UDP, port: PORT })]);
    expect(await peers.client.udp(server[at], PORT, "x")).toMatch(`hello ${client[at]} x`);
    expect(await peers.other.udp(server[at], PORT, "x", { denied: true })).toBe("timeout");
  });

  test("lets an ICMP error through to the sender of the packet it is about", async () => {
    await node.policy(1, [egressAll]);
    const ping = `nsenter --net=${client.netns} ping -c1 -W1 -t1 ${outside}`;
    expect(sh(`${ping} || true`)).toMatch(/Time to live exceeded|Time exceeded/);
  });

  test("cuts a live connection when its rule goes", async () => {
    await node.policy(2, [allowClient]);
    const { id } = await peers.client.open(server[at], PORT);
    expect(await peers.client.exchange(id, "before")).toBe("before");
    await node.policy(2, []);
    expect(await peers.client.exchange(id, "after", 400)).toBe("timeout");
    expect(new Set(await dropsOf())).toEqual(new Set([133]));
    await node.policy(2, [allowClient]);
    expect(await peers.client.exchange(id, "")).toBe("");
  });

  test("lets the node reach its pods unless a rule denies it", async () => {
    await node.policy(2, [redirectClient]);
    expect((await peers.host.open(server[at], PORT)).greeting).toMatch("hello");
    await node.policy(2, [entry({ identity: HOST, deny: true })]);
    expect((await peers.host.open(server[at], PORT, { denied: true })).greeting).toBe("timeout");
  });

  test("polices what a pod sends to the node", async () => {
    await node.policy(1, [
      entry({ identity: HOST, direction: "egress", protocol: TCP, port: PORT }),
    ]);
    expect((await peers.client.open(nodeAddress, PORT)).greeting).toMatch("hello");
    await node.policy(1, []);
    expect((await peers.client.open(nodeAddress, PORT, { denied: true })).greeting).toBe("timeout");
  });

  test("polices what comes from outside", async () => {
    await node.policy(2, [entry({ identity: 2, protocol: TCP, port: PORT })]);
    expect((await peers.outside.open(server[at], PORT)).greeting).toMatch(`hello ${outside} `);
    await node.policy(2, [allowClient]);
    expect((await peers.outside.open(server[at], PORT, { denied: true })).greeting).toBe("timeout");
    expect(new Set(await dropsOf())).toEqual(new Set([133]));
  });

  test("hands over with both addresses kept and both identities told", async () => {
    const { accepted } = await startRelay();
    await node.policy(2, [redirectClient]);
    const { id, greeting } = await peers.client.open(server[at], PORT, { localPort: 40_001 });
    expect(greeting).toBe(`hello ${client[at]} 40001`);
    expect(await peers.client.exchange(id, "through the proxy")).toBe("through the proxy");
    await peers.client.close(id);
    expect(accepted).toEqual([
      {
        family,
        source: CLIENT,
        destination: SERVER,
        egressRules: 0,
        ingressRules: 77,
        egressEndpoint: 1,
        ingressEndpoint: 2,
      },
    ]);
    const events = await node.events();
    const proxied = events.filter(({ type, subType }) => type === TRACE && subType === TO_PROXY);
    expect(proxied[0]?.tuple).toMatchObject({ source: client[at], destination: server[at] });
    expect(events.filter(({ type, verdict }) => type === VERDICT && verdict === 1)).toMatchObject([
      { direction: "ingress", cookie: 5, sourceIdentity: CLIENT, destinationIdentity: SERVER },
    ]);
    const row = (await node.datapath("listCt")).find(({ sourcePort }) => sourcePort === 40_001);
    expect(row).toMatchObject({ proxied: true, source: client[at], sourceIdentity: CLIENT });
  });

  test("hands over handshakes with SYN cookies, and a megabyte each way", async () => {
    sh(`nsenter --net=${node.netns} sysctl -qw net.ipv4.tcp_syncookies=2`);
    await startRelay();
    await node.policy(2, [redirectClient]);
    const { id, greeting } = await peers.client.open(server[at], PORT);
    sh(`nsenter --net=${node.netns} sysctl -qw net.ipv4.tcp_syncookies=1`);
    expect(greeting).toMatch(`hello ${client[at]} `);
    const bulk = "0123456789abcdef".repeat(65_536);
    expect((await peers.client.exchange(id, bulk)) === bulk).toBe(true);
  });

  test("hands over once when both ends ask for it", async () => {
    const { accepted } = await startRelay();
    await node.policy(1, [
      entry({ direction: "egress", protocol: TCP, port: PORT, redirect: true, ruleSet: 66 }),
    ]);
    await node.policy(2, [redirectClient]);
    expect((await peers.client.open(server[at], PORT)).greeting).toMatch("hello");
    expect(accepted).toMatchObject([{ egressRules: 66, ingressRules: 77 }]);
  });

  test("finds the proxy again when it took a port of its own", async () => {
    await startRelay({ RELAY_OWN_PORT: "1" });
    await node.policy(2, [redirectClient]);
    const { id, greeting } = await peers.client.open(server[at], PORT, { localPort: 40_002 });
    expect(greeting).toMatch(`hello ${client[at]} `);
    expect(greeting).not.toMatch(/ 40002$/);
    expect(await peers.client.exchange(id, "x")).toBe("x");
  });

  test.each(["fin", "reset"] as const)("serves a client port reused after %s", async (how) => {
    await startRelay();
    await node.policy(2, [redirectClient]);
    for (let round = 0; round < 3; round++) {
      const { id, greeting } = await peers.client.open(server[at], PORT, { localPort: 40_003 });
      expect(greeting).toMatch(`hello ${client[at]} `);
      await peers.client.close(id, how);
      // The client's own kernel keeps the port for a minute after an orderly close.
      sh(`ss -N imk-t-client -K sport = 40003 >/dev/null 2>&1 || true`);
    }
  });

  test("serves a client port reused at once after the server ended the connection", async () => {
    await startRelay();
    await node.policy(2, [
      entry({ identity: CLIENT, protocol: TCP, port: BRIEF_PORT, redirect: true }),
    ]);
    for (let round = 0; round < 3; round++) {
      const { id, greeting } = await peers.client.open(server[at], BRIEF_PORT, {
        localPort: 40_004,
      });
      expect(greeting).toMatch(`hello ${client[at]} `);
      await peers.client.close(id);
    }
  });

  test("drops new connections while no proxy listens, with reason 220", async () => {
    await node.policy(2, [redirectClient]);
    expect((await peers.client.open(server[at], PORT, { denied: true })).greeting).toBe("timeout");
    expect(new Set(await dropsOf())).toEqual(new Set([220]));
  });

  test("ends a proxied connection with its proxy, never passing it raw", async () => {
    const first = await startRelay();
    await node.policy(2, [redirectClient]);
    const { id } = await peers.client.open(server[at], PORT);
    await node.policy(2, [allowClient]);
    expect(await peers.client.exchange(id, "still proxied")).toBe("still proxied");
    await first.kill();
    expect(await peers.client.exchange(id, "gone")).toMatch(/ECONNRESET|EPIPE|closed/);
  });

  test("knows a proxied connection again whose entry was evicted", async () => {
    await startRelay();
    await node.policy(1, [egressAll]);
    await node.policy(2, [redirectClient]);
    const { id } = await peers.client.open(server[at], PORT, { localPort: 40_005 });
    for (const text of ["first", "second"]) {
      await node.call("test", "forgetCt");
      expect(await peers.client.exchange(id, text)).toBe(text);
    }
    const row = (await node.datapath("listCt")).find(({ sourcePort }) => sourcePort === 40_005);
    expect(row).toMatchObject({ proxied: true, source: client[at], destination: server[at] });
    // Not even a policy that would let it pass raw now makes it raw.
    await node.policy(2, ALLOW_ALL);
    await node.call("test", "forgetCt");
    expect(await peers.client.exchange(id, "third")).toBe("third");
    expect(
      (await node.datapath("listCt")).find(({ sourcePort }) => sourcePort === 40_005)?.proxied,
    ).toBe(true);
  });

  test("resets a raw connection when policy now wants the proxy", async () => {
    await node.policy(2, [allowClient]);
    const { id } = await peers.client.open(server[at], PORT);
    await node.policy(2, [redirectClient]);
    await node.events();
    expect(await peers.client.exchange(id, "x")).toBe("ECONNRESET");
    const events = await node.events();
    expect(events.filter(({ type }) => type === DROP)).toMatchObject([{ subType: 221 }]);
    expect(events.filter(({ type }) => type === VERDICT)).toMatchObject([{ verdict: -221 }]);
  });

  test("what only watches ends and refuses no connection", async () => {
    await node.policy(2, [allowClient]);
    const before = await peers.client.open(server[at], PORT);
    await node.policy(2, [{ ...redirectClient, watch: true }]);
    const unseen = await peers.client.open(server[at], PORT);
    const { accepted } = await startRelay();
    const seen = await peers.client.open(server[at], PORT);
    for (const { id } of [before, unseen, seen])
      expect(await peers.client.exchange(id, "x")).toBe("x");
    expect(accepted).toMatchObject([{ source: CLIENT, destination: SERVER }]);
    expect(await dropsOf()).toEqual([]);
  });

  test("hands over what a pod sends to the node itself", async () => {
    const { accepted } = await startRelay();
    await node.policy(1, [
      entry({ identity: HOST, direction: "egress", protocol: TCP, port: PORT, redirect: true }),
    ]);
    const { id, greeting } = await peers.client.open(nodeAddress, PORT);
    expect(greeting).toMatch(`hello ${client[at]} `);
    expect(await peers.client.exchange(id, "x")).toBe("x");
    expect(accepted).toMatchObject([{ source: CLIENT, destination: HOST }]);
  });

  test("never takes a socket of the node for one of the proxy", async () => {
    await startRelay();
    const raw = await peers.client.open(nodeAddress, PORT);
    await node.policy(1, [
      entry({ identity: HOST, direction: "egress", protocol: TCP, port: PORT, redirect: true }),
    ]);
    await node.call("test", "forgetCt");
    expect(await peers.client.exchange(raw.id, "ping", 300)).toBe("ECONNRESET");
  });

  test("hands over what a pod sends outside and what comes from there", async () => {
    const { accepted } = await startRelay();
    const out = entry({ direction: "egress", protocol: TCP, port: PORT, redirect: true });
    await node.policy(1, [out]);
    await node.policy(2, [
      egressAll,
      entry({ identity: 2, protocol: TCP, port: PORT, redirect: true }),
    ]);
    const outbound = await peers.client.open(outside, PORT);
    expect(outbound.greeting).toMatch(`hello ${client[at]} `);
    expect(await peers.client.exchange(outbound.id, "out")).toBe("out");
    const inbound = await peers.outside.open(server[at], PORT);
    expect(inbound.greeting).toMatch(`hello ${outside} `);
    expect(await peers.outside.exchange(inbound.id, "in")).toBe("in");
    expect(accepted).toMatchObject([
      { source: CLIENT, destination: 2, egressEndpoint: 1, ingressEndpoint: 0 },
      { source: 2, destination: SERVER, egressEndpoint: 0, ingressEndpoint: 2 },
    ]);
  });
});
