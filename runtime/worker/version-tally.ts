/**
 * What each plugin version did in this worker, also through instances that are gone; the worker's
 * share of the proxy's VersionStatus.
 */
import type { VersionStatus } from "../contract/control.ts";

export type VersionShare = Omit<VersionStatus, "unavailable">;

/** Written on the data path: plain numbers. */
export interface VersionTally {
  calls: number;
  bytes: number;
  faults: number;
  /** Of instances that are gone. */
  fuelGone: number;
}

export class VersionTallies {
  readonly #tallies = new Map<string, VersionTally>();

  of(digest: string): VersionTally {
    let tally = this.#tallies.get(digest);
    if (tally === undefined) {
      tally = { calls: 0, bytes: 0, faults: 0, fuelGone: 0 };
      this.#tallies.set(digest, tally);
    }
    return tally;
  }

  /** Forgets versions that are neither wanted nor running. */
  retain(digests: ReadonlySet<string>): void {
    for (const digest of this.#tallies.keys()) {
      if (!digests.has(digest)) this.#tallies.delete(digest);
    }
  }

  /** One for each version, without what runs. */
  shares(): Map<string, VersionShare> {
    return new Map(
      [...this.#tallies].map(([digest, { calls, bytes, faults, fuelGone }]) => [
        digest,
        {
          digest,
          connections: 0,
          instances: 0,
          memoryBytes: 0,
          calls,
          bytes,
          fuel: fuelGone,
          faults,
        },
      ]),
    );
  }
}
