/**
 * The IPv4 list as the program reads it (bpf/abi/prefilter.h): a word per /20 and a bitmap per /24
 * of which a part is denied. Groups are compiled from the list, each stored with one write, after
 * the bitmaps it points to; so a reader sees the group as it was or as it is.
 */

import type { Piecework } from "../piecework.ts";
import { GROUP_BYTES, GROUP_PART_SHIFT, GROUPS, LEAF_BYTES } from "./layout.ts";
import type { Prefix } from "./prefix.ts";
import type { PrefixList } from "./prefix-list.ts";

export const GROUP_BITS = 20;
const GROUP_ADDRESSES = 2 ** 12;
const LEAF_PREFIX_BITS = 24;
const LEAF_WORDS = LEAF_BYTES / 4;
const LEAVES_IN_GROUP = 16;
const GROUPS_PER_TURN = 1 << 14;
const ALL = 0xffff;

/** What is denied of one group. */
interface GroupParts {
  /** Bit n: the n-th /24 as a whole. */
  all: number;
  /** Bit n: the n-th /24 in part. */
  part: number;
}

export class GroupTable {
  readonly #groups: BigInt64Array;
  readonly #leaves: Uint32Array;
  readonly #leavesMax: number;
  #leavesUsed = 0;
  /** Nothing was stored yet: what is not denied need not be cleared. */
  #isBlank = true;
  /** Bitmaps of the group in hand. */
  readonly #bitmaps = new Uint32Array(LEAVES_IN_GROUP * LEAF_WORDS);

  /** Over zeroed memory: `GROUPS` rows, and as many leaves as fit. */
  constructor(groups: ArrayBuffer, leaves: ArrayBuffer) {
    this.#groups = new BigInt64Array(groups, 0, (GROUPS * GROUP_BYTES) / 8);
    this.#leaves = new Uint32Array(leaves);
    this.#leavesMax = Math.floor(leaves.byteLength / LEAF_BYTES);
  }

  get leavesUsed(): number {
    return this.#leavesUsed;
  }

  /** Compiles the whole list, once. False: there is no room for its leaves. */
  *compiling(list: PrefixList): Piecework<boolean> {
    for (let from = 0; from < GROUPS; from += GROUPS_PER_TURN) {
      if (!this.compile(list, from, from + GROUPS_PER_TURN)) return false;
      yield;
    }
    this.#isBlank = false;
    return true;
  }

  /**
   * Compiles groups [from, to) of the list. False: there is no room for more leaves, the groups
   * from some one on are as they were, and a larger table must be made.
   */
  compile(list: PrefixList, from: number, to: number): boolean {
    const start: Prefix = { family: 4, words: [(from * GROUP_ADDRESSES) >>> 0], bits: 0 };
    let row = list.lowerBound(start);
    const cover = list.covering({ ...start, bits: GROUP_BITS });
    let coveredTo = cover === undefined ? 0 : endOf(cover.words[0] ?? 0, cover.bits);
    for (let group = from; group < to; group++) {
      const end = (group + 1) * GROUP_ADDRESSES;
      const parts: GroupParts = { all: coveredTo >= end ? ALL : 0, part: 0 };
      for (; row < list.size && list.word(row) < end; row++) {
        const address = list.word(row);
        if (address < coveredTo) continue;
        coveredTo = endOf(address, list.bits(row));
        this.#deny(parts, address, list.bits(row));
      }
      if (this.#isBlank && parts.all === 0 && parts.part === 0) continue;
      if (!this.#store(group, parts)) return false;
    }
    return true;
  }

  #deny(parts: GroupParts, address: number, bits: number): void {
    const block = (address >>> 8) & (LEAVES_IN_GROUP - 1);
    if (bits <= LEAF_PREFIX_BITS) {
      const blocks = bits <= GROUP_BITS ? LEAVES_IN_GROUP : 1 << (LEAF_PREFIX_BITS - bits);
      parts.all |= ((1 << blocks) - 1) << block;
      return;
    }
    const bitmap = this.#bitmaps.subarray(block * LEAF_WORDS, (block + 1) * LEAF_WORDS);
    if (((parts.part >>> block) & 1) === 0) bitmap.fill(0);
    parts.part |= 1 << block;
    const first = address & 255;
    for (let at = first; at < first + 2 ** (32 - bits); at++) {
      bitmap[at >>> 5] = (bitmap[at >>> 5] ?? 0) | (1 << (at & 31));
    }
  }

  #store(group: number, { all, part }: GroupParts): boolean {
    const first = this.#leavesUsed;
    for (let block = 0; block < LEAVES_IN_GROUP; block++) {
      if (((part >>> block) & 1) === 0) continue;
      if (this.#leavesUsed >= this.#leavesMax) return false;
      const bitmap = this.#bitmaps.subarray(block * LEAF_WORDS, (block + 1) * LEAF_WORDS);
      this.#leaves.set(bitmap, this.#leavesUsed * LEAF_WORDS);
      this.#leavesUsed++;
    }
    const low = (all | (part << GROUP_PART_SHIFT)) >>> 0;
    const value = part === 0 ? BigInt(low) : (BigInt(first) << 32n) | BigInt(low);
    if (this.#groups[group] !== value) Atomics.store(this.#groups, group, value);
    return true;
  }
}

/** How many leaves the list needs when it is compiled whole; never less. */
export function leavesFor(list: PrefixList): number {
  let count = 0;
  let last = -1;
  for (let row = 0; row < list.size; row++) {
    const block = list.word(row) >>> 8;
    if (list.bits(row) <= LEAF_PREFIX_BITS || block === last) continue;
    last = block;
    count++;
  }
  return count;
}

/** The first group a prefix touches, and the one behind the last. */
export function groupsOf({ words, bits }: Prefix): [from: number, to: number] {
  const from = (words[0] ?? 0) >>> 12;
  return [from, from + (bits >= GROUP_BITS ? 1 : 2 ** (GROUP_BITS - bits))];
}

/** The address behind the prefix; 2^32 for the last one. */
function endOf(address: number, bits: number): number {
  return address + 2 ** (32 - bits);
}
