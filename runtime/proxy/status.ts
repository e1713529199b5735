/**
 * One status of the process from those of its workers: counts are added, means are weighted, and a
 * trial has stopped once one worker stopped it.
 */
import type { ProxyStatus, TrialStatus, VersionStatus } from "../contract/control.ts";
import type { WorkerStatus } from "../worker/messages.ts";
import type { TrialShare } from "../worker/trial.ts";
import type { Unavailable } from "./state-change.ts";

/** Samples of all workers that a trial shows. */
const SAMPLES_MAX = 16;

export type SummedStatus = Pick<
  ProxyStatus,
  "connections" | "instances" | "counters" | "versions" | "trials"
>;

/** `digests`: the versions of the state in force, in its order; others follow while they run. */
export function sumStatus(
  workers: readonly WorkerStatus[],
  digests: readonly string[],
  unavailable: ReadonlyMap<string, Unavailable>,
): SummedStatus {
  const sum: SummedStatus = {
    connections: 0,
    instances: 0,
    counters: {},
    versions: [],
    trials: [],
  };
  for (const worker of workers) {
    sum.connections += worker.connections;
    sum.instances += worker.instances;
    for (const [name, value] of Object.entries(worker.counters)) {
      sum.counters[name] = (sum.counters[name] ?? 0) + value;
    }
  }
  sum.versions = sumVersions(workers, digests, unavailable);
  const ids = new Set(workers.flatMap(({ trials }) => trials.map(({ id }) => id)));
  for (const id of ids) {
    sum.trials.push(
      sumTrial(
        id,
        workers.flatMap(({ trials }) => trials.filter((trial) => trial.id === id)),
      ),
    );
  }
  return sum;
}

function sumVersions(
  workers: readonly WorkerStatus[],
  digests: readonly string[],
  unavailable: ReadonlyMap<string, Unavailable>,
): VersionStatus[] {
  const versions = new Map<string, VersionStatus>();
  const of = (digest: string): VersionStatus => {
    const found = versions.get(digest);
    if (found !== undefined) return found;
    const counts = { connections: 0, instances: 0, memoryBytes: 0, calls: 0, bytes: 0 };
    const fresh: VersionStatus = { digest, ...counts, fuel: 0, faults: 0 };
    const why = unavailable.get(digest);
    if (why !== undefined) fresh.unavailable = why;
    versions.set(digest, fresh);
    return fresh;
  };
  for (const digest of digests) of(digest);
  for (const share of workers.flatMap(({ versions: shares }) => shares)) {
    const version = of(share.digest);
    version.connections += share.connections;
    version.instances += share.instances;
    version.memoryBytes += share.memoryBytes;
    version.calls += share.calls;
    version.bytes += share.bytes;
    version.fuel += share.fuel;
    version.faults += share.faults;
  }
  return [...versions.values()];
}

function sumTrial(id: string, shares: readonly TrialShare[]): TrialStatus {
  const total = (of: (share: TrialShare) => number): number =>
    shares.reduce((sum, share) => sum + of(share), 0);
  const skipped: Record<string, number> = {};
  for (const [why, count] of shares.flatMap((share) => Object.entries(share.skipped))) {
    skipped[why] = (skipped[why] ?? 0) + count;
  }
  const calls = total((share) => share.triedCalls);
  const status: TrialStatus = {
    id,
    connections: total((share) => share.connections),
    compared: total((share) => share.compared),
    skipped,
    differences: total((share) => share.differences),
    faults: total((share) => share.faults),
    fuelActive: total((share) => share.fuelActive),
    fuelTried: total((share) => share.fuelTried),
    callMicros: calls === 0 ? 0 : total((share) => share.triedMicros) / calls,
    samples: shares
      .flatMap((share) => share.samples)
      .sort((a, b) => a.time - b.time)
      .slice(0, SAMPLES_MAX),
    lastFault: shares.findLast((share) => share.lastFault !== "")?.lastFault ?? "",
  };
  const stopped = shares.find((share) => share.stopped !== undefined)?.stopped;
  if (stopped !== undefined) status.stopped = stopped;
  return status;
}
