import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { findCgroupRoot } from "./cgroup.ts";
import { runL7 } from "./l7.ts";
import { run } from "./process.ts";
import { haproxyRow } from "./proxies/haproxy.ts";
import type { BenchPaths, ProxyRow } from "./proxies/proxy.ts";
import { relayRow } from "./proxies/relay.ts";
import { findShape, type Shape } from "./shapes.ts";
import { findTool } from "./tools.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const paths: BenchPaths = { root, build: join(root, ".build", "bench"), progress: () => undefined };
const never = new AbortController().signal;

function shape(name: string): Shape {
  const found = findShape(name);
  if (found === undefined) throw new Error(name);
  return found;
}

function leftovers(): string[] {
  const groups = readdirSync(findCgroupRoot(run(["cat", "/proc/mounts"]))?.folder ?? "/nowhere");
  const names = [...groups, ...readdirSync("/run/netns")];
  return names.filter((name) => name.startsWith(`imk-b${process.pid}-`));
}

async function measure(rows: ProxyRow[], name: string) {
  run(["make", "-s", ...["load", "server"].map((part) => `.build/bench/${part}`)], { cwd: root });
  for (const row of rows) await row.prepare(paths);
  const options = { rows, shape: shape(name), rounds: 1, windowMs: 400, warmupMs: 100 };
  return runL7(paths, options, never);
}

test("a round of relay and haproxy measures both and leaves nothing behind", async () => {
  // haproxy is a tool of the benchmark only; a machine that just runs the tests may lack it.
  const rows = findTool("haproxy") === undefined ? [relayRow] : [relayRow, haproxyRow];
  const results = await measure(rows, "keepalive");
  expect(results.map(({ name }) => name)).toEqual(rows.map(({ name }) => name));
  for (const { measurements } of results) {
    expect(measurements[0]?.rps).toBeGreaterThan(1000);
    expect(measurements[0]?.cpuUsPerRequest).toBeGreaterThan(1);
  }
  expect(leftovers()).toEqual([]);
});

test.each(["single", "many", "headers", "reconnect", "bulk"])(
  "the shape %s runs through the relay without an error",
  async (name) => {
    const [result] = await measure([relayRow], name);
    expect(result?.measurements[0]?.rps).toBeGreaterThan(10);
  },
);

test("a row that does not enforce what it claims is not measured", async () => {
  const open: ProxyRow = { ...relayRow, name: "open", enforces: true };
  await expect(measure([open], "keepalive")).rejects.toThrow(
    "Cannot measure open: an allowed request got 200, a denied one 200 (not 403)",
  );
  expect(leftovers()).toEqual([]);
});

test("an abort ends the run and removes everything", async () => {
  const abort = new AbortController();
  const options = { rows: [relayRow], shape: shape("keepalive"), rounds: 1, windowMs: 60_000 };
  const running = runL7(paths, { ...options, warmupMs: 0 }, abort.signal);
  setTimeout(() => abort.abort(new Error("stopped")), 1500);
  await expect(running).rejects.toThrow();
  expect(leftovers()).toEqual([]);
});
