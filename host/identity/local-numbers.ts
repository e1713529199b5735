/**
 * Numbers that only this node knows, for prefixes, DNS names and other nodes. They are kept in the
 * agent's own store, so that a restarted agent finds in the kernel's maps the numbers it gives out.
 */
import type { Identity } from "../policy/types.ts";
import type { Store } from "../store/store.ts";
import { parseLabelSetKey } from "./label.ts";
import { IdentityAllocationError, type IdentityChange, type Numbers } from "./numbers.ts";
import { inRange, type NumberRange } from "./ranges.ts";

export interface LocalNumbersDeps {
  store: Store;
  /** Its folder in the store, and in messages. */
  name: string;
  range: NumberRange;
  onChange: (change: IdentityChange) => void;
}

export class LocalNumbers implements Numbers {
  readonly #deps: LocalNumbersDeps;
  readonly #byId = new Map<number, Identity>();
  readonly #byKey = new Map<string, number>();
  /** Where the search for a free number goes on, so that numbers come back as late as possible. */
  #next: number;

  constructor(deps: LocalNumbersDeps) {
    this.#deps = deps;
    this.#next = deps.range.min;
  }

  async start(): Promise<void> {
    const { store, range } = this.#deps;
    const prefix = this.#row("");
    for (const row of store.list(prefix)) {
      const id = Number(row.key.slice(prefix.length));
      if (!inRange(range, id) || this.#byKey.has(row.value)) store.delete(row.key);
      else this.#learn(id, row.value);
    }
  }

  async acquire(key: string): Promise<number> {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const id = this.#free();
    this.#deps.store.put(this.#row(id), key);
    this.#learn(id, key);
    return id;
  }

  async release(id: number, key: string): Promise<void> {
    this.#deps.store.delete(this.#row(id));
    this.#byKey.delete(key);
    this.#byId.delete(id);
    this.#deps.onChange({ added: [], removed: [id] });
  }

  get(id: number): Identity | undefined {
    return this.#byId.get(id);
  }

  list(): Iterable<Identity> {
    return this.#byId.values();
  }

  close(): void {}

  #row(id: number | ""): string {
    return `identities/${this.#deps.name}/id/${id}`;
  }

  #free(): number {
    const { min, max } = this.#deps.range;
    const numbers = max - min + 1;
    for (let tried = 0, id = this.#next; tried < numbers; tried++, id = id >= max ? min : id + 1) {
      if (!this.#byId.has(id)) return id;
    }
    throw new IdentityAllocationError(
      `Cannot allocate an identity: all ${numbers} ${this.#deps.name} numbers are in use`,
    );
  }

  #learn(id: number, key: string): void {
    const identity = { id, labels: parseLabelSetKey(key) };
    this.#byId.set(id, identity);
    this.#byKey.set(key, id);
    const { min, max } = this.#deps.range;
    if (id >= this.#next) this.#next = id >= max ? min : id + 1;
    this.#deps.onChange({ added: [identity], removed: [] });
  }
}
