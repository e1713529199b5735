/** Addresses of other nodes: only with an identity that is known and in force, never our own. */
import { pino } from "pino";
import { expect, it } from "vitest";
import { LeasedKeys } from "../store/leased-keys.ts";
import { SqliteSharedStore } from "../store/sqlite-shared.ts";
import { Ipcache } from "./ipcache.ts";
import { SharedAddresses } from "./shared-addresses.ts";

const SOON = { timeout: 5_000, interval: 10 };
const log = pino({ level: "silent" });

function agent(store: SqliteSharedStore, known: Set<number>) {
  const rows = new Map<string, number>();
  const steps: string[] = [];
  const ipcache = new Ipcache({
    upsertIpcache: (prefix, identity) => void rows.set(prefix, identity),
    deleteIpcache: (prefix) => void rows.delete(prefix),
    listIpcache: () => [],
  });
  const leased = new LeasedKeys({ store, log });
  const addresses = new SharedAddresses({
    ...{ store, leased, log, ipcache, hostIp: "192.0.2.1", lingerMs: 100 },
    knows: (identity) => known.has(identity),
    settled: async () => void steps.push(`settled ${rows.size}`),
    changed: async (changed) => void steps.push(`changed ${changed.join(",")}`),
  });
  return { rows, steps, ipcache, addresses };
}

it("what another node publishes is written once the policies know it, and taken away", async () => {
  const store = new SqliteSharedStore(":memory:");
  const known = new Set([300]);
  const [a, b] = [agent(store, known), agent(store, known)];
  await a.addresses.publish({ address: "10.1.0.2", identity: 300, namespace: "x", pod: "one" });
  await a.addresses.publish({ address: "fd00::2", identity: 301, namespace: "x", pod: "two" });
  await b.addresses.start();
  expect([...b.rows]).toEqual([["10.1.0.2/32", 300]]);
  expect(b.steps).toEqual(["settled 0", "changed 10.1.0.2"]);
  known.add(301);
  await expect.poll(() => b.rows.get("fd00::2/128"), SOON).toBe(301);
  await a.addresses.withdraw("10.1.0.2");
  await expect.poll(() => b.rows.has("10.1.0.2/32"), SOON).toBe(false);
  for (const { addresses } of [a, b]) addresses.close();
});

it("a pod of this node is this node's, whoever says what", async () => {
  const store = new SqliteSharedStore(":memory:");
  const known = new Set([300, 400]);
  const before = agent(store, known);
  await before.addresses.publish({ address: "10.1.0.2", identity: 400, namespace: "x", pod: "p" });
  before.addresses.close();
  const { rows, ipcache, addresses } = agent(store, known);
  await addresses.start();
  ipcache.upsert("local", "10.1.0.2/32", 300);
  await addresses.publish({ address: "10.1.0.2", identity: 300, namespace: "x", pod: "p" });
  expect(rows.get("10.1.0.2/32")).toBe(300);
  // When the pod goes nothing stays behind.
  ipcache.delete("local", "10.1.0.2/32");
  expect(rows.size).toBe(0);
  addresses.close();
});

it.each(["", "{", "null", "[]", '{"ID":"x"}', '{"ID":-1}', '{"ID":0}', '{"IP":"10.0.0.1"}'])(
  "leaves %j alone",
  async (value) => {
    const store = new SqliteSharedStore(":memory:");
    const { rows, addresses } = agent(store, new Set([300]));
    for (const key of ["10.1.0.9", "nonsense", "10.0.0.0/33", ""]) {
      await store.commit({ put: [{ key: `cilium/state/ip/v1/default/${key}`, value }] });
    }
    await addresses.start();
    expect(rows.size).toBe(0);
    addresses.close();
  },
);
