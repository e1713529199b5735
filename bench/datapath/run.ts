/** The datapath benchmark: its parts in turn, each of which can be run alone. */
import type { Figure } from "../plugin/figure.ts";
import type { BenchPaths } from "../proxies/proxy.ts";
import { type PacketCounts, packetFigures } from "./packet-cost.ts";
import { type PodRateCounts, podFigures } from "./pod-rates.ts";
import { type PrefilterCounts, prefilterFigures } from "./prefilter.ts";
import { type DropCounts, dropFigure } from "./prefilter-drops.ts";

export interface DatapathCounts {
  packets: PacketCounts;
  pods: PodRateCounts;
  prefilter: PrefilterCounts;
  drops: DropCounts;
}

export const FULL: DatapathCounts = {
  packets: {
    ...{ peers: [1_000, 100_000], entries: [1, 100, 10_000] },
    ...{ connections: 100_000, rounds: 41, packets: 4_000 },
  },
  pods: { rules: [100, 1_000], rounds: 9, windowMs: 1_000, warmupMs: 200 },
  prefilter: { sizes: [1, 10_000, 1_000_000], rounds: 15, packets: 1 << 16 },
  drops: { prefixes: 1_000_000, rounds: 5, packets: 300_000 },
};

/** Shows that everything runs; the numbers say little. */
export const QUICK: DatapathCounts = {
  packets: {
    ...{ peers: [100, 1_000], entries: [1, 10, 100] },
    ...{ connections: 2_000, rounds: 3, packets: 500 },
  },
  pods: { rules: [10], rounds: 1, windowMs: 200, warmupMs: 50 },
  prefilter: { sizes: [1, 100, 1_000], rounds: 2, packets: 1 << 12 },
  drops: { prefixes: 1_000, rounds: 1, packets: 10_000 },
};

type Part = (
  paths: BenchPaths,
  counts: DatapathCounts,
  signal: AbortSignal,
) => Promise<Figure[]> | Figure[];

const PARTS: Readonly<Record<string, Part>> = {
  packets: (paths, { packets }, signal) => packetFigures(paths, packets, signal),
  pods: (paths, { pods }, signal) => podFigures(paths, pods, signal),
  prefilter: (paths, { prefilter }, signal) => prefilterFigures(paths, prefilter, signal),
  "prefilter-drops": (paths, { drops }) => [dropFigure(paths, drops)],
};

export const DATAPATH_PARTS: readonly string[] = Object.keys(PARTS);

/** In the order of the table. @throws RunError: a figure could not be measured. */
export async function runDatapath(
  paths: BenchPaths,
  { counts, parts }: { counts: DatapathCounts; parts: readonly string[] },
  signal: AbortSignal,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const [name, part] of Object.entries(PARTS)) {
    if (!parts.includes(name)) continue;
    figures.push(...(await part(paths, counts, signal)));
    signal.throwIfAborted();
  }
  return figures;
}
