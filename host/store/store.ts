/**
 * What the agent must not forget: one small key-value interface, so that the embedded store here
 * and a shared one (etcd) can stand behind the same code. Keys are paths (`endpoints/7`), values
 * JSON text.
 */

export interface StoreRow {
  key: string;
  value: string;
  /** Rises with every write of this key; 0 stands for "no such key" in `compareAndSwap`. */
  version: number;
}

export interface Store {
  get(key: string): StoreRow | undefined;
  /** Rows whose key starts with `prefix`, by key. */
  list(prefix: string): StoreRow[];
  /**
   * Writes only when the key's version is `expected` (0: it must not exist). Returns the new
   * version, or undefined when somebody else was first.
   */
  compareAndSwap(key: string, expected: number, value: string): number | undefined;
  /** Writes whatever was there. */
  put(key: string, value: string): void;
  /** All of them or none, with one wait for the disk; `deletes` are keys that go with them. */
  putAll(rows: readonly Pick<StoreRow, "key" | "value">[], deletes?: readonly string[]): void;
  /** Deleting what is not there is not an error. */
  delete(key: string): void;
  close(): void;
}
