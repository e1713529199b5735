/**
 * The embedded store: one SQLite table through node:sqlite, journalled (WAL) and synced on every
 * commit, so an acknowledged write outlives `kill -9` and power loss.
 */
import { chmodSync, mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Store, StoreRow } from "./store.ts";

/**
 * A connection with the settings that every table of the agent needs. Folders are made; the file is
 * 0600. FULL syncs the journal at each commit; NORMAL would lose the last ones with the power.
 */
export function openDatabase(file: string): DatabaseSync {
  if (file !== ":memory:") mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const database = new DatabaseSync(file);
  if (file !== ":memory:") chmodSync(file, 0o600);
  database.exec(`
    PRAGMA busy_timeout = 5000;
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;`);
  return database;
}

/** The database cannot be read or written; `message` names the file. */
export class StoreError extends Error {
  override readonly name = "StoreError";
}

export class SqliteStore implements Store {
  readonly #file: string;
  readonly #database: DatabaseSync;
  readonly #get: StatementSync;
  readonly #list: StatementSync;
  readonly #insert: StatementSync;
  readonly #update: StatementSync;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;

  /**
   * @param file Path of the database, or ":memory:". Folders are made; the file is 0600.
   * @throws StoreError when the file is damaged or cannot be written.
   */
  constructor(file: string) {
    this.#file = file;
    this.#database = openSound(file);
    const prepare = (sql: string): StatementSync => this.#database.prepare(sql);
    this.#get = prepare("SELECT key, value, version FROM rows WHERE key = ?");
    this.#list = prepare(
      "SELECT key, value, version FROM rows WHERE key >= ? AND key < ? ORDER BY key",
    );
    this.#insert = prepare(
      "INSERT INTO rows (key, value, version) VALUES (?, ?, 1) ON CONFLICT DO NOTHING",
    );
    this.#update = prepare(
      "UPDATE rows SET value = ?, version = version + 1 WHERE key = ? AND version = ?",
    );
    this.#put = prepare(
      `INSERT INTO rows (key, value, version) VALUES (?, ?, 1)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, version = version + 1`,
    );
    this.#delete = prepare("DELETE FROM rows WHERE key = ?");
  }

  get(key: string): StoreRow | undefined {
    return this.#get.get(key) as StoreRow | undefined;
  }

  list(prefix: string): StoreRow[] {
    // Keys are ASCII paths, so every key with the prefix sorts below prefix + U+FFFF.
    return this.#list.all(prefix, `${prefix}\uffff`) as unknown as StoreRow[];
  }

  compareAndSwap(key: string, expected: number, value: string): number | undefined {
    const result = this.#written(() =>
      expected === 0 ? this.#insert.run(key, value) : this.#update.run(value, key, expected),
    );
    return result.changes === 1 ? expected + 1 : undefined;
  }

  put(key: string, value: string): void {
    this.#written(() => this.#put.run(key, value));
  }

  putAll(rows: readonly Pick<StoreRow, "key" | "value">[], deletes: readonly string[] = []): void {
    if (rows.length + deletes.length === 0) return;
    this.#written(() => {
      this.#database.exec("BEGIN IMMEDIATE");
      try {
        for (const { key, value } of rows) this.#put.run(key, value);
        for (const key of deletes) this.#delete.run(key);
        this.#database.exec("COMMIT");
      } finally {
        // A full disk has rolled it back already.
        if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      }
    });
  }

  delete(key: string): void {
    this.#written(() => this.#delete.run(key));
  }

  /** @throws StoreError, as all that writes: the disk is full, mostly. Nothing is written then. */
  #written<T>(write: () => T): T {
    try {
      return write();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new StoreError(`Cannot write to the database ${this.#file}: ${reason}`, { cause });
    }
  }

  close(): void {
    this.#database.close();
  }
}

/** Damage is found here, not by whoever reads the damaged page first. */
function openSound(file: string): DatabaseSync {
  try {
    const database = openDatabase(file);
    database.exec(`
      CREATE TABLE IF NOT EXISTS rows (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER NOT NULL
      ) WITHOUT ROWID;`);
    const found = Object.values(database.prepare("PRAGMA quick_check(1)").get() ?? {});
    if (found[0] === "ok") return database;
    database.close();
    throw new Error(String(found[0]).replaceAll("\n", " "));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new StoreError(
      `Cannot use the database ${file}: ${reason}; put a copy of it in its place, or begin anew ` +
        "with 'imker uninstall'",
      { cause },
    );
  }
}
