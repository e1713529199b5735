/**
 * Where identity numbers are kept, so that they survive a restart: a small key-value interface
 * that an embedded database and etcd can both serve, and its in-memory form.
 */

export interface IdentityStore {
  get(key: string): Promise<string | undefined>;
  /** Compare-and-swap against absence; false if the key exists. Durable when it resolves. */
  createIfAbsent(key: string, value: string): Promise<boolean>;
  list(prefix: string): Promise<{ key: string; value: string }[]>;
  delete(key: string): Promise<void>;
}

/** Keeps everything in this process and forgets it with it. */
export class MemoryIdentityStore implements IdentityStore {
  readonly #values = new Map<string, string>();

  async get(key: string): Promise<string | undefined> {
    return this.#values.get(key);
  }

  async createIfAbsent(key: string, value: string): Promise<boolean> {
    if (this.#values.has(key)) return false;
    this.#values.set(key, value);
    return true;
  }

  async list(prefix: string): Promise<{ key: string; value: string }[]> {
    return [...this.#values]
      .filter(([key]) => key.startsWith(prefix))
      .map(([key, value]) => ({ key, value }));
  }

  async delete(key: string): Promise<void> {
    this.#values.delete(key);
  }
}
