/**
 * The store that several agents may share: what they must agree on (identity numbers) or tell each
 * other (addresses of pods). One interface with two backends, sqlite-shared.ts for a node alone and
 * etcd/ for many; one suite (shared-store.test.ts) holds both to it. What only this agent needs is
 * in store.ts. Keys are paths, values text.
 */

export interface SharedRow {
  key: string;
  value: string;
  /** Revision of the store at which this key was last written. */
  revision: number;
}

/** Must hold when a change is made, or nothing of it is. */
export type SharedCondition =
  /** The key was last written at this revision; 0: it is not there. */
  | { key: string; revision: number }
  /** No key starts with this prefix. */
  | { noneBelow: string };

export interface SharedChange {
  when?: readonly SharedCondition[];
  /** With `lease` the key goes when the lease does. */
  put?: readonly { key: string; value: string; lease?: string }[];
  /** Deleting what is not there is not an error. */
  delete?: readonly string[];
}

export interface SharedEvent {
  key: string;
  /** Undefined: the key is gone. */
  value: string | undefined;
  revision: number;
}

export interface SharedWatcher {
  /** Changes in the order in which they were made; those of one revision come together. */
  changed(events: readonly SharedEvent[]): void;
  /**
   * No more will come. `compacted`: the store has forgotten what follows the revision asked for, so
   * a new look at everything is needed; `lost`: the same in a while, for nobody knows whether what
   * answers then is the store of before.
   */
  ended(reason: "compacted" | "lost"): void;
}

/** All methods reject with StoreUnavailableError when the store does not answer. */
export interface SharedStore {
  /** What it is and where, for messages: `etcd at http://…`. */
  readonly name: string;
  get(key: string): Promise<SharedRow | undefined>;
  /** Rows whose key starts with `prefix`, by key, and the revision they were read at. */
  list(prefix: string): Promise<{ rows: SharedRow[]; revision: number }>;
  /** All of the change or nothing. The new revision; undefined when a condition does not hold. */
  commit(change: SharedChange): Promise<number | undefined>;
  /** An id; keys written with it go when it has not been kept alive for `ttlSeconds`. */
  grantLease(ttlSeconds: number): Promise<string>;
  /** False when the lease is gone, and its keys with it. */
  keepLeaseAlive(lease: string): Promise<boolean>;
  revokeLease(lease: string): Promise<void>;
  /** Changes below `prefix` after `revision`. Returns what ends it; `ended` is not called then. */
  watch(prefix: string, revision: number, watcher: SharedWatcher): () => void;
  /** Why it takes no changes though it answers, such as no room; undefined: it takes them. */
  trouble(): Promise<string | undefined>;
  close(): void;
}

/**
 * The store does not answer, or takes no changes. What is known already goes on; nothing new can be
 * agreed on.
 */
export class StoreUnavailableError extends Error {
  override readonly name = "StoreUnavailableError";
}

/** The lease that a key was to be written with is gone; another one is needed. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
}

/** Writes only when the key's revision is `expected` (0: it must not exist). */
export function compareAndSwap(
  store: SharedStore,
  key: string,
  expected: number,
  value: string,
): Promise<number | undefined> {
  return store.commit({ when: [{ key, revision: expected }], put: [{ key, value }] });
}

/** The lowest text above everything that starts with `prefix`. Keys are ASCII. */
export function endOfPrefix(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}
