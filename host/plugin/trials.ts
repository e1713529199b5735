/**
 * Trials: versions that are tried beside the one that serves, running and ended. Kept in the store,
 * so that a trial outlives the agent that started it.
 */
import type { Trial, TrialStatus } from "../../runtime/contract/control.ts";
import type { Store } from "../store/store.ts";

const PREFIX = "plugin-trials/";
const NUMBER = "plugin-trial-number";
/** Ended trials kept of each plugin; the oldest goes. */
const ENDED_MAX = 20;

export type TrialState = "running" | "promoted" | "aborted" | "rolled-back";

export interface TrialRecord {
  /** Unique over the agent's life. */
  id: string;
  name: string;
  kind: Trial["kind"];
  version: string;
  digest: string;
  /** Digest of the version that served when it began. */
  against: string;
  /** Of new connections, in thousandths. */
  share: number;
  /** `NAMESPACE/NAME` or `NAME` of policies; empty: all that use the plugin. */
  policies: string[];
  stopOn: Trial["stopOn"];
  state: TrialState;
  /** Milliseconds since 1970, like all times here. */
  startedAt: number;
  endedAt?: number;
  /** Why it ended by itself. */
  reason?: string;
  /** As last seen; of an ended trial, with its samples. */
  status?: TrialStatus;
}

export class Trials {
  readonly #store: Store;
  readonly #rows = new Map<string, TrialRecord>();

  constructor(store: Store) {
    this.#store = store;
    for (const { value } of store.list(PREFIX)) {
      const row = JSON.parse(value) as TrialRecord;
      this.#rows.set(row.id, row);
    }
  }

  /** The newest first. */
  list(name: string): TrialRecord[] {
    return [...this.#rows.values()]
      .filter((row) => row.name === name)
      .sort((a, b) => Number(b.id) - Number(a.id));
  }

  get(id: string): TrialRecord | undefined {
    return this.#rows.get(id);
  }

  /** The one that runs; there is at most one of each plugin. */
  running(name: string): TrialRecord | undefined {
    return this.list(name).find((row) => row.state === "running");
  }

  allRunning(): TrialRecord[] {
    return [...this.#rows.values()].filter((row) => row.state === "running");
  }

  start(trial: Omit<TrialRecord, "id" | "state">): TrialRecord {
    const number = Number(this.#store.get(NUMBER)?.value ?? 0) + 1;
    this.#store.put(NUMBER, String(number));
    return this.#put({ ...trial, id: String(number), state: "running" });
  }

  /** Not written: the proxy still knows it. */
  see(id: string, status: TrialStatus): void {
    const row = this.#rows.get(id);
    if (row !== undefined) this.#rows.set(id, { ...row, status });
  }

  end(
    id: string,
    state: Exclude<TrialState, "running">,
    endedAt: number,
    reason?: string,
  ): TrialRecord | undefined {
    const row = this.#rows.get(id);
    if (row === undefined) return undefined;
    const ended = this.#put({
      ...row,
      state,
      endedAt,
      ...(reason === undefined ? {} : { reason }),
    });
    const old = this.list(row.name).filter((one) => one.state !== "running");
    for (const { id: gone } of old.slice(ENDED_MAX)) {
      this.#store.delete(PREFIX + gone);
      this.#rows.delete(gone);
    }
    return ended;
  }

  #put(row: TrialRecord): TrialRecord {
    this.#store.put(PREFIX + row.id, JSON.stringify(row));
    this.#rows.set(row.id, row);
    return row;
  }
}
