/**
 * The end of versions that are being replaced. Until their time is up their connections go on;
 * then each is closed when no message is half way through, and after a grace period in any case.
 */
import type { Connection } from "./connection.ts";
import type { Connections } from "./connections.ts";
import type { WorkerCounters } from "./counters.ts";
import type { InstancePool } from "./instance-pool.ts";
import type { RuleStore } from "./rule-store.ts";

/** After its time is up a connection gets so long to reach the end of a message. */
export const RETIRE_GRACE_MS = 5_000;
/** How often versions are looked at whose time is up. */
const LOOK_MS = 100;

export interface RetirementDeps {
  rules: RuleStore;
  pool: InstancePool;
  connections: Connections;
  counters: WorkerCounters;
}

export class Retirement {
  readonly #deps: RetirementDeps;
  #nextMs = 0;

  constructor(deps: RetirementDeps) {
    this.#deps = deps;
  }

  /** Closes what is due. Cheap when nothing is; called every turn. */
  look(nowMs: number): void {
    const { draining } = this.#deps.rules;
    if (draining.length === 0 || nowMs < this.#nextMs) return;
    this.#nextMs = nowMs + LOOK_MS;
    for (const { digest, untilMs } of draining) {
      if (nowMs < untilMs) continue;
      for (const pooled of [...this.#deps.pool.all()]) {
        if (pooled.image.digest !== digest) continue;
        for (const connection of [...pooled.connections]) {
          if (pooled.role === "tap") this.#endTap(connection);
          else this.#retire(connection, nowMs >= untilMs + RETIRE_GRACE_MS);
        }
      }
    }
  }

  /** After each call of a retiring connection. */
  afterCall(connection: Connection): void {
    this.#retire(connection, false);
  }

  #endTap({ tap }: Connection): void {
    if (tap !== undefined) this.#deps.connections.taps.end(tap, "policy");
  }

  #retire(connection: Connection, now: boolean): void {
    connection.retiring = true;
    if (!now && !atBoundary(connection)) return;
    this.#deps.counters.retired++;
    this.#deps.connections.close(connection, "retired", false);
  }
}

/** Nothing is half way through: all that came is dealt with, all requests are answered. */
function atBoundary({ left, unanswered }: Connection): boolean {
  return left[0] === 0 && left[1] === 0 && unanswered <= 0;
}
