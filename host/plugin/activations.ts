/**
 * Which version of each plugin serves, which served before and may again, and which still have
 * connections: one row for each plugin, kept in the store. Knows no trust and no proxy; the rules
 * of the game are in lifecycle.ts.
 */
import type { Store } from "../store/store.ts";

const PREFIX = "plugin-activations/";
/** Versions to fall back to, and steps remembered, of one plugin; the oldest goes. */
const GOOD_MAX = 8;
const HISTORY_MAX = 50;

export type Step = "shipped" | "activate" | "promote" | "rollback" | "automatic-rollback";

export interface HistoryEntry {
  /** Milliseconds since 1970, like all times here. */
  time: number;
  step: Step;
  version: string;
  digest: string;
  /** Why, of an automatic step. */
  reason?: string;
}

/** A new version is looked at for a while: faults roll it back. */
export interface Watch {
  digest: string;
  until: number;
  /** Faults its proxy had counted before it served; undefined until they are known. */
  faultsBefore?: number;
  faultsMax: number;
}

export interface Activation {
  name: string;
  /** Digest. */
  active?: string;
  /** Digests that served before, the last one newest: the last known good. */
  good: string[];
  draining: { digest: string; until: number }[];
  watch?: Watch;
  history: HistoryEntry[];
}

/** How a version comes to serve. */
export interface Change {
  entry: HistoryEntry;
  /** The one that served until now may keep its connections until then. */
  drainUntil: number;
  watch?: Watch;
}

export class Activations {
  readonly #store: Store;
  readonly #rows = new Map<string, Activation>();

  constructor(store: Store) {
    this.#store = store;
    for (const { value } of store.list(PREFIX)) {
      const row = JSON.parse(value) as Activation;
      this.#rows.set(row.name, row);
    }
  }

  list(): Activation[] {
    return [...this.#rows.values()];
  }

  of(name: string): Activation {
    return this.#rows.get(name) ?? { name, good: [], draining: [], history: [] };
  }

  /** The version of `change.entry` serves now; the one before is the last known good. */
  advance(name: string, change: Change): Activation {
    const { active, good } = this.of(name);
    const { digest } = change.entry;
    const before = good.filter((one) => one !== digest && one !== active);
    return this.#switch(name, change, active === undefined ? before : [...before, active]);
  }

  /** The version of `change.entry` serves again; newer ones are not fallen back to. */
  goBack(name: string, change: Change): Activation {
    const { good } = this.of(name);
    const at = good.lastIndexOf(change.entry.digest);
    return this.#switch(name, change, good.slice(0, Math.max(at, 0)));
  }

  /** A version beside the active one has served and stops. */
  drain(name: string, digest: string, until: number): void {
    const row = this.of(name);
    this.#put({ ...row, draining: drained(row, digest, until) });
  }

  endDraining(name: string, digest: string): void {
    const row = this.of(name);
    this.#put({ ...row, draining: row.draining.filter((one) => one.digest !== digest) });
  }

  countFrom(name: string, faultsBefore: number): void {
    const row = this.of(name);
    if (row.watch !== undefined) this.#put({ ...row, watch: { ...row.watch, faultsBefore } });
  }

  endWatch(name: string): void {
    const { watch: _, ...row } = this.of(name);
    this.#put(row);
  }

  /** The version is being removed. */
  forget(name: string, digest: string): void {
    const row = this.of(name);
    this.#put({ ...row, good: row.good.filter((one) => one !== digest) });
  }

  #switch(name: string, change: Change, good: string[]): Activation {
    const { watch: _, active, ...row } = this.of(name);
    const { digest } = change.entry;
    const left = active === undefined || active === digest ? undefined : active;
    const draining = left === undefined ? row.draining : drained(row, left, change.drainUntil);
    return this.#put({
      ...row,
      active: digest,
      good: good.slice(-GOOD_MAX),
      draining: draining.filter((one) => one.digest !== digest),
      history: [...row.history, change.entry].slice(-HISTORY_MAX),
      ...(change.watch === undefined ? {} : { watch: change.watch }),
    });
  }

  #put(row: Activation): Activation {
    this.#store.put(PREFIX + row.name, JSON.stringify(row));
    this.#rows.set(row.name, row);
    return row;
  }
}

function drained(
  row: Pick<Activation, "draining">,
  digest: string,
  until: number,
): Activation["draining"] {
  return [...row.draining.filter((one) => one.digest !== digest), { digest, until }];
}
