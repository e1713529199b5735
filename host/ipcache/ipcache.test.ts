/** The kernel's map always holds the strongest claim to a prefix. */
import { beforeEach, expect, it } from "vitest";
import { Ipcache } from "./ipcache.ts";

let rows: Map<string, number>;
let ipcache: Ipcache;

const over = (kernel: Map<string, number>) =>
  new Ipcache({
    upsertIpcache: (prefix, identity) => void kernel.set(prefix, identity),
    deleteIpcache: (prefix) => void kernel.delete(prefix),
    listIpcache: () => [...kernel].map(([prefix, identity]) => ({ prefix, identity })),
  });

beforeEach(() => {
  rows = new Map();
  ipcache = over(rows);
});

it("a policy's CIDR never takes a pod's address", () => {
  ipcache.upsert("local", "10.0.0.2/32", 256);
  ipcache.upsert("generated", "10.0.0.2/32", 1 << 24);
  expect(rows.get("10.0.0.2/32")).toBe(256);
  ipcache.delete("local", "10.0.0.2/32");
  expect(rows.get("10.0.0.2/32")).toBe(1 << 24);
  ipcache.delete("generated", "10.0.0.2/32");
  expect(rows.size).toBe(0);
});

it("a pod takes an address that a policy named first, and losing the policy changes nothing", () => {
  ipcache.upsert("generated", "fd00:0::2/128", 1 << 24);
  ipcache.upsert("local", "fd00::2/128", 256);
  ipcache.delete("generated", "fd00::2/128");
  expect([...rows]).toEqual([["fd00::2/128", 256]]);
});

it("prune() removes exactly what nobody claims", () => {
  rows.set("10.1.0.0/16", 77);
  rows.set("10.0.0.0/8", 78);
  ipcache = over(rows);
  ipcache.upsert("generated", "10.0.0.0/8", 78);
  expect(ipcache.prune()).toBe(1);
  expect([...rows.keys()]).toEqual(["10.0.0.0/8"]);
  expect(ipcache.prune()).toBe(0);
});

it("what an earlier agent left changes only where another identity is claimed", () => {
  rows.set("10.1.0.1/32", 77);
  rows.set("10.1.0.2/32", 78);
  ipcache = over(rows);
  expect(ipcache.upsert("kvstore", "10.1.0.1/32", 77)).toBe(false);
  expect(ipcache.upsert("kvstore", "10.1.0.2/32", 79)).toBe(true);
  expect(ipcache.delete("kvstore", "10.1.0.1/32")).toBe(true);
  expect([...rows]).toEqual([["10.1.0.2/32", 79]]);
});

it("refuses what is not a prefix", () => {
  expect(() => ipcache.upsert("generated", "10.0.0.1", 1)).toThrow("not a CIDR");
});

it.each([
  ["kube-apiserver", "local"],
  ["local", "kvstore"],
  ["kvstore", "kvstore-node"],
  ["kvstore-node", "custom-resource"],
  ["custom-resource", "k8s"],
  ["k8s", "clustermesh"],
  ["clustermesh", "directory"],
  ["directory", "api"],
  ["api", "generated"],
  ["generated", "restored"],
] as const)("%s is stronger than %s", (strong, weak) => {
  expect(ipcache.upsert(weak, "10.0.0.1/32", 1)).toBe(true);
  expect(ipcache.upsert(strong, "10.0.0.1/32", 2)).toBe(true);
  expect(ipcache.upsert(weak, "10.0.0.1/32", 3)).toBe(false);
  expect(rows.get("10.0.0.1/32")).toBe(2);
  expect(ipcache.delete(strong, "10.0.0.1/32")).toBe(true);
  expect(rows.get("10.0.0.1/32")).toBe(3);
});

it("a row that could not be written is written by the next try", () => {
  let full = true;
  ipcache = new Ipcache({
    upsertIpcache: (prefix, identity) => {
      if (full) throw new Error("full");
      rows.set(prefix, identity);
    },
    deleteIpcache: (prefix) => void rows.delete(prefix),
    listIpcache: () => [],
  });
  expect(() => ipcache.upsert("generated", "203.0.113.7/32", 9)).toThrow("full");
  full = false;
  expect(ipcache.upsert("generated", "203.0.113.7/32", 9)).toBe(true);
  expect([...rows]).toEqual([["203.0.113.7/32", 9]]);
});
