/**
 * The denied prefixes of one family as they were given, nested ones included, sorted by address and
 * length, so that what contains a prefix stands before it. A change moves what is behind it (a few
 * megabytes at a million prefixes, a millisecond); everything else is a binary search.
 */

import { finish, type Piecework } from "../piecework.ts";
import { contains, type Family, formatWords, maskWord, type Prefix, WORDS } from "./prefix.ts";
import { sortingOrder } from "./radix-sort.ts";

const ROWS_MIN = 64;
const ROWS_PER_TURN = 1 << 15;

export class PrefixList {
  readonly family: Family;
  readonly #width: number;
  #words: Uint32Array;
  #bits: Uint8Array;
  #size = 0;
  /** Prefixes of each length: most lengths need not be looked for. */
  readonly #lengths = new Uint32Array(129);

  constructor(family: Family, rows = ROWS_MIN) {
    this.family = family;
    this.#width = WORDS[family];
    this.#words = new Uint32Array(rows * this.#width);
    this.#bits = new Uint8Array(rows);
  }

  get size(): number {
    return this.#size;
  }

  /** In any order, with duplicates: call `sort` before anything else is asked. */
  push(prefix: Prefix): void {
    this.#reserve();
    this.#write(this.#size, prefix);
    this.#size++;
  }

  /** Puts pushed prefixes in order, each once. */
  sort(): void {
    finish(this.sorting());
  }

  /** As `sort`. Between the steps the list may not be used. */
  *sorting(): Piecework<void> {
    const [width, words, bits] = [this.#width, this.#words, this.#bits];
    const order = yield* sortingOrder(words, width, bits.subarray(0, this.#size));
    this.#words = new Uint32Array(Math.max(order.length, ROWS_MIN) * width);
    this.#bits = new Uint8Array(Math.max(order.length, ROWS_MIN));
    this.#lengths.fill(0);
    this.#size = 0;
    for (const [rank, row] of order.entries()) {
      if (rank % ROWS_PER_TURN === 0) yield;
      const last = this.#size - 1;
      for (let at = 0; at < width; at++) {
        this.#words[this.#size * width + at] = words[row * width + at] ?? 0;
      }
      this.#bits[this.#size] = bits[row] ?? 0;
      if (last >= 0 && this.#sameRow(last, last + 1)) continue;
      this.#count(bits[row] ?? 0, 1);
      this.#size++;
    }
  }

  word(row: number, at = 0): number {
    return this.#words[row * this.#width + at] ?? 0;
  }

  bits(row: number): number {
    return this.#bits[row] ?? 0;
  }

  at(row: number): Prefix {
    const words = Array.from({ length: this.#width }, (_, at) => this.word(row, at));
    return { family: this.family, words, bits: this.bits(row) };
  }

  text(row: number): string {
    return `${formatWords(this.family, (at) => this.word(row, at))}/${this.bits(row)}`;
  }

  /** False: it was there. */
  add(prefix: Prefix): boolean {
    const row = this.lowerBound(prefix);
    if (this.#isAt(row, prefix)) return false;
    this.#reserve();
    const width = this.#width;
    this.#words.copyWithin((row + 1) * width, row * width, this.#size * width);
    this.#bits.copyWithin(row + 1, row, this.#size);
    this.#write(row, prefix);
    this.#size++;
    this.#count(prefix.bits, 1);
    return true;
  }

  /** False: it was not there. */
  delete(prefix: Prefix): boolean {
    const row = this.lowerBound(prefix);
    if (!this.#isAt(row, prefix)) return false;
    const width = this.#width;
    this.#words.copyWithin(row * width, (row + 1) * width, this.#size * width);
    this.#bits.copyWithin(row, row + 1, this.#size);
    this.#size--;
    this.#count(prefix.bits, -1);
    return true;
  }

  has(prefix: Prefix): boolean {
    return this.#isAt(this.lowerBound(prefix), prefix);
  }

  /** The shortest prefix of the list that contains this one and is shorter. */
  covering(prefix: Prefix): Prefix | undefined {
    for (let bits = 0; bits < prefix.bits; bits++) {
      if (this.#lengths[bits] === 0) continue;
      const words = prefix.words.map((word, at) => maskWord(word, bits - at * 32));
      const outer: Prefix = { family: this.family, words, bits };
      if (this.has(outer)) return outer;
    }
    return undefined;
  }

  /** Those inside `prefix` and not it, but for those inside another one of them. */
  *outermostWithin(prefix: Prefix): Generator<Prefix> {
    let outer: Prefix | undefined;
    for (let row = this.lowerBound(prefix); row < this.#size; row++) {
      const one = this.at(row);
      if (!contains(prefix, one)) return;
      if (one.bits === prefix.bits || (outer !== undefined && contains(outer, one))) continue;
      outer = one;
      yield one;
    }
  }

  /** Rows of those that are inside no other one. */
  outermost(): Uint32Array {
    const rows = new Uint32Array(this.#size);
    let count = 0;
    for (let row = 0; row < this.#size; row++) {
      if (count > 0 && this.#rowContains(rows[count - 1] ?? 0, row)) continue;
      rows[count++] = row;
    }
    return rows.subarray(0, count);
  }

  /** The first row that is not before the prefix. */
  lowerBound(prefix: Prefix): number {
    let [low, high] = [0, this.#size];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#isBefore(middle, prefix)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #isBefore(row: number, prefix: Prefix): boolean {
    for (let at = 0; at < this.#width; at++) {
      const [mine, other] = [this.word(row, at), prefix.words[at] ?? 0];
      if (mine !== other) return mine < other;
    }
    return this.bits(row) < prefix.bits;
  }

  #isAt(row: number, prefix: Prefix): boolean {
    if (row >= this.#size || this.bits(row) !== prefix.bits) return false;
    return prefix.words.every((word, at) => this.word(row, at) === word);
  }

  #sameRow(a: number, b: number): boolean {
    return this.bits(a) === this.bits(b) && this.#rowContains(a, b);
  }

  #rowContains(outer: number, inner: number): boolean {
    const bits = this.bits(outer);
    if (bits > this.bits(inner)) return false;
    for (let at = 0; at < this.#width && at * 32 < bits; at++) {
      if (maskWord(this.word(inner, at), bits - at * 32) !== this.word(outer, at)) return false;
    }
    return true;
  }

  #write(row: number, prefix: Prefix): void {
    for (let at = 0; at < this.#width; at++) {
      this.#words[row * this.#width + at] = prefix.words[at] ?? 0;
    }
    this.#bits[row] = prefix.bits;
  }

  #count(bits: number, by: number): void {
    this.#lengths[bits] = (this.#lengths[bits] ?? 0) + by;
  }

  #reserve(): void {
    if (this.#size < this.#bits.length) return;
    const rows = this.#bits.length * 2;
    const [words, bits] = [this.#words, this.#bits];
    this.#words = new Uint32Array(rows * this.#width);
    this.#words.set(words);
    this.#bits = new Uint8Array(rows);
    this.#bits.set(bits);
  }
}
