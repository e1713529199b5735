/**
 * Determinisation, one step at a time: a state is the set of nodes the automaton may be in, plus
 * what assertions need to know of the byte before. Assertions stay in the set unresolved until the
 * next byte, or the end, is known. Both the whole table (automaton.ts) and the lazy matcher
 * (matcher.ts) are built from these steps.
 */

import type { Program } from "./program.ts";
import type { Assertion } from "./syntax.ts";

/** What lies before or behind a position; flags, since the text's start is a line's start too. */
const EDGE = 1;
const NEWLINE = 2;
const WORD = 4;

const END = -1;

/** One deterministic state. */
export interface Subset {
  readonly nodes: Uint16Array;
  readonly context: number;
  readonly asserts: boolean;
  readonly key: string;
}

export class Subsets {
  readonly #program: Program;
  readonly #marks: Uint32Array;
  readonly #members: Uint16Array;
  readonly #stack: number[] = [];
  #mark = 0;
  #count = 0;
  #asserts = false;
  /** Nodes looked at so far: the measure of the work done. */
  work = 0;

  constructor(program: Program) {
    this.#program = program;
    this.#marks = new Uint32Array(program.nodes.length);
    this.#members = new Uint16Array(program.nodes.length);
  }

  start(): Subset {
    this.#begin();
    this.#include(this.#program.start);
    return this.#finish(EDGE);
  }

  /** The state behind `state` and a byte like `byte`. */
  step(state: Subset, byte: number): Subset {
    const from = state.asserts ? this.#resolve(state, byte) : state.nodes;
    this.#begin();
    for (const id of from) {
      const node = this.#program.nodes[id];
      if (node?.kind !== "read") continue;
      this.work += node.ranges.length;
      for (const range of node.ranges) {
        if (byte < range.low) break;
        if (byte <= range.high) this.#include(range.next);
      }
    }
    return this.#finish(contextOf(byte));
  }

  /** Whether the text may end in `state`. */
  accepts(state: Subset): boolean {
    const nodes = state.asserts ? this.#resolve(state, END) : state.nodes;
    return nodes.some((id) => this.#program.nodes[id]?.kind === "match");
  }

  #begin(): void {
    this.#mark += 1;
    this.#count = 0;
    this.#asserts = false;
  }

  /** Adds `id` and what it reaches without a byte and without an assertion. */
  #include(id: number): void {
    const stack = this.#stack;
    stack.push(id);
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (this.#marks[at] === this.#mark) continue;
      this.#marks[at] = this.#mark;
      this.work += 1;
      const node = this.#program.nodes[at];
      if (node?.kind === "split") {
        for (const target of node.targets) stack.push(target);
        continue;
      }
      if (node?.kind === "assert") this.#asserts = true;
      this.#members[this.#count] = at;
      this.#count += 1;
    }
  }

  #finish(context: number): Subset {
    const nodes = this.#members.slice(0, this.#count).sort();
    const { usesWords, usesLines, usesStart } = this.#program;
    const used = (usesWords ? WORD : 0) | (usesLines ? NEWLINE : 0) | (usesStart ? EDGE : 0);
    const kept = this.#asserts ? context & used : 0;
    return { nodes, context: kept, asserts: this.#asserts, key: keyOf(nodes, kept) };
  }

  /** Crosses the assertions that hold between the state's context and `byte` (or END). */
  #resolve(state: Subset, byte: number): Uint16Array {
    const after = byte === END ? EDGE : contextOf(byte);
    this.#begin();
    for (const id of state.nodes) this.#include(id);
    // Members grow while this runs: an assertion may lead to another.
    for (let index = 0; index < this.#count; index += 1) {
      const node = this.#program.nodes[this.#members[index] ?? 0];
      if (node?.kind === "assert" && holds(node.what, state.context, after)) {
        this.#include(node.next);
      }
    }
    return this.#members.slice(0, this.#count);
  }
}

function contextOf(byte: number): number {
  if (byte === 0x0a) return NEWLINE;
  const word =
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x41 && byte <= 0x5a) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x5f;
  return word ? WORD : 0;
}

function holds(what: Assertion, before: number, after: number): boolean {
  switch (what) {
    case "textStart":
      return (before & EDGE) !== 0;
    case "textEnd":
      return (after & EDGE) !== 0;
    case "lineStart":
      return (before & (EDGE | NEWLINE)) !== 0;
    case "lineEnd":
      return (after & (EDGE | NEWLINE)) !== 0;
    case "word":
      return (before & WORD) !== (after & WORD);
    case "notWord":
      return (before & WORD) === (after & WORD);
  }
}

const KEY_CHUNK = 4_096;

function keyOf(nodes: Uint16Array, context: number): string {
  let key = String.fromCharCode(context);
  for (let start = 0; start < nodes.length; start += KEY_CHUNK) {
    key += String.fromCharCode(...nodes.subarray(start, start + KEY_CHUNK));
  }
  return key;
}
