/** The policy benchmark: the control plane at scale, then revisions that alternate under load. */
import { join } from "node:path";
import { atLeast, atMost, type Figure } from "../plugin/figure.ts";
import { run } from "../process.ts";
import type { BenchPaths } from "../proxies/proxy.ts";
import { alternate } from "./alternations.ts";
import type { Measured } from "./measure.ts";
import type { WorldSize } from "./world.ts";

export interface PolicyCounts extends WorldSize {
  /** Small changes, one after the other. */
  changes: number;
  alternations: number;
}

export const FULL: PolicyCounts = {
  ...{ identities: 10_000, policies: 1_000, endpoints: 100 },
  ...{ changes: 200, alternations: 1_000 },
};

/** Shows that everything runs; the numbers say little. */
export const QUICK: PolicyCounts = {
  ...{ identities: 500, policies: 50, endpoints: 10 },
  ...{ changes: 10, alternations: 10 },
};

/** As the imker command starts the agent. */
const AGENT_FLAGS = ["--max-semi-space-size=1", "--max-old-space-size=1024"];

/** @throws RunError: a figure could not be measured. */
export async function runPolicy(
  { root, progress }: BenchPaths,
  counts: PolicyCounts,
  signal: AbortSignal,
): Promise<Figure[]> {
  const { identities, policies, endpoints, changes } = counts;
  const size: WorldSize = { identities, policies, endpoints };
  const script = join(root, "bench", "policy", "measure.ts");
  const measure = (of: WorldSize): Measured => {
    const argv = [process.execPath, ...AGENT_FLAGS, script, JSON.stringify(of), String(changes)];
    return JSON.parse(run(argv, { cwd: root })) as Measured;
  };
  const measured = measure(size);
  report(measured, progress);
  signal.throwIfAborted();
  progress("the same where no two endpoints have the same rules:");
  report(measure({ ...size, ownRules: true }), progress);
  signal.throwIfAborted();
  const { alternations, answers, wrong, details } = await alternate(counts.alternations, signal);
  progress(`${alternations} alternations: ${answers} answers, wrong ${JSON.stringify(details)}`);
  return [
    atMost(5, "first_computation_s", measured.firstComputationS, "s"),
    atMost(100, "small_change_ms", percentile(measured.smallChangesMs, 0.99), "ms"),
    atLeast(500_000, "large_change_entries_per_s", measured.largeEntriesPerS, "entries/s"),
    atMost(400, "agent_memory_mb", measured.memoryMb, "MB"),
    atMost(0, "alternations_wrong_answers", wrong, "answers"),
  ];
}

function report(measured: Measured, progress: (line: string) => void): void {
  const { smallChangesMs, smallEntriesMax, largerChanges } = measured;
  const ms = (share: number): string => percentile(smallChangesMs, share).toFixed(1);
  progress(
    `first computation: ${measured.firstEntries} entries in ` +
      `${measured.firstComputationS.toFixed(1)} s`,
  );
  progress(
    `${smallChangesMs.length} small changes, up to ${smallEntriesMax} entries: median ` +
      `${ms(0.5)} ms, 99th percentile ${ms(0.99)} ms, longest ${ms(1)} ms; ` +
      `${largerChanges} were larger`,
  );
  progress(
    `large changes: ${measured.largeEntries} entries, ` +
      `${measured.largeEntriesPerS.toFixed(0)} a second; memory ` +
      `${measured.memoryMb.toFixed(0)} MB, after them ${measured.memoryAfterLargeMb.toFixed(0)} MB`,
  );
}

/** The smallest value that this share of all does not exceed. */
function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
