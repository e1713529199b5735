/**
 * The shared store of a node that is alone: tables in the agent's own database. Every change is one
 * transaction, synced before it is acknowledged (WAL, synchronous=FULL). What has changed is kept
 * for a while, so that watchers can go on after a revision; several processes may open one file.
 */
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import type {
  SharedChange,
  SharedCondition,
  SharedEvent,
  SharedRow,
  SharedStore,
  SharedWatcher,
} from "./shared-store.ts";
import { endOfPrefix, LeaseLostError } from "./shared-store.ts";
import { openDatabase } from "./sqlite.ts";

/** At the bound the oldest are forgotten; a watcher that wants them has to look at all again. */
const HISTORY_ROWS_MAX = 10_000;
/** How soon a watcher learns of another process's change, and of the end of a lease. */
const POLL_MS = 250;

const TABLES = `
  CREATE TABLE IF NOT EXISTS shared (
    key TEXT PRIMARY KEY, value TEXT NOT NULL, revision INTEGER NOT NULL, lease INTEGER
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS shared_history (
    revision INTEGER NOT NULL, key TEXT NOT NULL, value TEXT, PRIMARY KEY (revision, key)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS shared_lease (
    id INTEGER PRIMARY KEY AUTOINCREMENT, ttl_ms INTEGER NOT NULL, ends_ms INTEGER NOT NULL
  );
  CREATE TABLE IF NOT EXISTS shared_counter (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
  INSERT INTO shared_counter VALUES ('revision', 0), ('compacted', 0) ON CONFLICT DO NOTHING;
  CREATE INDEX IF NOT EXISTS shared_by_lease ON shared (lease) WHERE lease IS NOT NULL;`;

const SQL = {
  get: "SELECT key, value, revision FROM shared WHERE key = ?",
  list: "SELECT key, value, revision FROM shared WHERE key >= ? AND key < ? ORDER BY key",
  any: "SELECT 1 FROM shared WHERE key >= ? AND key < ? LIMIT 1",
  put: `INSERT INTO shared (key, value, revision, lease) VALUES (?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET
      value = excluded.value, revision = excluded.revision, lease = excluded.lease`,
  remove: "DELETE FROM shared WHERE key = ?",
  counter: "SELECT number FROM shared_counter WHERE name = ?",
  setCounter: "UPDATE shared_counter SET number = ? WHERE name = ?",
  record: "INSERT OR REPLACE INTO shared_history (revision, key, value) VALUES (?, ?, ?)",
  history: `SELECT key, value, revision FROM shared_history
    WHERE revision > ? AND key >= ? AND key < ? ORDER BY revision, key`,
  historySize: "SELECT count(*) AS number FROM shared_history",
  historyAt: "SELECT revision AS number FROM shared_history ORDER BY revision LIMIT 1 OFFSET ?",
  forget: "DELETE FROM shared_history WHERE revision <= ?",
  grant: "INSERT INTO shared_lease (ttl_ms, ends_ms) VALUES (?, ?)",
  keep: "UPDATE shared_lease SET ends_ms = ? + ttl_ms WHERE id = ?",
  endLease: "DELETE FROM shared_lease WHERE id = ?",
  lease: "SELECT 1 FROM shared_lease WHERE id = ?",
  ended: "SELECT id AS number FROM shared_lease WHERE ends_ms <= ?",
  ofLease: "SELECT key FROM shared WHERE lease = ?",
  dataVersion: "PRAGMA data_version",
} as const;

interface Subscription {
  prefix: string;
  seen: number;
  watcher: SharedWatcher;
}

export interface SqliteSharedOptions {
  /** Milliseconds since 1970: leases outlive the process. */
  nowMs?: () => number;
  historyRowsMax?: number;
}

export class SqliteSharedStore implements SharedStore {
  readonly name = "the embedded store";
  readonly #database: DatabaseSync;
  readonly #statements: Record<keyof typeof SQL, StatementSync>;
  readonly #nowMs: () => number;
  readonly #historyRowsMax: number;
  readonly #subscriptions = new Set<Subscription>();
  #timer: NodeJS.Timeout | undefined;
  #dataVersion = -1;
  #historyRows: number;

