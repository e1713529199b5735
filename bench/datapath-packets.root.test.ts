/** Parts of the datapath benchmark as they are run, with counts too small to say anything. */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { FigureReport } from "./plugin/figure.ts";
import { run } from "./process.ts";

const MAIN = join(dirname(fileURLToPath(import.meta.url)), "main.ts");
const RUN_MS = 180_000;

/** Those of `--quick`. */
const PACKETS = ["established", "new", "denied"].flatMap((kind) =>
  [100, 1000].flatMap((peers) => [
    ...[1, 10, 100].map((entries) => `${kind}_${entries}_entries_${peers}_peers_ratio`),
    `${kind}_most_to_one_entry_${peers}_peers_ratio`,
  ]),
);
const PODS = ["request", "connect"].flatMap((shape) =>
  ["plain", "nftables", "iptables"].map((filter) => `${shape}_10_rules_to_${filter}_ratio`),
);

test("datapath --only packets,pods --quick --json prints every figure and leaves nothing behind", {
  timeout: RUN_MS,
}, () => {
  const namespaces = (): string[] =>
    existsSync("/run/netns")
      ? readdirSync("/run/netns").filter((name) => name.startsWith("imk-b"))
      : [];
  const before = namespaces();
  const options = ["--only", "packets,pods", "--quick", "--json"];
  const { figures } = JSON.parse(
    run([process.execPath, MAIN, "datapath", ...options]),
  ) as FigureReport;
  expect(Object.keys(figures).toSorted()).toEqual([...PACKETS, ...PODS].toSorted());
  for (const [name, { value, unit }] of Object.entries(figures)) {
    expect([name, Number.isFinite(value), unit.length > 0]).toEqual([name, true, true]);
  }
  expect(namespaces()).toEqual(before);
});
