/**
 * A real etcd on a bad day: it hangs, has forgotten, is full, revokes a lease, is another one. What
 * is known goes on, the trouble has a name, and all mends by itself.
 */
import { afterEach, beforeEach, expect, test } from "vitest";
import { EtcdStore } from "../store/etcd/etcd-store.ts";
import { SqliteStore } from "../store/sqlite.ts";
import { EtcdServer } from "../store/testing/etcd-server.ts";
import { k8sLabel } from "./label.ts";
import { createTestAllocator } from "./testing/world.ts";

const TEST_MS = 60_000;
const SOON = { timeout: 15_000, interval: 20 };
const QUOTA_BYTES = 400_000;
const IDENTITIES = "cilium/state/identities/v1";

let server: EtcdServer;
const closers: (() => void)[] = [];

beforeEach(async () => {
  server = await EtcdServer.start({ args: ["--quota-backend-bytes", String(QUOTA_BYTES)] });
}, TEST_MS);
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  await server.remove();
});

async function agent(node: string, memory = new SqliteStore(":memory:")) {
  const shared = new EtcdStore({ endpoints: [server.endpoint] });
  const made = createTestAllocator({
    ...{ shared, node, memory, renewalMs: 200, lingerMs: 3_000 },
  });
  closers.push(made.close, () => shared.close());
  await made.allocator.start();
  const seen: string[] = [];
  made.allocator.onChange(({ added, removed }) => {
    seen.push(...added.map(({ id }) => `+${id}`), ...removed.map((id) => `-${id}`));
  });
  return { ...made, seen, memory };
}

const label = (n: number) => [k8sLabel("app", String(n))];
const keys = (): string => server.ctl("get", "--prefix", "--keys-only", IDENTITIES);

/** Two agents that know each other's identity. */
async function pair() {
  const [a, b] = [await agent("a"), await agent("b")];
  const one = await a.allocator.acquire(label(1));
  const two = await b.allocator.acquire(label(2));
  await expect.poll(() => a.allocator.get(two.id), SOON).toBeDefined();
  await expect.poll(() => b.allocator.get(one.id), SOON).toBeDefined();
  a.seen.length = 0;
  b.seen.length = 0;
  return { a, b, one, two };
}

test(
  "one that hangs is named, holds nobody up, and goes on",
  async () => {
    const { a, b, one, two } = await pair();
    server.pause();
    await expect.poll(() => a.leased.trouble, SOON).toMatch(/^etcd does not answer \(.*TIMEOUT/);
    expect(a.allocator.get(two.id)).toBeDefined();
    // An agent that starts now asks once for each of its pods; it does not wait as often.
    a.close();
    const startMs = performance.now();
    const again = await agent("a", a.memory);
    expect((await again.allocator.acquire(label(1))).id).toBe(one.id);
    expect((await again.allocator.acquire(label(2))).id).toBe(two.id);
    for (let n = 10; n < 30; n++) {
      await expect(again.allocator.acquire(label(n))).rejects.toThrow("etcd does not answer");
    }
    expect(performance.now() - startMs).toBeLessThan(20_000);
    server.proceed();
    await expect.poll(() => again.leased.trouble, SOON).toBeUndefined();
    await expect.poll(() => b.leased.trouble, SOON).toBeUndefined();
    const three = await b.allocator.acquire(label(3));
    await expect.poll(() => again.allocator.get(three.id), SOON).toBeDefined();
  },
  TEST_MS,
);

test(
  "what was deleted and forgotten while it was away goes, and nothing else",
  async () => {
    const { a, one, two } = await pair();
    await server.stop();
    await expect.poll(() => a.leased.trouble, SOON).toContain("etcd does not answer");
    await server.resume();
    server.ctl("del", `${IDENTITIES}/id/${two.id}`);
    for (const closed of closers.splice(2)) closed();
    server.ctl("del", "--prefix", `${IDENTITIES}/value/k8s:app=2;`);
    server.ctl("put", `${IDENTITIES}/id/999`, "k8s:app=9;");
    const revision = /"revision":(\d+)/.exec(server.ctl("get", "x", "-w", "json"))?.[1];
    server.compact(Number(revision));
    await expect.poll(() => a.seen, SOON).toEqual(["+999", `-${two.id}`]);
    expect(a.allocator.get(one.id)).toBeDefined();
    expect(keys()).toContain("value/k8s:app=1;/a");
  },
  TEST_MS,
);

test(
  "one at its quota is named before anything is refused; known sets go on, over a restart too",
  async () => {
    const { a, one, two } = await pair();
    const fill = "x".repeat(QUOTA_BYTES / 10);
    expect(() => {
      for (let n = 0; n < 30; n++) server.ctl("put", `fill/${n}`, fill);
    }).toThrow("database space exceeded");
    await expect.poll(() => a.leased.trouble, SOON).toMatch(/takes no changes \(.*NOSPACE/);
    await expect(a.allocator.acquire(label(3))).rejects.toThrow(
      /^Cannot allocate an identity for k8s:app=3;: etcd takes no changes .*; known ones go on$/,
    );
    expect((await a.allocator.acquire(label(2))).id).toBe(two.id);
    a.close();
    const again = await agent("a", a.memory);
    expect((await again.allocator.acquire(label(1))).id).toBe(one.id);
    server.ctl("del", "--prefix", "fill/");
    const revision = /"revision":(\d+)/.exec(server.ctl("get", "x", "-w", "json"))?.[1];
    server.ctl("compaction", "--physical", String(revision));
    server.ctl("defrag");
    server.ctl("alarm", "disarm");
    await expect.poll(() => again.leased.trouble, SOON).toBeUndefined();
    const three = await again.allocator.acquire(label(3));
    expect(keys()).toContain(`id/${three.id}`);
  },
  TEST_MS,
);

test(
  "a lease revoked by hand: its keys come back, and no other agent notices",
  async () => {
    const { a, b, one } = await pair();
    for (const line of server.ctl("lease", "list").split("\n").slice(1)) {
      if (line.trim() !== "") server.ctl("lease", "revoke", line.trim());
    }
    await expect.poll(keys, SOON).toContain("value/k8s:app=1;/a");
    await expect.poll(keys, SOON).toContain("value/k8s:app=2;/b");
    expect(keys()).toContain(`id/${one.id}`);
    expect([a.seen, b.seen, a.leased.trouble]).toEqual([[], [], undefined]);
  },
  TEST_MS,
);

test.each([
  ["another cluster", "another"],
  ["one of the same name", "first"],
])(
  "emptied, and %s: all is written again, nobody is forgotten but those who are gone",
  async (_what, token) => {
    const { a, b, one, two } = await pair();
    const c = await agent("c");
    const three = await c.allocator.acquire(label(3));
    for (const { allocator } of [a, b])
      await expect.poll(() => allocator.get(three.id), SOON).toBeDefined();
    c.close();
    a.seen.length = 0;
    b.seen.length = 0;
    await server.wipe(token);
    await expect.poll(keys, SOON).toContain(`id/${one.id}`);
    await expect.poll(keys, SOON).toContain(`id/${two.id}`);
    await expect.poll(() => a.seen, SOON).toEqual([`-${three.id}`]);
    await expect.poll(() => b.seen, SOON).toEqual([`-${three.id}`]);
    // The watches are of the new one.
    const four = await b.allocator.acquire(label(4));
    await expect.poll(() => a.allocator.get(four.id), SOON).toBeDefined();
    expect(four.id).not.toBe(three.id);
    for (const { leased } of [a, b]) await expect.poll(() => leased.trouble, SOON).toBeUndefined();
  },
  TEST_MS,
);
