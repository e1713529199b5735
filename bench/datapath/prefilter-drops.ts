/** What a dropped packet costs end to end: the prefilter beside an nftables set, in a namespace. */
import { join } from "node:path";
import { EnvironmentError } from "../errors.ts";
import { atMost, type Figure } from "../plugin/figure.ts";
import { placedArgv, run } from "../process.ts";
import type { BenchPaths } from "../proxies/proxy.ts";
import { summarize } from "../stats.ts";
import { ownName } from "../topology.ts";
import type { FloodResult } from "./flood.ts";

export interface DropCounts {
  prefixes: number;
  rounds: number;
  packets: number;
}

const GOAL = 0.7;
const CPU = 1;

/** @throws EnvironmentError: nft or ethtool is missing. */
export function dropFigure({ root, progress }: BenchPaths, counts: DropCounts): Figure {
  for (const [tool, help] of [
    ["nft", "nftables"],
    ["ethtool", "ethtool"],
  ] as const) {
    try {
      run([tool, "--version"]);
    } catch (cause) {
      const message = `Cannot compare with nftables: no ${tool}; apt-get install ${help}`;
      throw new EnvironmentError(message, { cause });
    }
  }
  const netns = ownName("flood");
  run(["ip", "netns", "add", netns]);
  try {
    const pair = "link add name flood-a type veth peer name flood-b".split(" ");
    run(["ip", "-n", netns, ...pair]);
    for (const end of ["flood-a", "flood-b"]) run(["ip", "-n", netns, "link", "set", end, "up"]);
    const { prefixes, rounds, packets } = counts;
    const script = join(root, "bench", "datapath", "flood.ts");
    const argv = [process.execPath, script, root, ...[prefixes, rounds, packets].map(String)];
    const result = JSON.parse(run(placedArgv({ cpu: CPU, netns }, argv))) as FloodResult;
    const [ours, theirs] = [summarize(result.prefilterNs), summarize(result.nftNs)];
    progress(
      `a dropped packet at ${prefixes} prefixes: ${ours.median.toFixed(0)} ns by the prefilter, ` +
        `${theirs.median.toFixed(0)} ns by nftables`,
    );
    const ratio = ours.median / theirs.median;
    return atMost(GOAL, "prefilter_drop_to_nftables_ratio", ratio, "of nftables' CPU");
  } finally {
    run(["ip", "netns", "delete", netns]);
  }
}
