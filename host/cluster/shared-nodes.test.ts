/** Nodes that tell each other of themselves: what is written, what is believed, when it goes. */
import { pino } from "pino";
import { afterEach, beforeEach, expect, it } from "vitest";
import { LeasedKeys } from "../store/leased-keys.ts";
import { SqliteSharedStore } from "../store/sqlite-shared.ts";
import { SharedNodes } from "./shared-nodes.ts";
import { ClusterState } from "./state.ts";

const SOON = { timeout: 5_000, interval: 10 };
const KEY = "cilium/state/nodes/v1/hive/";
const log = pino({ level: "silent" });

let store: SqliteSharedStore;
const open: { close(): void }[] = [];
beforeEach(() => {
  store = new SqliteSharedStore(":memory:");
});
afterEach(() => {
  for (const one of open.splice(0)) one.close();
  store.close();
});

function agent(node: string) {
  const leases: string[] = [];
  const state = new ClusterState();
  const leased = new LeasedKeys({ store, log });
  const nodes = new SharedNodes({
    ...{ store, log, node, cluster: "hive", clusterId: 3, bootId: "b" },
    ...{ ipv4Pool: "10.244.1.9/25", ipv6Pool: "fd00:244::/112", lingerMs: 100 },
    leased: {
      holdLater: (key, write) =>
        leased.holdLater(key, (lease) => {
          leases.push(lease);
          return write(lease);
        }),
    },
    replace: (others) => state.replaceShared(others),
  });
  open.push(nodes, leased);
  return { leases, state, nodes };
}

const put = (name: string, value: unknown) =>
  store.commit({
    put: [{ key: KEY + name, value: typeof value === "string" ? value : JSON.stringify(value) }],
  });

it("is written as Cilium's agents write it", async () => {
  const { nodes, leases } = agent("a");
  await nodes.publish({ addresses: ["192.0.2.1", "2001:db8::1"], labels: { zone: "x" } });
  const { rows } = await store.list("cilium/");
  expect(rows.map(({ key, value }) => [key, JSON.parse(value)])).toMatchObject([
    [
      `${KEY}a`,
      {
        ...{ Name: "a", Cluster: "hive", ClusterID: 3, Source: "local", BootID: "b" },
        IPAddresses: [
          { Type: "InternalIP", IP: "192.0.2.1" },
          { Type: "InternalIP", IP: "2001:db8::1" },
        ],
        IPv4AllocCIDR: { IP: "10.244.1.0", Mask: "////gA==" },
        IPv6AllocCIDR: { IP: "fd00:244::", Mask: "//////////////////8AAA==" },
        ...{ Labels: { zone: "x" }, EncryptionKey: 0, WireguardPubKey: "" },
      },
    ],
  ]);
  await nodes.publish({ labels: { zone: "x" }, addresses: ["192.0.2.1", "2001:db8::1"] });
  expect(leases).toHaveLength(1);
  await nodes.publish({ labels: {}, addresses: ["192.0.2.1"] });
  expect(leases).toHaveLength(2);
});

it("others know it, also as it changes, until its lease ends", async () => {
  const [a, b] = [agent("a"), agent("b")];
  await a.nodes.publish({ addresses: ["192.0.2.1"], labels: { zone: "x" } });
  await Promise.all([a.nodes.start(), b.nodes.start()]);
  expect(a.state.nodes()).toEqual([]);
  const known = { kind: "node", name: "a", isShared: true };
  expect(b.state.nodes()).toEqual([{ ...known, labels: { zone: "x" }, addresses: ["192.0.2.1"] }]);
  await a.nodes.publish({ addresses: ["192.0.2.7"], labels: {} });
  await expect
    .poll(() => b.state.nodes(), SOON)
    .toEqual([{ ...known, labels: {}, addresses: ["192.0.2.7"] }]);
  a.nodes.close();
  await store.revokeLease(a.leases[0] ?? "");
  await expect.poll(() => b.state.nodes(), SOON).toEqual([]);
});

it.each<[string, string, unknown]>([
  ["no JSON", "x", "{"],
  ["no object", "x", "null"],
  ["no name", "x", { Cluster: "hive", IPAddresses: [] }],
  ["another node's name", "x", { Name: "b", Cluster: "hive" }],
  ["this node's name", "self/x", { Name: "self", Cluster: "hive" }],
  ["labels that are none", "x", { Name: "x", Cluster: "hive", Labels: { a: 1 } }],
  [
    "too many addresses",
    "x",
    { Name: "x", Cluster: "hive", IPAddresses: Array(257).fill({ Type: "InternalIP", IP: "::1" }) },
  ],
])("does not take up %s", async (_name, key, value) => {
  await put(key, value);
  await put("good", { Name: "good", Cluster: "hive" });
  const { nodes, state } = agent("self");
  await nodes.start();
  expect(state.nodes().map(({ name }) => name)).toEqual(["good"]);
});

it("takes addresses that are a node's own, of Cilium's agents too", async () => {
  const addresses = [
    { Type: "InternalIP", IP: "192.0.2.1" },
    { Type: "ExternalIP", IP: "203.0.113.1" },
    { Type: "CiliumInternalIP", IP: "10.0.1.5" },
    { Type: "InternalIP", IP: "nonsense" },
  ];
  await put("x", { Name: "x", Cluster: "hive", IPAddresses: addresses, Labels: null });
  await put("self", { Name: "self", Cluster: "hive", IPAddresses: addresses });
  await store.commit({ put: [{ key: "cilium/state/nodes/v1/other/y", value: "{}" }] });
  const { nodes, state } = agent("self");
  await nodes.start();
  expect(state.nodes().map(({ name, addresses: own }) => [name, own])).toEqual([
    ["x", ["10.0.1.5", "192.0.2.1"]],
  ]);
});
