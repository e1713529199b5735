/** One node: numbers for label sets, their users, restarts, fixed numbers and ranges. */
import { describe, expect, test } from "vitest";
import { idKey, valueKey } from "./keys.ts";
import { formatLabel, k8sLabel, labelSetKey, parseLabel } from "./label.ts";
import { createLabelFilter, filterLabels } from "./label-filter.ts";
import { podLabels } from "./pod-labels.ts";
import { checkCluster, clusterRange, identityKind } from "./ranges.ts";
import { fixedIdentities, parseFixedIdentityMapping } from "./reserved.ts";
import { createTestAllocator } from "./testing/world.ts";

const web = podLabels({ namespace: "default", labels: { app: "web", "pod-template-hash": "1" } });
const web2 = podLabels({ namespace: "default", labels: { app: "web", "pod-template-hash": "2" } });
const db = podLabels({ namespace: "default", labels: { app: "db" } });
const labels = (...texts: string[]) => texts.map((text) => parseLabel(text));
const net10 = labels("cidr:10.0.0.0/8", "reserved:world-ipv4");
const keyOf = (labels: typeof web): string =>
  labelSetKey(filterLabels(labels, createLabelFilter()));

describe("IdentityAllocator", () => {
  test("gives equal sets one number and different sets different ones", async () => {
    const { allocator } = createTestAllocator();
    const all = await Promise.all([web, web2, db, web].map((labels) => allocator.acquire(labels)));
    expect(all.map(({ id }) => id)).toEqual([256, 256, 257, 256]);
    expect(allocator.get(256)?.labels.some(({ key }) => key === "pod-template-hash")).toBe(false);
    expect(allocator.list().map(({ id }) => id)).toEqual(expect.arrayContaining([1, 9, 256, 257]));
  });

  test("writes Cilium's keys: the number's labels, and the node that uses it", async () => {
    const { allocator, shared } = createTestAllocator();
    await allocator.acquire(web);
    const key = keyOf(web);
    expect(key).toMatch(/^k8s:app=web;k8s:io\.cilium\.k8s\.namespace\.labels\./);
    expect((await shared.get("cilium/state/identities/v1/id/256"))?.value).toBe(key);
    const node = await shared.get(`cilium/state/identities/v1/value/${key}/node-a`);
    expect(node?.value).toBe("256");
  });

  test("frees a number after its last user, the delay, and two passes a heartbeat apart", async () => {
    const { allocator, collector, clock, shared } = createTestAllocator();
    await allocator.start();
    await allocator.acquire(web);
    await allocator.acquire(web);
    await allocator.release(256);
    clock.ms = 1000;
    expect(await allocator.collect()).toEqual([]);
    await allocator.release(256);
    clock.ms = 1099;
    expect(await allocator.collect()).toEqual([]);
    expect((await allocator.acquire(web)).id).toBe(256);
    await allocator.release(256);
    clock.ms = 1199;
    expect(await collector.pass()).toEqual([]);
    expect(await allocator.collect()).toEqual([256]);
    expect(await shared.get(valueKey(keyOf(web), "node-a"))).toBeUndefined();
    expect(await collector.pass()).toEqual([]);
    clock.ms = 1298;
    expect(await collector.pass()).toEqual([]);
    clock.ms = 1299;
    expect(await collector.pass()).toEqual([256]);
    await expect.poll(() => allocator.get(256)).toBeUndefined();
    expect((await allocator.acquire(db)).id).toBe(257);
  });

  test("a number that comes into use between two passes stays", async () => {
    const { allocator, collector, clock, shared } = createTestAllocator();
    await allocator.acquire(web);
    await allocator.release(256);
    clock.ms = 100;
    await allocator.collect();
    await collector.pass();
    expect((await allocator.acquire(web)).id).toBe(256);
    clock.ms = 500;
    expect(await collector.pass()).toEqual([]);
    expect(await shared.get(idKey(256))).toBeDefined();
  });

  test("announces what comes and goes, in order", async () => {
    const { allocator, clock } = createTestAllocator();
    const seen: string[] = [];
    allocator.onChange(({ added, removed }) => {
      seen.push(...added.map(({ id }) => `+${id}`), ...removed.map((id) => `-${id}`));
    });
    await allocator.acquire(web);
    await allocator.acquire(web);
    const { id } = await allocator.acquire(net10);
    expect(seen).toEqual(["+256", `+${id}`]);
    await allocator.release(id);
    clock.ms = 100;
    await allocator.collect();
    expect(seen).toEqual(["+256", `+${id}`, `-${id}`]);
  });

  test("keeps numbers over a restart; local ones wait a while for their users", async () => {
    const { allocator, shared, store } = createTestAllocator();
    await allocator.acquire(web);
    const cidr = await allocator.acquire(net10);
    await allocator.acquire(labels("cidr:10.1.0.0/16", "reserved:world-ipv4"));
    const next = createTestAllocator({ shared, store });
    await next.allocator.start();
    expect((await next.allocator.acquire(db)).id).toBe(257);
    expect((await next.allocator.acquire(web)).id).toBe(256);
    expect((await next.allocator.acquire(net10)).id).toBe(cidr.id);
    next.clock.ms = 999;
    expect(await next.allocator.collect()).toEqual([]);
    next.clock.ms = 1_000;
    expect(await next.allocator.collect()).toEqual([cidr.id + 1]);
  });

  test("reserved, well-known and the operator's sets have their fixed numbers", async () => {
    const { allocator } = createTestAllocator({ fixed: parseFixedIdentityMapping("128=backup") });
    const dns = podLabels({
      namespace: "kube-system",
      serviceAccount: "coredns",
      labels: { "k8s-app": "kube-dns", "pod-template-hash": "x" },
    });
    expect((await allocator.acquire(dns)).id).toBe(112);
    expect((await allocator.acquire([parseLabel("reserved:host")])).id).toBe(1);
    expect((await allocator.acquire(labels("reserved:world-ipv4"))).id).toBe(9);
    expect((await allocator.acquire(labels("reserved:world-ipv6"))).id).toBe(10);
    const fixed = { "io.cilium.fixed-identity": "backup", app: "x" };
    const pod = await allocator.acquire(podLabels({ namespace: "default", labels: fixed }));
    expect(pod).toEqual({ id: 128, labels: [parseLabel("reserved:backup")] });
    await allocator.release(112);
    expect(await allocator.collect()).toEqual([]);
  });

  test("nodes with labels and names of this node have ranges of their own", async () => {
    const { allocator } = createTestAllocator();
    const node = [parseLabel("reserved:remote-node"), parseLabel("node:role=edge")];
    expect((await allocator.acquire(node)).id).toBe((2 << 24) + 1);
    expect((await allocator.acquire([parseLabel("reserved:remote-node")])).id).toBe(6);
    const name = [parseLabel("fqdn:*.example.com"), parseLabel("reserved:world-ipv4")];
    expect((await allocator.acquire(name)).id).toBe((1 << 24) + 1);
    const api = [parseLabel("cidr:1.2.3.4/32"), parseLabel("reserved:kube-apiserver")];
    expect((await allocator.acquire(api)).id).toBe((1 << 24) + 2);
  });

  test("labels of prefixes are no filter's business", async () => {
    const { allocator } = createTestAllocator({ filter: createLabelFilter(["app"]) });
    const all = labels(
      ...["cidr:1.2.3.4/32", "cidrgroup:kubernetes.io/x=y", "fqdn:app.example"],
      "reserved:world-ipv4",
    );
    expect((await allocator.acquire(all)).labels.map(formatLabel)).toEqual(
      all.map(formatLabel).sort(),
    );
  });

  test("the host is number 1 with whatever is said of it, and that is announced", async () => {
    const { allocator } = createTestAllocator();
    const seen: string[] = [];
    allocator.onChange(({ added }) => {
      seen.push(...added.map(({ id, labels }) => `${id} ${labels.map(formatLabel)}`));
    });
    const api = labels("reserved:kube-apiserver");
    allocator.nameHost(api);
    allocator.nameHost(api);
    expect(allocator.get(1)?.labels.map(formatLabel)).toEqual([
      "reserved:host",
      "reserved:kube-apiserver",
    ]);
    expect(allocator.list().filter(({ id }) => id === 1)).toHaveLength(1);
    allocator.nameHost([]);
    expect(seen).toEqual(["1 reserved:host,reserved:kube-apiserver", "1 reserved:host"]);
  });

  test("says why it cannot", async () => {
    const { allocator } = createTestAllocator();
    await expect(allocator.acquire([])).rejects.toThrow("no label is left");
    await expect(allocator.acquire([parseLabel("reserved:host"), ...web])).rejects.toThrow(
      "reserved:host does not combine",
    );
  });

  test("says so when the range is used up, and goes on when a number is freed", async () => {
    const world = createTestAllocator({ range: { min: 300, max: 309 } });
    const { allocator, collector, clock } = world;
    await allocator.start();
    for (let i = 0; i < 10; i++) await allocator.acquire([k8sLabel("n", String(i))]);
    await expect(allocator.acquire(web)).rejects.toThrow("all 10 cluster numbers are in use");
    await allocator.release(304);
    clock.ms = 100;
    await allocator.collect();
    await collector.pass();
    clock.ms = 200;
    await collector.pass();
    await expect.poll(() => allocator.get(304)).toBeUndefined();
    expect((await allocator.acquire(web)).id).toBe(304);
  });
});

