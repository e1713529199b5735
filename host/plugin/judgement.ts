/**
 * What the proxy's numbers mean for a trial, for a version just promoted, and for one that drains.
 * Pure, so that every automatic step can be tested from numbers.
 */
import type { ProxyStatus, TrialStatus, VersionStatus } from "../../runtime/contract/control.ts";
import type { Watch } from "./activations.ts";
import type { TrialRecord } from "./trials.ts";

/** After its deadline a version's connections have this long to reach a message boundary. */
export const DRAIN_GRACE_MS = 10_000;

export function statusOfTrial(
  { id }: Pick<TrialRecord, "id">,
  status: ProxyStatus,
): TrialStatus | undefined {
  return status.trials.find((one) => one.id === id);
}

export function statusOfVersion(digest: string, status: ProxyStatus): VersionStatus | undefined {
  return status.versions.find((one) => one.digest === digest);
}

/** Why the trial must end now, or undefined. */
export function reasonToStop(trial: TrialRecord, status: ProxyStatus): string | undefined {
  const unavailable = cannotServe(trial.digest, status);
  if (unavailable !== undefined) return unavailable;
  const seen = statusOfTrial(trial, status);
  if (seen === undefined) return undefined;
  const { faults } = trial.stopOn;
  // Workers stop for themselves; together they may be over the bound before one of them is.
  const stopped = seen.stopped ?? (faults > 0 && seen.faults >= faults ? "faults" : undefined);
  if (stopped === undefined) return undefined;
  return { faults: faultsText, differences: differencesText, fuel: fuelText, latency: timeText }[
    stopped
  ](seen);
}

/** Why a version just promoted must go, or undefined. */
export function reasonToRollBack(watch: Watch, status: ProxyStatus): string | undefined {
  const unavailable = cannotServe(watch.digest, status);
  if (unavailable !== undefined) return unavailable;
  const faults = statusOfVersion(watch.digest, status)?.faults ?? 0;
  const { faultsBefore = faults } = watch;
  // A proxy that started since counts from 0 again.
  const since = faults < faultsBefore ? faults : faults - faultsBefore;
  return since >= watch.faultsMax ? `${since} faults since it serves` : undefined;
}

/** Whether nothing of a draining version is left: no connection, or the time is over. */
export function hasDrained(
  draining: { digest: string; until: number },
  status: ProxyStatus | undefined,
  now: number,
): boolean {
  if (now >= draining.until + DRAIN_GRACE_MS) return true;
  if (status === undefined) return false;
  const seen = statusOfVersion(draining.digest, status);
  return seen !== undefined && seen.connections === 0;
}

function cannotServe(digest: string, status: ProxyStatus): string | undefined {
  const unavailable = statusOfVersion(digest, status)?.unavailable;
  if (unavailable === undefined) return undefined;
  return `it cannot serve (${unavailable.stage}): ${unavailable.message}`;
}

function faultsText({ faults, lastFault }: TrialStatus): string {
  return `faults: ${faults}${lastFault === "" ? "" : `, the last: ${lastFault}`}`;
}

function differencesText({ differences, compared }: TrialStatus): string {
  return `differences: ${differences} in ${compared} calls compared`;
}

function fuelText({ fuelActive, fuelTried }: TrialStatus): string {
  const ratio = fuelActive === 0 ? "no" : (fuelTried / fuelActive).toFixed(2);
  return `fuel: ${fuelTried} against ${fuelActive} on the same bytes (ratio ${ratio})`;
}

function timeText({ callMicros }: TrialStatus): string {
  return `latency: ${callMicros.toFixed(1)} us a call`;
}
