/** The plugin benchmark as it is run, with counts too small for its numbers to say anything. */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { FigureReport } from "./plugin/figure.ts";
import { run } from "./process.ts";

const MAIN = join(dirname(fileURLToPath(import.meta.url)), "main.ts");
const RUN_MS = 300_000;

/** Figures that are counted, not timed, and so are what they must be on any machine. */
const COUNTED = ["idle_tenant_instances", "activation_lost_connections"];
const NAMES = [
  ...["contract_overhead_ns", "fuel_share_percent", "cold_instance_us", "hostile_stop_ms"],
  ...["idle_tenant_instances", "largest_plugin_bytes", "activation_ms"],
  ...["activation_lost_connections", "swaps_memory_growth_percent"],
  ...["interpreted_request_us", "interpreted_instance_kib", "interpreted_package_bytes"],
];

test("plugin --quick --json prints every figure and leaves nothing behind", {
  timeout: RUN_MS,
}, () => {
  const stages = (): string[] =>
    ["/run", "/run/netns"].filter(existsSync).flatMap((folder) => {
      return readdirSync(folder).filter((name) => /^imk-b\d+-plugin/.test(name));
    });
  const before = stages();
  const text = run([process.execPath, MAIN, "plugin", "--quick", "--json"]);
  const { figures } = JSON.parse(text) as FigureReport;
  expect(Object.keys(figures).toSorted()).toEqual(NAMES.toSorted());
  for (const [name, { value, unit, goal, met }] of Object.entries(figures)) {
    expect([name, Number.isFinite(value), unit.length > 0]).toEqual([name, true, true]);
    expect([name, met]).toEqual([name, value <= goal]);
  }
  for (const name of COUNTED) expect([name, figures[name]?.value]).toEqual([name, 0]);
  expect(figures.largest_plugin_bytes?.met).toBe(true);
  expect(stages()).toEqual(before);
});