describe("ranges", () => {
  test.each([
    [0, 255, 256, 65_535],
    [1, 255, 65_536, 131_071],
    [255, 255, 255 << 16, (256 << 16) - 1],
    [0, 511, 256, 32_767],
    [1, 511, 32_768, 65_535],
    [511, 511, 511 << 15, (512 << 15) - 1],
  ] as const)("cluster %i of %i has %i to %i", (id, maxConnectedClusters, min, max) => {
    expect(clusterRange({ id, maxConnectedClusters })).toEqual({ min, max });
  });

  test.each([
    ["a", 0, 255, undefined],
    ["west-1", 255, 255, undefined],
    ["west-1", 256, 511, undefined],
    ["west-1", 256, 255, "cluster id 256"],
    ["west-1", -1, 255, "cluster id -1"],
    ["default", 1, 255, "needs a name of its own"],
    ["West", 0, 255, "cluster name"],
    ["-a", 0, 255, "cluster name"],
    ["a-", 0, 255, "cluster name"],
    ["", 0, 255, "cluster name"],
    ["a".repeat(33), 0, 255, "cluster name"],
  ] as const)("cluster %s with id %i of %i: %s", (name, id, maxConnectedClusters, error) => {
    const check = (): void => checkCluster({ name, id, maxConnectedClusters });
    if (error === undefined) check();
    else expect(check).toThrow(error);
  });

  test.each([
    [0, "reserved"],
    [10, "reserved"],
    [102, "well-known"],
    [128, "user-reserved"],
    [255, "user-reserved"],
    [256, "cluster"],
    [(1 << 24) - 1, "cluster"],
    [(1 << 24) + 1, "local"],
    [(2 << 24) + 1, "remote-node"],
    [3 << 24, "unknown"],
  ])("%i is %s", (id, kind) => {
    expect(identityKind(id)).toBe(kind);
  });

  test.each([
    ["127=a", "expected 128 to 255"],
    ["256=a", "expected 128 to 255"],
    ["128=host", "taken"],
    ["128=a,128=b", "taken"],
    ["128=a,129=a", "taken"],
    ["a=128", "NUMBER=NAME"],
    ["", "NUMBER=NAME"],
  ])("refuses the mapping %s", (text, error) => {
    expect(() => parseFixedIdentityMapping(text)).toThrow(error);
  });

  test("the operator's numbers stand beside the others", () => {
    const fixed = fixedIdentities("default", parseFixedIdentityMapping("200=a,130=b"));
    expect(fixed.map(({ id }) => id)).toEqual(
      expect.arrayContaining([200, 130, 1, 102, 103, 104, 105, 106, 110, 111, 112, 113, 114]),
    );
  });
});
