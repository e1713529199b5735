/** Agents that share an etcd: one number for one set, learning of each other, losing the store. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { EtcdStore } from "../store/etcd/etcd-store.ts";
import type { SharedStore } from "../store/shared-store.ts";
import { SqliteStore } from "../store/sqlite.ts";
import { EtcdServer } from "../store/testing/etcd-server.ts";
import { k8sLabel } from "./label.ts";
import { createTestAllocator, type TestAllocatorOptions } from "./testing/world.ts";

const START_MS = 30_000;
const SOON = { timeout: 10_000, interval: 20 };
let server: EtcdServer;
let stores: SharedStore[] = [];
let closers: (() => void)[] = [];

beforeAll(async () => {
  server = await EtcdServer.start();
}, START_MS);
afterAll(() => server.remove());
afterEach(async () => {
  for (const close of closers) close();
  const [store] = stores;
  for (const prefix of ["cilium/", "imker/"]) {
    const all = await store?.list(prefix);
    await store?.commit({ delete: all?.rows.map(({ key }) => key) ?? [] });
  }
  for (const one of stores) one.close();
  stores = [];
  closers = [];
});

async function agent(node: string, more: TestAllocatorOptions = {}) {
  const shared = new EtcdStore({ endpoints: [server.endpoint] });
  stores.push(shared);
  const made = createTestAllocator({ shared, node, ...more });
  closers.push(made.close);
  await made.allocator.start();
  return made;
}

const label = (n: number) => [k8sLabel("app", String(n))];

describe("agents on one etcd", () => {
  test(
    "agree on one number for one set, whoever is first",
    async () => {
      const agents = await Promise.all(["a", "b", "c", "d", "e"].map((node) => agent(node)));
      const SETS = 20;
      const found = await Promise.all(
        agents.flatMap(({ allocator }, at) =>
          Array.from({ length: SETS }, async (_, i) => {
            const n = (i * 7 + at * 3) % SETS;
            return [n, (await allocator.acquire(label(n))).id] as const;
          }),
        ),
      );
      const numbers = new Map<number, Set<number>>();
      for (const [n, id] of found) numbers.set(n, (numbers.get(n) ?? new Set()).add(id));
      expect([...numbers.values()].map((ids) => ids.size)).toEqual(new Array(SETS).fill(1));
      expect(new Set([...numbers.values()].flatMap((ids) => [...ids])).size).toBe(SETS);
      // And each learns of all of them.
      for (const { allocator } of agents) {
        await expect
          .poll(() => allocator.list().filter(({ id }) => id > 255).length, SOON)
          .toBe(SETS);
      }
      expect(
        server.ctl("get", "--prefix", "--keys-only", "cilium/state/identities/v1/value/"),
      ).toContain("k8s:app=7;/c");
    },
    START_MS,
  );

  test("announce what others allocate and free", async () => {
    const [a, b] = [await agent("a"), await agent("b")];
    const seen: string[] = [];
    b.allocator.onChange(({ added, removed }) => {
      seen.push(...added.map(({ id }) => `+${id}`), ...removed.map((id) => `-${id}`));
    });
    const { id } = await a.allocator.acquire(label(1));
    await expect.poll(() => seen, SOON).toEqual([`+${id}`]);
    expect(b.allocator.get(id)?.labels).toEqual(label(1));
    await a.allocator.release(id);
    a.clock.ms = 100;
    await a.allocator.collect();
    await a.collector.pass();
    // The other does not collect while this one does.
    expect(await b.collector.pass()).toEqual([]);
    a.clock.ms = 500;
    expect(await a.collector.pass()).toEqual([id]);
    await expect.poll(() => seen, SOON).toEqual([`+${id}`, `-${id}`]);
  });

  test("a number that another node uses is never freed", async () => {
    const [a, b] = [await agent("a"), await agent("b")];
    const { id } = await a.allocator.acquire(label(1));
    expect((await b.allocator.acquire(label(1))).id).toBe(id);
    await a.allocator.release(id);
    for (const ms of [100, 500, 900]) {
      a.clock.ms = ms;
      await a.allocator.collect();
      expect(await a.collector.pass()).toEqual([]);
    }
    expect((await a.allocator.acquire(label(1))).id).toBe(id);
  });

  test(
    "a node that dies loses its claims with its lease, the number only by collection",
    async () => {
      const a = await agent("a", { leaseSeconds: 1 });
      const b = await agent("b");
      const { id } = await a.allocator.acquire(label(1));
      a.close();
      await expect
        .poll(() => server.ctl("get", "--prefix", "cilium/state/identities/v1/value/"), SOON)
        .toBe("");
      expect(b.allocator.get(id)).toBeDefined();
      await b.collector.pass();
      b.clock.ms = 500;
      expect(await b.collector.pass()).toEqual([id]);
    },
    START_MS,
  );

  test("a master key deleted by mistake comes back while a node uses it", async () => {
    const a = await agent("a");
    const { id } = await a.allocator.acquire(label(1));
    server.ctl("del", `cilium/state/identities/v1/id/${id}`);
    await expect
      .poll(
        () => server.ctl("get", "--print-value-only", `cilium/state/identities/v1/id/${id}`),
        SOON,
      )
      .toBe("k8s:app=1;\n");
    expect(a.allocator.get(id)).toBeDefined();
  });

  test(
    "without etcd known identities go on, new ones say why, and the watch catches up",
    async () => {
      const memory = new SqliteStore(":memory:");
      const a = await agent("a", { memory });
      const b = await agent("b");
      const one = await a.allocator.acquire(label(1));
      const two = await b.allocator.acquire(label(2));
      await expect.poll(() => a.allocator.get(two.id), SOON).toBeDefined();
      await server.stop();
      expect((await a.allocator.acquire(label(1))).id).toBe(one.id);
      expect(a.allocator.get(two.id)).toBeDefined();
      await expect(a.allocator.acquire(label(3))).rejects.toThrow(
        /^Cannot allocate an identity for k8s:app=3;: etcd does not answer .*; known ones go on$/,
      );
      // An agent that starts now has the numbers that it had, and knows those of others.
      a.close();
      const again = await agent("a", { memory });
      expect((await again.allocator.acquire(label(1))).id).toBe(one.id);
      expect(again.allocator.get(two.id)?.labels).toEqual(label(2));
      await expect(again.allocator.acquire(label(3))).rejects.toThrow("etcd does not answer");
      await server.resume();
      const three = await b.allocator.acquire(label(3));
      await expect.poll(() => again.allocator.get(three.id), SOON).toBeDefined();
      await expect.poll(() => again.leased.trouble, SOON).toBeUndefined();
    },
    START_MS,
  );

  test(
    "what was compacted away meanwhile is seen all the same",
    async () => {
      const b = await agent("b");
      const gone = await b.allocator.acquire(label(1));
      const a = await agent("a");
      expect(a.allocator.get(gone.id)).toBeDefined();
      const seen: string[] = [];
      a.allocator.onChange(({ added, removed }) => {
        seen.push(...added.map(({ id }) => `+${id}`), ...removed.map((id) => `-${id}`));
      });
      await server.stop();
      await server.resume();
      // Before the broken watch is back: a change, and its revisions are forgotten.
      const key = `cilium/state/identities/v1/id/${gone.id}`;
      b.close();
      server.ctl("del", key);
      server.ctl("put", "cilium/state/identities/v1/id/999", "k8s:app=9;");
      const revision = /"revision":(\d+)/.exec(server.ctl("get", "x", "-w", "json"))?.[1];
      server.compact(Number(revision));
      await expect.poll(() => seen, SOON).toEqual([`-${gone.id}`, "+999"]);
    },
    START_MS,
  );

  test(
    "strange keys of others are left alone",
    async () => {
      server.ctl("put", "cilium/state/identities/v1/id/70000", "k8s:app=other-cluster;");
      server.ctl("put", "cilium/state/identities/v1/id/x", "k8s:app=1;");
      server.ctl("put", "cilium/state/identities/v1/value/k8s:app=5;/z", "nonsense");
      const a = await agent("a");
      expect(a.allocator.list().every(({ id }) => id < 256)).toBe(true);
      await expect(a.allocator.acquire(label(5))).rejects.toThrow(
        '/value/k8s:app=5;/z is "nonsense", not a number of this cluster',
      );
    },
    START_MS,
  );
});
