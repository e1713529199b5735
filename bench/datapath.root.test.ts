/** The datapath benchmark as it is run, with counts too small for its numbers to say anything. */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { FigureReport } from "./plugin/figure.ts";
import { run } from "./process.ts";

const MAIN = join(dirname(fileURLToPath(import.meta.url)), "main.ts");
const RUN_MS = 180_000;

test("datapath --only packets --quick --json prints every figure", { timeout: RUN_MS }, () => {
  const command = [process.execPath, MAIN, "datapath", "--only", "packets", "--quick", "--json"];
  const { figures } = JSON.parse(run(command)) as FigureReport;
  const names = ["established", "new", "denied"].flatMap((kind) =>
    [100, 1000].flatMap((peers) => [
      ...[1, 10, 100].map((entries) => `${kind}_${entries}_entries_${peers}_peers_ratio`),
      `${kind}_most_to_one_entry_${peers}_peers_ratio`,
    ]),
  );
  expect(Object.keys(figures).toSorted()).toEqual(names.toSorted());
  for (const [name, { value, unit }] of Object.entries(figures)) {
    expect([name, Number.isFinite(value), unit.length > 0]).toEqual([name, true, true]);
  }
});
