/** The policy benchmark as it is run, with counts too small for its numbers to say anything. */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { FigureReport } from "./plugin/figure.ts";
import { run } from "./process.ts";

const MAIN = join(dirname(fileURLToPath(import.meta.url)), "main.ts");
const RUN_MS = 180_000;

const NAMES = [
  ...["first_computation_s", "small_change_ms", "large_change_entries_per_s"],
  ...["agent_memory_mb", "alternations_wrong_answers"],
];

test("policy --quick --json prints every figure and leaves nothing behind", {
  timeout: RUN_MS,
}, () => {
  const stages = (): string[] =>
    ["/run", "/run/netns"].filter(existsSync).flatMap((folder) => {
      return readdirSync(folder).filter((name) => /^imk-b\d+-policy/.test(name));
    });
  const before = stages();
  const text = run([process.execPath, MAIN, "policy", "--quick", "--json"]);
  const { figures } = JSON.parse(text) as FigureReport;
  expect(Object.keys(figures).toSorted()).toEqual(NAMES.toSorted());
  for (const [name, { value, unit }] of Object.entries(figures)) {
    expect([name, Number.isFinite(value), unit.length > 0]).toEqual([name, true, true]);
  }
  // Counted, not timed: what it must be on any machine.
  expect(figures.alternations_wrong_answers?.value).toBe(0);
  expect(stages()).toEqual(before);
});
