/**
 * Values by identity in the order in which the kernel's tree is written fast: it branches by bytes
 * as they lie in memory, so neighbours in that order share their way down. Many identities in turn
 * have the same value, so a number for each of them is all that is kept.
 */

/** Different values; the number of one has to fit beside 32 bits of identity into a number. */
const VALUES_MAX = 2 ** 21;

export class TreeOrder<T> {
  readonly #keys: Float64Array;
  readonly #values: T[] = [];
  #count = 0;

  /** @param identitiesMax As many as are going to be added, or more. */
  constructor(identitiesMax: number) {
    this.#keys = new Float64Array(identitiesMax);
  }

  /** Each identity once. */
  add(identity: number, value: T): void {
    if (this.#values.at(-1) !== value) this.#values.push(value);
    if (this.#count === this.#keys.length || this.#values.length > VALUES_MAX) {
      throw new RangeError(`Cannot order more than ${this.#count} identities`);
    }
    this.#keys[this.#count++] = swapBytes(identity) * VALUES_MAX + this.#values.length - 1;
  }

  /** After the last `add`. */
  sort(): this {
    this.#keys.subarray(0, this.#count).sort();
    return this;
  }

  each(visit: (identity: number, value: T) => void): void {
    for (let index = 0; index < this.#count; index++) {
      const key = this.#keys[index] ?? 0;
      visit(swapBytes(Math.floor(key / VALUES_MAX)), this.#values[key % VALUES_MAX] as T);
    }
  }
}

function swapBytes(value: number): number {
  const swapped =
    (value << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24);
  return swapped >>> 0;
}
