/** What other nodes are in the ipcache, as the state changes. */
import { expect, test } from "vitest";
import { formatLabel } from "../identity/label.ts";
import { REMOTE_NODE_RANGE } from "../identity/ranges.ts";
import { createTestAllocator } from "../identity/testing/world.ts";
import { Ipcache } from "../ipcache/ipcache.ts";
import { parsePolicyFile } from "../policy/index.ts";
import { selects, toCandidate } from "../policy/selector.ts";
import { NO_SOURCES } from "../policy/sources.ts";
import { translate } from "../policy/translate/index.ts";
import type { Label } from "../policy/types.ts";
import { NodePrefixes } from "./node-prefixes.ts";
import type { ClusterNode } from "./types.ts";

const node = (name: string, address: string, labels = {}): ClusterNode => ({
  ...{ kind: "node", name, labels },
  addresses: [address],
});

function world(nodeLabels: boolean, refuse = false, cidrMatchesNodes = false) {
  const map = new Map<string, number>();
  const ipcache = new Ipcache({
    upsertIpcache: (prefix, identity) => void map.set(prefix, identity),
    deleteIpcache: (prefix) => void map.delete(prefix),
    listIpcache: () => [],
  });
  const told: string[] = [];
  const acquired: string[] = [];
  const released: number[] = [];
  const state = { all: [] as ClusterNode[], api: [] as string[], untellable: false };
  const prefixes = new NodePrefixes({
    node: "self",
    nodeLabels,
    cidrMatchesNodes,
    ipcache,
    settled: async () => {},
    changed: async (addresses) => {
      if (state.untellable) throw new Error("Cannot tell the proxy: no answer");
      told.push(addresses.join(","));
    },
    state: { nodes: () => state.all, apiServers: () => state.api },
    identities: {
      acquire: async (labels: Iterable<Label>) => {
        if (refuse) throw new Error("Cannot allocate an identity: all numbers are in use");
        const text = [...labels].map(formatLabel).join(",");
        if (!acquired.includes(text)) acquired.push(text);
        return { id: 1000 + acquired.indexOf(text) };
      },
      release: async (id) => void released.push(id),
    },
  });
  return { map, ipcache, told, acquired, released, state, prefixes };
}

test("other nodes are remote-node, those with the API kube-apiserver, this one is not ours", async () => {
  const { map, state, prefixes } = world(false);
  state.all = [node("self", "192.0.2.1"), node("b", "192.0.2.2", { a: "b" }), node("c", "fd00::2")];
  state.api = ["fd00::2", "192.0.2.1"];
  await prefixes.refresh();
  expect([...map]).toEqual([
    ["192.0.2.2/32", 6],
    ["fd00::2/128", 7],
  ]);
  state.all = [node("b", "192.0.2.3")];
  state.api = [];
  await prefixes.refresh();
  expect([...map]).toEqual([["192.0.2.3/32", 6]]);
  expect(prefixes.trouble).toBeUndefined();
});

test("what a node says itself is stronger than a file, and weaker than a pod's agent", async () => {
  const { map, ipcache, state, prefixes } = world(true);
  const says: ClusterNode = { ...node("b", "192.0.2.2", { role: "db" }), isShared: true };
  state.all = [says, node("b", "192.0.2.2", { role: "worker" }), node("c", "192.0.2.3")];
  await prefixes.refresh();
  expect([...map]).toEqual([
    ["192.0.2.2/32", 1000],
    ["192.0.2.3/32", 6],
  ]);
  ipcache.upsert("custom-resource", "192.0.2.2/32", 300);
  expect(map.get("192.0.2.2/32")).toBe(1000);
  ipcache.upsert("kvstore", "192.0.2.2/32", 400);
  expect(map.get("192.0.2.2/32")).toBe(400);
  ipcache.delete("kvstore", "192.0.2.2/32");
  expect(map.get("192.0.2.2/32")).toBe(1000);
  state.all = [node("b", "192.0.2.2")];
  await prefixes.refresh();
  expect([...map]).toEqual([["192.0.2.2/32", 6]]);
  state.all = [];
  await prefixes.refresh();
  expect(map.size).toBe(0);
});

