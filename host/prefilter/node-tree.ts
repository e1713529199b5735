/**
 * The IPv6 list as the program reads it (bpf/abi/prefilter.h): a search tree of prefixes none of
 * which contains another. A change writes new nodes from the touched leaf up to the root and then
 * points to the new root, in one write for any number of changes; a node once reached is never
 * written again, so a reader sees the list as it was or as it is.
 */

import type { Piecework } from "../piecework.ts";
import {
  HAS_TAIL,
  LEVELS_MAX,
  NODE_BYTES,
  NODE_KEYS,
  NODE_VALUES_WORD32,
  TAIL_BYTES,
} from "./layout.ts";
import type { Prefix } from "./prefix.ts";
import type { PrefixList } from "./prefix-list.ts";

const NODE_WORDS32 = NODE_BYTES / 4;
const TAIL_WORDS32 = TAIL_BYTES / 4;
const NODES_PER_TURN = 1024;

/** A key with what stands beside it: a length on the lowest level, else a node. */
interface Entry {
  words: readonly number[];
  value: number;
}

export class NodeTree {
  /** Upper halves of keys, and values. */
  readonly #words: Uint32Array;
  /** Lower halves. */
  readonly #tails: Uint32Array;
  readonly #rootWord: BigInt64Array;
  readonly #nodesMax: number;
  /** Node 0 points to the root. */
  #nodesUsed = 1;
  #root = 0;
  #levels = 0;

  /** Over zeroed memory, as many nodes as fit, and as many tails. */
  constructor(memory: ArrayBuffer, tails: ArrayBuffer) {
    this.#words = new Uint32Array(memory);
    this.#tails = new Uint32Array(tails);
    this.#rootWord = new BigInt64Array(memory, 0, 1);
    this.#nodesMax = Math.floor(memory.byteLength / NODE_BYTES);
  }

  get nodesUsed(): number {
    return this.#nodesUsed;
  }

  /** Has it room for one more change? Without it a larger tree must be made. */
  get hasRoom(): boolean {
    return this.#nodesMax - this.#nodesUsed >= 2 * (LEVELS_MAX + 1);
  }

  /** Once, on an empty tree that is large enough (`nodesFor`). */
  *building(list: PrefixList): Piecework<void> {
    const rows = list.outermost();
    let entries: Entry[] = [];
    for (let from = 0; from < rows.length; from += NODE_KEYS) {
      if (entries.length % NODES_PER_TURN === 0) yield;
      const leaf = Array.from(rows.subarray(from, from + NODE_KEYS), (row) => list.at(row));
      entries.push(this.#write(leaf.map(({ words, bits }): Entry => ({ words, value: bits }))));
    }
    for (; entries.length > 1; this.#levels++) entries = this.#writeAll(entries);
    this.#root = entries[0]?.value ?? 0;
    this.commit();
  }

  /** Not seen before `commit`. No key of the tree may contain it or be inside it. */
  insert({ words, bits }: Prefix): void {
    this.#change(words, (entries, at) => entries.splice(at, 0, { words, value: bits }));
  }

  /** Not seen before `commit`. It must be in the tree. */
  remove({ words }: Prefix): void {
    this.#change(words, (entries, at) => entries.splice(at - 1, 1));
  }

  /** Makes everything changed since the last time visible at once. */
  commit(): void {
    Atomics.store(this.#rootWord, 0, (BigInt(this.#levels) << 32n) | BigInt(this.#root));
  }

  /** `edit` is given the lowest node's entries and how many of them are not behind `key`. */
  #change(key: readonly number[], edit: (entries: Entry[], at: number) => void): void {
    let tops: Entry[];
    if (this.#root === 0) {
      const entries: Entry[] = [];
      edit(entries, 0);
      tops = this.#writeAll(entries);
    } else {
      tops = this.#rewrite(this.#root, this.#levels, key, edit);
    }
    for (; tops.length > 1; this.#levels++) tops = this.#writeAll(tops);
    this.#root = tops[0]?.value ?? 0;
    if (this.#root === 0) this.#levels = 0;
  }

  /** What stands in the place of `node`: nothing, one node, or two. */
  #rewrite(
    node: number,
    level: number,
    key: readonly number[],
    edit: (entries: Entry[], at: number) => void,
  ): Entry[] {
    const entries = this.#read(node);
    let at = 0;
    while (at < entries.length && compareWords(entries[at]?.words ?? [], key) <= 0) at++;
    if (level === 0) {
      edit(entries, at);
    } else {
      const child = Math.max(at - 1, 0);
      const below = this.#rewrite(entries[child]?.value ?? 0, level - 1, key, edit);
      entries.splice(child, 1, ...below);
    }
    return this.#writeAll(entries);
  }

  #read(node: number): Entry[] {
    const entries: Entry[] = [];
    for (let at = 0; at < NODE_KEYS; at++) {
      const [high, low] = places(node, at);
      const words = [
        ...[this.#words[high + 1] ?? 0, this.#words[high] ?? 0],
        ...[this.#tails[low + 1] ?? 0, this.#tails[low] ?? 0],
      ];
      const last = entries.at(-1);
      if (last !== undefined && compareWords(last.words, words) === 0) break;
      const value = this.#words[node * NODE_WORDS32 + NODE_VALUES_WORD32 + at] ?? 0;
      entries.push({ words, value: value & ~HAS_TAIL });
    }
    return entries;
  }

  /** Into as few nodes as hold them, evenly. */
  #writeAll(entries: readonly Entry[]): Entry[] {
    const nodes = Math.ceil(entries.length / NODE_KEYS);
    const each = nodes === 2 ? Math.ceil(entries.length / 2) : NODE_KEYS;
    const written: Entry[] = [];
    for (let from = 0; from < entries.length; from += each) {
      written.push(this.#write(entries.slice(from, from + each)));
    }
    return written;
  }

  #write(entries: readonly Entry[]): Entry {
    if (this.#nodesUsed >= this.#nodesMax) throw new Error("Cannot write a node: the tree is full");
    const node = this.#nodesUsed++;
    for (let at = 0; at < NODE_KEYS; at++) {
      const { words, value } = entries[Math.min(at, entries.length - 1)] ?? { words: [], value: 0 };
      const [high, low] = places(node, at);
      const [first = 0, second = 0, third = 0, fourth = 0] = words;
      this.#words[high + 1] = first;
      this.#words[high] = second;
      this.#tails[low + 1] = third;
      this.#tails[low] = fourth;
      const hasTail = third !== 0 || fourth !== 0;
      this.#words[node * NODE_WORDS32 + NODE_VALUES_WORD32 + at] = hasTail
        ? value | HAS_TAIL
        : value;
    }
    return { words: entries[0]?.words ?? [], value: node };
  }
}

/** Where the halves of a key stand; the less significant word comes first. */
function places(node: number, at: number): [high: number, low: number] {
  return [node * NODE_WORDS32 + at * 2, node * TAIL_WORDS32 + at * 2];
}

/** How many nodes `build` writes for so many prefixes, and node 0. */
export function nodesFor(prefixes: number): number {
  let nodes = 1;
  for (let level = prefixes; level > 0; ) {
    level = Math.ceil(level / NODE_KEYS);
    nodes += level;
    if (level === 1) break;
  }
  return nodes;
}

function compareWords(a: readonly number[], b: readonly number[]): number {
  for (let at = 0; at < a.length; at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