  /** @param file Path of the database, or ":memory:". Folders are made; the file is 0600. */
  constructor(file: string, options: SqliteSharedOptions = {}) {
    this.#nowMs = options.nowMs ?? Date.now;
    this.#historyRowsMax = options.historyRowsMax ?? HISTORY_ROWS_MAX;
    this.#database = openDatabase(file);
    this.#database.exec(TABLES);
    this.#statements = Object.fromEntries(
      Object.entries(SQL).map(([name, sql]) => [name, this.#database.prepare(sql)]),
    ) as Record<keyof typeof SQL, StatementSync>;
    this.#historyRows = this.#number("historySize") ?? 0;
  }

  async get(key: string): Promise<SharedRow | undefined> {
    this.#endLeases();
    return this.#statements.get.get(key) as SharedRow | undefined;
  }

  async list(prefix: string): Promise<{ rows: SharedRow[]; revision: number }> {
    this.#endLeases();
    const rows = this.#statements.list.all(prefix, endOfPrefix(prefix)) as unknown as SharedRow[];
    return { rows, revision: this.#revision() };
  }

  async commit(change: SharedChange): Promise<number | undefined> {
    this.#endLeases();
    const revision = this.#transaction(() => this.#apply(change));
    if (revision !== undefined) this.#deliverSoon();
    return revision;
  }

  async grantLease(ttlSeconds: number): Promise<string> {
    const ttlMs = Math.ceil(ttlSeconds * 1000);
    return String(this.#statements.grant.run(ttlMs, this.#nowMs() + ttlMs).lastInsertRowid);
  }

  async keepLeaseAlive(lease: string): Promise<boolean> {
    this.#endLeases();
    return this.#statements.keep.run(this.#nowMs(), Number(lease)).changes === 1;
  }

  async revokeLease(lease: string): Promise<void> {
    this.#transaction(() => this.#endLease(Number(lease)));
    this.#deliverSoon();
  }

  watch(prefix: string, revision: number, watcher: SharedWatcher): () => void {
    const subscription: Subscription = { prefix, seen: revision, watcher };
    this.#subscriptions.add(subscription);
    this.#timer ??= setInterval(() => this.#poll(), POLL_MS).unref();
    this.#deliverSoon();
    return () => this.#unsubscribe(subscription);
  }

  async trouble(): Promise<undefined> {
    return undefined;
  }

  close(): void {
    for (const subscription of [...this.#subscriptions]) this.#unsubscribe(subscription);
    this.#database.close();
  }

  #apply({ when = [], put = [], delete: remove = [] }: SharedChange): number | undefined {
    if (!when.every((condition) => this.#holds(condition))) return undefined;
    const revision = this.#revision() + 1;
    this.#setCounter("revision", revision);
    for (const { key, value, lease } of put) {
      if (lease !== undefined && this.#statements.lease.get(Number(lease)) === undefined) {
        throw new LeaseLostError(`Cannot write ${key}: its lease has ended`);
      }
      this.#statements.put.run(key, value, revision, lease === undefined ? null : Number(lease));
      this.#record(revision, key, value);
    }
    for (const key of remove) this.#remove(key, revision);
    return revision;
  }

  #holds(condition: SharedCondition): boolean {
    if ("noneBelow" in condition) {
      const { noneBelow } = condition;
      return this.#statements.any.get(noneBelow, endOfPrefix(noneBelow)) === undefined;
    }
    const row = this.#statements.get.get(condition.key) as SharedRow | undefined;
    return (row?.revision ?? 0) === condition.revision;
  }

  #remove(key: string, revision: number): void {
    if (this.#statements.remove.run(key).changes > 0) this.#record(revision, key, null);
  }

  /** Twice the bound is never reached: a tenth is forgotten at a time. */
  #record(revision: number, key: string, value: string | null): void {
    this.#statements.record.run(revision, key, value);
    if (++this.#historyRows <= this.#historyRowsMax) return;
    const upTo = this.#number("historyAt", Math.ceil(this.#historyRowsMax / 10)) ?? revision - 1;
    // A revision is forgotten as a whole, and never the one being written.
    const compacted = Math.min(upTo, revision - 1);
    this.#statements.forget.run(compacted);
    this.#setCounter("compacted", compacted);
    this.#historyRows = this.#number("historySize") ?? 0;
  }

  #endLeases(): void {
    const ended = this.#statements.ended.all(this.#nowMs()) as { number: number }[];
    if (ended.length === 0) return;
    this.#transaction(() => {
      for (const { number } of ended) this.#endLease(number);
    });
    this.#deliverSoon();
  }

  #endLease(lease: number): void {
    const revision = this.#revision() + 1;
    this.#setCounter("revision", revision);
    const keys = this.#statements.ofLease.all(lease) as { key: string }[];
    for (const { key } of keys) this.#remove(key, revision);
    this.#statements.endLease.run(lease);
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      const result = work();
      this.#database.exec("COMMIT");
      return result;
    } finally {
      // A full disk has rolled it back already.
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
    }
  }

  #poll(): void {
    this.#endLeases();
    const row = this.#statements.dataVersion.get() as { data_version: number };
    if (row.data_version === this.#dataVersion) return;
    this.#dataVersion = row.data_version;
    this.#deliver();
  }

  /** Not within `commit`: its caller must know of its own change first. */
  #deliverSoon(): void {
    if (this.#subscriptions.size > 0) queueMicrotask(() => this.#deliver());
  }

  #deliver(): void {
    for (const subscription of [...this.#subscriptions]) {
      const { prefix, seen, watcher } = subscription;
      if (!this.#subscriptions.has(subscription)) continue;
      if (seen < this.#counter("compacted")) {
        this.#unsubscribe(subscription);
        watcher.ended("compacted");
        continue;
      }
      const rows = this.#statements.history.all(seen, prefix, endOfPrefix(prefix)) as unknown as ({
        value: string | null;
      } & Omit<SharedEvent, "value">)[];
      const last = rows.at(-1);
      if (last === undefined) continue;
      subscription.seen = last.revision;
      watcher.changed(rows.map((row) => ({ ...row, value: row.value ?? undefined })));
    }
  }

  #unsubscribe(subscription: Subscription): void {
    this.#subscriptions.delete(subscription);
    if (this.#subscriptions.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #revision(): number {
    return this.#counter("revision");
  }

  #counter(name: string): number {
    return this.#number("counter", name) ?? 0;
  }

  #setCounter(name: string, number: number): void {
    this.#statements.setCounter.run(number, name);
  }

  #number(statement: keyof typeof SQL, ...parameters: SQLInputValue[]): number | undefined {
    return (this.#statements[statement].get(...parameters) as { number: number } | undefined)
      ?.number;
  }
}
