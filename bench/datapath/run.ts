/** The datapath benchmark: its parts, of which any can be run alone. */
import type { Figure } from "../plugin/figure.ts";
import type { BenchPaths } from "../proxies/proxy.ts";
import { type PacketCounts, packetFigures } from "./packet-cost.ts";
import { type PodRateCounts, podFigures } from "./pod-rates.ts";

export const PARTS = ["packets", "pods"] as const;
export type Part = (typeof PARTS)[number];

export interface DatapathCounts {
  packets: PacketCounts;
  pods: PodRateCounts;
}

export const FULL: DatapathCounts = {
  packets: {
    ...{ peers: [1_000, 100_000], entries: [1, 100, 10_000] },
    ...{ connections: 100_000, rounds: 41, packets: 4_000 },
  },
  pods: { rules: [100, 1_000], rounds: 9, windowMs: 1_000, warmupMs: 200 },
};

/** Shows that everything runs; the numbers say little. */
export const QUICK: DatapathCounts = {
  packets: {
    ...{ peers: [100, 1_000], entries: [1, 10, 100] },
    ...{ connections: 2_000, rounds: 3, packets: 500 },
  },
  pods: { rules: [10], rounds: 1, windowMs: 200, warmupMs: 50 },
};

/** @throws RunError: a figure could not be measured. */
export async function runDatapath(
  paths: BenchPaths,
  parts: readonly Part[],
  counts: DatapathCounts,
  signal: AbortSignal,
): Promise<Figure[]> {
  const figures: Figure[] = [];
  if (parts.includes("packets"))
    figures.push(...(await packetFigures(paths, counts.packets, signal)));
  if (parts.includes("pods")) figures.push(...(await podFigures(paths, counts.pods, signal)));
  return figures;
}
