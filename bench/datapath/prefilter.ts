/**
 * The prefilter's figures. A packet is a frame whose source is replaced by the next of 65,536, and
 * then the whole program: parsing, the list, counters, sampled drop events (BPF_PROG_TEST_RUN). The
 * same program with an LPM trie in the list's place stands beside it.
 */
import type { Family } from "../../host/prefilter/prefix.ts";
import { atMost, type Figure } from "../plugin/figure.ts";
import type { BenchPaths } from "../proxies/proxy.ts";
import { significant, summarize } from "../stats.ts";
import { PrefilterSubject, type ProgramName } from "./prefilter-subject.ts";

export interface PrefilterCounts {
  /** Prefixes of a small, a middling and a large list. */
  sizes: readonly number[];
  rounds: number;
  /** Packets of a program in a round. */
  packets: number;
}

const PROGRAMS: readonly ProgramName[] = ["bench_prefilter", "bench_trie"];
const FLAT_GOAL: Readonly<Record<Family, number>> = { 4: 3, 6: 6 };
const TRIE_GOAL = 0.5;

/** Nanoseconds a packet: by program, then by size. */
type Costs = Record<string, number[]>;

export async function prefilterFigures(
  { root, progress }: BenchPaths,
  counts: PrefilterCounts,
  signal: AbortSignal,
): Promise<Figure[]> {
  const subjects: PrefilterSubject[] = [];
  try {
    for (const size of counts.sizes) {
      subjects.push(new PrefilterSubject(root, size));
      progress(`${size} prefixes are in place`);
      signal.throwIfAborted();
    }
    const figures: Figure[] = [];
    for (const family of [4, 6] as const) {
      const costs = measure(subjects, family, counts, signal);
      report(costs, family, counts.sizes, progress);
      figures.push(...ratios(costs, family));
      const largest = subjects.at(-1);
      const bytes = (largest?.bytes[family] ?? 0) / (counts.sizes.at(-1) ?? 1);
      progress(`IPv${family}: ${significant(bytes)} bytes of kernel memory a prefix`);
    }
    return figures;
  } finally {
    for (const subject of subjects) subject.close();
  }
}

/** Every program and size in turn, so that a busy moment falls on all of them. */
function measure(
  subjects: readonly PrefilterSubject[],
  family: Family,
  { rounds, packets }: PrefilterCounts,
  signal: AbortSignal,
): Costs {
  const taken = new Map<string, number[][]>(
    PROGRAMS.map((program) => [program, subjects.map(() => [])]),
  );
  for (const subject of subjects) subject.useSources(family);
  for (let round = 0; round <= rounds; round++) {
    for (const program of PROGRAMS) {
      for (const [at, subject] of subjects.entries()) {
        const nanoseconds = subject.run(program, family, packets);
        // The first round warms up.
        if (round > 0) taken.get(program)?.[at]?.push(nanoseconds);
      }
    }
    signal.throwIfAborted();
  }
  return Object.fromEntries(
    [...taken].map(([program, sizes]) => [program, sizes.map((all) => summarize(all).median)]),
  );
}

function ratios(costs: Costs, family: Family): Figure[] {
  const [first = 0, ...more] = costs.bench_prefilter ?? [];
  const last = more.at(-1) ?? first;
  const trie = costs.bench_trie?.at(-1) ?? 0;
  const name = `prefilter_ipv${family}`;
  return [
    atMost(FLAT_GOAL[family], `${name}_large_to_one_ratio`, last / first, "of one prefix's cost"),
    atMost(TRIE_GOAL, `${name}_to_trie_ratio`, last / trie, "of a trie's cost"),
  ];
}

function report(
  costs: Costs,
  family: Family,
  sizes: readonly number[],
  progress: (line: string) => void,
): void {
  for (const [program, all] of Object.entries(costs)) {
    const cells = all.map((ns, at) => `${ns.toFixed(0)} ns at ${sizes[at]}`);
    progress(`IPv${family}, ${program}: ${cells.join(", ")}`);
  }
}