test("where CIDRs select nodes, each address of a node has an identity of its own", async () => {
  const { acquired, state, prefixes } = world(true, false, true);
  state.all = [node("b", "192.0.2.2", { role: "db" }), node("c", "fd00::2")];
  state.api = ["fd00::2"];
  await prefixes.refresh();
  expect(acquired).toEqual([
    "reserved:remote-node,cidr:192.0.2.2/32,node:role=db",
    "reserved:remote-node,reserved:kube-apiserver,cidr:fd00--2/128",
  ]);
});

test("tells of addresses whose rows have changed, of each until it is heard", async () => {
  const { told, state, prefixes } = world(false);
  state.all = [node("b", "192.0.2.2"), node("c", "192.0.2.3")];
  await prefixes.refresh();
  await prefixes.refresh();
  expect(told).toEqual(["192.0.2.2,192.0.2.3", ""]);
  state.untellable = true;
  state.all = [node("b", "192.0.2.2")];
  await expect(prefixes.refresh()).rejects.toThrow("no answer");
  state.untellable = false;
  await prefixes.refresh();
  expect(told.slice(2)).toEqual(["192.0.2.3"]);
});

test("with labels a node has an identity of its own, released when it is gone", async () => {
  const { map, acquired, released, state, prefixes } = world(true);
  state.all = [node("b", "192.0.2.2", { role: "db" }), node("c", "192.0.2.3")];
  await prefixes.refresh();
  expect(acquired).toEqual(["reserved:remote-node,node:role=db"]);
  expect([...map]).toEqual([
    ["192.0.2.2/32", 1000],
    ["192.0.2.3/32", 6],
  ]);
  state.all = [];
  await prefixes.refresh();
  expect(released).toEqual([1000]);
  expect(map.size).toBe(0);
});

test("without a number of its own a node is any node, and it is told", async () => {
  const { map, state, prefixes } = world(true, true);
  state.all = [node("b", "192.0.2.2", { role: "db" }), node("c", "192.0.2.3", { role: "db" })];
  state.api = ["198.51.100.1", "192.0.2.3"];
  await prefixes.refresh();
  expect([...map]).toEqual([
    ["192.0.2.2/32", 6],
    ["192.0.2.3/32", 7],
  ]);
  expect(prefixes.trouble).toBe("Cannot allocate an identity: all numbers are in use");
});

test("policies choose among nodes by any of their labels", async () => {
  const { allocator, close } = createTestAllocator();
  await allocator.start();
  const map = new Map<string, number>();
  const ipcache = new Ipcache({
    upsertIpcache: (prefix, identity) => void map.set(prefix, identity),
    deleteIpcache: (prefix) => void map.delete(prefix),
    listIpcache: () => [],
  });
  const all = ["b", "c"].map((name, index) =>
    node(name, `192.0.2.${index + 2}`, { "kubernetes.io/hostname": name }),
  );
  const state = { nodes: () => all, apiServers: () => [] };
  const settled = async () => {};
  const prefixes = new NodePrefixes({
    ...{ node: "self", nodeLabels: true, ipcache, state, settled, identities: allocator },
    ...{ changed: settled, cidrMatchesNodes: false },
  });
  await prefixes.refresh();
  const rule = { toNodes: [{ matchLabels: { "kubernetes.io/hostname": "b" } }] };
  const { documents } = parsePolicyFile(
    JSON.stringify({
      ...{ apiVersion: "cilium.io/v2", kind: "CiliumNetworkPolicy" },
      metadata: { name: "p", namespace: "shop" },
      spec: { endpointSelector: {}, egress: [rule] },
    }),
    "p.yaml",
    { checkPattern: () => undefined },
  );
  const [document] = documents;
  const rules = document
    ? translate(document, { cluster: "default", revision: 1, sources: NO_SOURCES })
    : [];
  const [peer] = rules.flatMap(({ items }) => items.flatMap(({ peers }) => peers));
  const selected = allocator.list().filter((one) => peer && selects(peer, toCandidate(one)));
  expect(selected.map(({ id }) => id)).toEqual([map.get("192.0.2.2/32")]);
  expect(map.get("192.0.2.2/32")).toBeGreaterThanOrEqual(REMOTE_NODE_RANGE.min);
  close();
});
