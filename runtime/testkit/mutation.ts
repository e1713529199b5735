/**
 * Seeded mutation of byte strings, for bounded fuzzing in a test: the same seed, the same bytes.
 */

/** Numbers of 0..1, the same for the same seed (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Mutator {
  readonly #random: () => number;
  readonly #words: readonly string[];

  /** `words` are inserted whole: what the protocol gives a meaning to. */
  constructor(random: () => number, words: readonly string[]) {
    this.#random = random;
    this.#words = words;
  }

  /** An integer of 0..below-1. */
  integer(below: number): number {
    return Math.floor(this.#random() * below);
  }

  /** One of the items. */
  pick<T>(items: readonly T[]): T {
    const item = items[this.integer(items.length)];
    if (item === undefined) throw new Error("Cannot pick: there is nothing");
    return item;
  }

  /** The text (one character a byte) with one thing changed. */
  mutate(text: string): string {
    const at = this.integer(text.length + 1);
    const until = Math.min(text.length, at + 1 + this.integer(12));
    switch (this.integer(6)) {
      case 0:
        return text.slice(0, at) + String.fromCharCode(this.integer(256)) + text.slice(at + 1);
      case 1:
        return text.slice(0, at) + text.slice(until);
      case 2:
        return text.slice(0, until) + text.slice(at);
      case 3:
        return text.slice(0, at) + this.pick(this.#words) + text.slice(at);
      case 4:
        return text.slice(0, at) + this.pick(this.#words) + text.slice(until);
      default: {
        const from = this.integer(text.length + 1);
        return text.slice(0, at) + text.slice(from, from + this.integer(40)) + text.slice(at);
      }
    }
  }
}
