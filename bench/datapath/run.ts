/** The datapath benchmark: its parts in turn, each of which can be run alone. */
import type { Figure } from "../plugin/figure.ts";
import type { BenchPaths } from "../proxies/proxy.ts";
import { type PrefilterCounts, prefilterFigures } from "./prefilter.ts";
import { type DropCounts, dropFigure } from "./prefilter-drops.ts";

export interface DatapathCounts {
  prefilter: PrefilterCounts;
  drops: DropCounts;
}

export const FULL: DatapathCounts = {
  prefilter: { sizes: [1, 10_000, 1_000_000], rounds: 15, packets: 1 << 16 },
  drops: { prefixes: 1_000_000, rounds: 5, packets: 300_000 },
};

/** Shows that everything runs; the numbers say little. */
export const QUICK: DatapathCounts = {
  prefilter: { sizes: [1, 100, 1_000], rounds: 2, packets: 1 << 12 },
  drops: { prefixes: 1_000, rounds: 1, packets: 10_000 },
};

type Part = (
  paths: BenchPaths,
  counts: DatapathCounts,
  signal: AbortSignal,
) => Promise<Figure[]> | Figure[];

const PARTS: Readonly<Record<string, Part>> = {
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
