/** The datapath benchmark as it is run, with counts too small for its numbers to say anything. */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import type { FigureReport } from "./plugin/figure.ts";
import { run } from "./process.ts";

const MAIN = join(dirname(fileURLToPath(import.meta.url)), "main.ts");
const RUN_MS = 180_000;

const NAMES = [
  ...["prefilter_ipv4_large_to_one_ratio", "prefilter_ipv4_to_trie_ratio"],
  ...["prefilter_ipv6_large_to_one_ratio", "prefilter_ipv6_to_trie_ratio"],
  "prefilter_drop_to_nftables_ratio",
];

test("datapath --quick --json prints the prefilter's figures and leaves nothing behind", {
  timeout: RUN_MS,
}, () => {
  const parts = ["--only", "prefilter,prefilter-drops"];
  const text = run([process.execPath, MAIN, "datapath", "--quick", "--json", ...parts]);
  const { figures } = JSON.parse(text) as FigureReport;
  expect(Object.keys(figures).toSorted()).toEqual(NAMES.toSorted());
  for (const [name, { value, unit }] of Object.entries(figures)) {
    expect([name, value > 0 && Number.isFinite(value), unit.length > 0]).toEqual([
      name,
      true,
      true,
    ]);
  }
  expect(readdirSync("/run/netns").filter((name) => /^imk-b\d+-flood/.test(name))).toEqual([]);
});
