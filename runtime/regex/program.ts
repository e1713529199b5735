/**
 * A pattern as a nondeterministic automaton over bytes: nodes that read a byte, split, assert or
 * match, plus the partition of the 256 bytes into classes no node tells apart. Its size is bounded,
 * which bounds what one byte can ever cost a matcher.
 */
import type { CodePoints } from "./code-points.ts";
import { PatternError } from "./pattern-error.ts";
import type { Assertion, Tree } from "./syntax.ts";
import { parsePattern } from "./syntax.ts";
import { UnicodeTables } from "./unicode.ts";
import type { ByteRange } from "./utf8.ts";
import { byteSequences } from "./utf8.ts";

/** Nodes of one pattern: what a byte may cost at worst, and ids fit 16 bits. */
export const NODES_MAX = 32_768;
/** Byte ranges over all nodes; a Unicode class has up to about 1,500. */
export const RANGES_MAX = 262_144;

export type Node =
  | { kind: "read"; ranges: readonly { low: number; high: number; next: number }[] }
  | { kind: "split"; targets: number[] }
  | { kind: "assert"; what: Assertion; next: number }
  | { kind: "match" };

export interface Program {
  nodes: readonly Node[];
  start: number;
  /** Byte → class, classes numbered from 0. */
  classes: Uint8Array;
  classCount: number;
  /** One byte of each class. */
  samples: Uint8Array;
  /** What assertions look at: without them contexts need not be told apart. */
  usesWords: boolean;
  usesLines: boolean;
  usesStart: boolean;
}

/** Compiles RE2 `source`. Throws PatternError. */
export function compileProgram(source: string): Program {
  const tree = parsePattern(source, new UnicodeTables());
  return new Compiler().run(tree);
}

class Compiler {
  readonly #nodes: Node[] = [];
  readonly #sequences = new Map<CodePoints, ByteRange[][]>();
  readonly #asserted = new Set<Assertion>();
  #rangeCount = 0;

  run(tree: Tree): Program {
    const match = this.#add({ kind: "match" });
    const start = this.#compile(tree, match);
    const usesWords = this.#asserted.has("word") || this.#asserted.has("notWord");
    const usesLines = this.#asserted.has("lineStart") || this.#asserted.has("lineEnd");
    const usesStart = usesLines || this.#asserted.has("textStart");
    const nodes = this.#nodes;
    return {
      nodes,
      start,
      ...this.#byteClasses(usesWords, usesLines),
      usesWords,
      usesLines,
      usesStart,
    };
  }

  #add(node: Node): number {
    if (node.kind === "read") this.#rangeCount += node.ranges.length;
    if (this.#nodes.length >= NODES_MAX || this.#rangeCount > RANGES_MAX) {
      throw new PatternError("limit", 0, `pattern too large (${NODES_MAX} nodes)`);
    }
    return this.#nodes.push(node) - 1;
  }

  /** The node from which `tree` and then `next` match. */
  #compile(tree: Tree, next: number): number {
    switch (tree.kind) {
      case "empty":
        return next;
      case "assert":
        this.#asserted.add(tree.what);
        return this.#add({ kind: "assert", what: tree.what, next });
      case "set":
        return this.#set(tree.set, next);
      case "concat":
        return tree.items.reduceRight((behind, item) => this.#compile(item, behind), next);
      case "alternate":
        return this.#alternate(tree.items, next);
      case "repeat":
        return this.#repeat(tree.item, tree.least, tree.most, next);
    }
  }

  #alternate(items: Tree[], next: number): number {
    const targets = items.map((item) => this.#compile(item, next));
    return this.#add({ kind: "split", targets });
  }

  #repeat(item: Tree, least: number, most: number, next: number): number {
    let start = next;
    if (most === Number.POSITIVE_INFINITY) {
      const targets = [next];
      start = this.#add({ kind: "split", targets });
      targets.push(this.#compile(item, start));
    } else {
      for (let count = least; count < most; count += 1) {
        start = this.#add({ kind: "split", targets: [next, this.#compile(item, start)] });
      }
    }
    for (let count = 0; count < least; count += 1) start = this.#compile(item, start);
    return start;
  }

  #set(set: CodePoints, next: number): number {
    let sequences = this.#sequences.get(set);
    if (sequences === undefined) {
      sequences = byteSequences(set);
      this.#sequences.set(set, sequences);
    }
    return this.#reader(sequences, 0, next, new Map());
  }

  /** A node that reads byte `depth` of the sequences; equal rests share a node. */
  #reader(
    sequences: ByteRange[][],
    depth: number,
    next: number,
    shared: Map<string, number>,
  ): number {
    const key = `${sequences.map((sequence) => sequence.slice(depth).join("-")).join(",")}`;
    const known = shared.get(key);
    if (known !== undefined) return known;
    const ranges: { low: number; high: number; next: number }[] = [];
    for (let index = 0; index < sequences.length; ) {
      const [low, high] = sequences[index]?.[depth] ?? [0, 0];
      const group: ByteRange[][] = [];
      for (; index < sequences.length; index += 1) {
        const sequence = sequences[index];
        const range = sequence?.[depth];
        if (sequence === undefined || range?.[0] !== low || range[1] !== high) break;
        group.push(sequence);
      }
      const last = group[0]?.length === depth + 1;
      ranges.push({ low, high, next: last ? next : this.#reader(group, depth + 1, next, shared) });
    }
    const node = this.#add({ kind: "read", ranges });
    shared.set(key, node);
    return node;
  }

  #byteClasses(
    usesWords: boolean,
    usesLines: boolean,
  ): Pick<Program, "classes" | "classCount" | "samples"> {
    const begins = new Uint8Array(257);
    const mark = (low: number, high: number): void => {
      begins[low] = 1;
      begins[high + 1] = 1;
    };
    for (const node of this.#nodes) {
      if (node.kind === "read") for (const { low, high } of node.ranges) mark(low, high);
    }
    if (usesLines) mark(0x0a, 0x0a);
    if (usesWords) {
      for (const [low, high] of ["09", "AZ", "__", "az"]) {
        mark(low?.charCodeAt(0) ?? 0, high?.charCodeAt(0) ?? 0);
      }
    }
    const classes = new Uint8Array(256);
    const samples = new Uint8Array(256);
    let current = 0;
    for (let byte = 0; byte < 256; byte += 1) {
      if (byte > 0 && begins[byte] === 1) current += 1;
      if (byte === 0 || begins[byte] === 1) samples[current] = byte;
      classes[byte] = current;
    }
    return { classes, classCount: current + 1, samples };
  }
}
