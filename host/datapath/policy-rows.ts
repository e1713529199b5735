/**
 * Rows of a policy map as packed bytes. An identity's entries are encoded once for all identities
 * that have the same; packing them for one of these is copying words.
 */
import { encodePolicyKey, encodePolicyValue } from "./abi.ts";
import { LAYOUT } from "./layout.ts";
import type { PolicyMapEntry } from "./types.ts";

const { policy_key: KEY, policy_value: VALUE } = LAYOUT;
const WORD_BYTES = 4;
const KEY_WORDS = KEY.size / WORD_BYTES;
const VALUE_WORDS = VALUE.size / WORD_BYTES;
const IDENTITY_WORD = KEY.identity / WORD_BYTES;

/** Keys and values one after the other, as the kernel's batches take them. */
export interface PolicyRows {
  keys: Uint8Array;
  values: Uint8Array;
  count: number;
}

/**
 * What leads from the rows in force to the wanted ones: first `upserts`, then `deletes` (of which
 * only the keys count), each in its order.
 */
export interface PolicyChange {
  upserts: PolicyRows;
  deletes: PolicyRows;
}

/** Encoded rows without their identity. */
export class RowTemplate {
  readonly count: number;
  readonly keys: Uint32Array;
  readonly values: Uint32Array;

  /** The entries' own identities do not count. */
  constructor(entries: readonly PolicyMapEntry[]) {
    this.count = entries.length;
    const keys = new Uint8Array(KEY.size * entries.length);
    const values = new Uint8Array(VALUE.size * entries.length);
    entries.forEach((entry, index) => {
      const at = { ...entry, identity: 0 };
      encodePolicyKey(keys.subarray(index * KEY.size, (index + 1) * KEY.size), at);
      encodePolicyValue(values.subarray(index * VALUE.size, (index + 1) * VALUE.size), at);
    });
    this.keys = new Uint32Array(keys.buffer);
    this.values = new Uint32Array(values.buffer);
  }

  /** Equal for equal keys. */
  keyAt(row: number): string {
    return this.keys.subarray(row * KEY_WORDS, (row + 1) * KEY_WORDS).join();
  }

  /** Equal for equal values. */
  valueAt(row: number): string {
    return this.values.subarray(row * VALUE_WORDS, (row + 1) * VALUE_WORDS).join();
  }
}

/** Fills a buffer of a known size, over and over. */
export class RowPacker {
  readonly #capacity: number;
  readonly #keys: Uint32Array<ArrayBuffer>;
  readonly #values: Uint32Array<ArrayBuffer>;
  #count = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
    this.#keys = new Uint32Array(KEY_WORDS * capacity);
    this.#values = new Uint32Array(VALUE_WORDS * capacity);
  }

  /** What was packed before is no longer valid. */
  reset(): void {
    this.#count = 0;
  }

  /** All rows of the template, for this identity. */
  addAll(identity: number, template: RowTemplate): void {
    for (let row = 0; row < template.count; row++) this.add(identity, template, row);
  }

  /** One row of the template, for this identity. */
  add(identity: number, { keys, values }: RowTemplate, row: number): void {
    if (this.#count === this.#capacity)
      throw new RangeError(`Cannot pack rows: there is room for ${this.#capacity}`);
    // Word by word: for so few, a copy by the runtime costs more than the words.
    const key = this.#count * KEY_WORDS;
    for (let word = 0; word < KEY_WORDS; word++) {
      this.#keys[key + word] = keys[row * KEY_WORDS + word] ?? 0;
    }
    this.#keys[key + IDENTITY_WORD] = identity;
    const value = this.#count * VALUE_WORDS;
    for (let word = 0; word < VALUE_WORDS; word++) {
      this.#values[value + word] = values[row * VALUE_WORDS + word] ?? 0;
    }
    this.#count++;
  }

  /** What was packed, not copied. */
  rows(): PolicyRows {
    const keys = new Uint8Array(this.#keys.buffer, 0, this.#count * KEY.size);
    const values = new Uint8Array(this.#values.buffer, 0, this.#count * VALUE.size);
    return { keys, values, count: this.#count };
  }
}
