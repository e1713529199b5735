/**
 * A pattern as the byte automaton plugins run (sdk/automaton.ts): determinised and minimised within
 * fixed budgets, or a handle when it would be larger. Table, little-endian: 0 magic "IDFA", 4 u16
 * version, 6 u16 states S, 8 u16 classes C, 10 u16 start, 12 class of each of the 256 bytes, 268
 * bitmap of accepting states, padded to an even offset, then S×C u16 transitions. State 0 is dead.
 */
import { equivalentStates } from "./minimise.ts";
import type { Program } from "./program.ts";
import { compileProgram } from "./program.ts";
import type { Subset } from "./subsets.ts";
import { Subsets } from "./subsets.ts";

export const AUTOMATON_MAGIC = "IDFA";
export const AUTOMATON_VERSION = 1;
/** States of a table handed to a plugin. */
export const STATES_MAX = 4_096;
/** Bytes of a table handed to a plugin. */
export const TABLE_BYTES_MAX = 262_144;
/** States before minimisation. */
const RAW_STATES_MAX = 16_384;
/** Transitions before minimisation. */
const RAW_TRANSITIONS_MAX = 1_048_576;
/** Nodes looked at while determinising; about 50 ms. */
const WORK_MAX = 4_000_000;

const CLASSES_OFFSET = 12;
const ACCEPT_OFFSET = 268;

export interface AutomatonOptions {
  /** Lower than STATES_MAX to force handles. */
  statesMax?: number;
  /** Lower than TABLE_BYTES_MAX to force handles. */
  tableBytesMax?: number;
}

export type CompiledPattern = { kind: "automaton"; table: Uint8Array } | { kind: "handle" };

/** A complete automaton: state 0 dead, `start` anything. */
interface Dfa {
  states: number;
  classes: number;
  next: Int32Array;
  accept: Uint8Array;
  start: number;
  byteClasses: Uint8Array;
}

/**
 * Compiles RE2 `source` for full matches of UTF-8 bytes.
 * @throws PatternError for invalid syntax, or a pattern too large even for `createMatcher`.
 */
export function compilePattern(source: string, options: AutomatonOptions = {}): CompiledPattern {
  const raw = determinise(compileProgram(source));
  if (raw === undefined) return { kind: "handle" };
  const dfa = mergeClasses(mergeStates(raw));
  const bytes = transitionsOffset(dfa.states) + dfa.states * dfa.classes * 2;
  const tooLarge =
    dfa.states > Math.min(options.statesMax ?? STATES_MAX, STATES_MAX) ||
    bytes > Math.min(options.tableBytesMax ?? TABLE_BYTES_MAX, TABLE_BYTES_MAX);
  return tooLarge ? { kind: "handle" } : { kind: "automaton", table: encode(dfa, bytes) };
}

/** The whole automaton, or undefined when a budget is exceeded. */
function determinise(program: Program): Dfa | undefined {
  const subsets = new Subsets(program);
  const { classCount, samples } = program;
  const found: Subset[] = [];
  const numbers = new Map<string, number>();
  const number = (subset: Subset): number => {
    const known = numbers.get(subset.key);
    if (known !== undefined) return known;
    numbers.set(subset.key, found.length);
    return found.push(subset) - 1;
  };
  const dead = { nodes: new Uint16Array(0), context: 0, asserts: false, key: "\0" };
  number(dead);
  const start = number(subsets.start());
  const next: number[] = [];
  const accept: number[] = [];
  for (let state = 0; state < found.length; state += 1) {
    const subset = found[state] ?? dead;
    accept.push(subsets.accepts(subset) ? 1 : 0);
    for (let column = 0; column < classCount; column += 1) {
      next.push(number(subsets.step(subset, samples[column] ?? 0)));
    }
    if (
      found.length > RAW_STATES_MAX ||
      next.length > RAW_TRANSITIONS_MAX ||
      subsets.work > WORK_MAX
    ) {
      return undefined;
    }
  }
  return {
    states: found.length,
    classes: classCount,
    next: Int32Array.from(next),
    accept: Uint8Array.from(accept),
    start,
    byteClasses: program.classes,
  };
}

/** Joins equivalent states, numbered by breadth from the start so that equal patterns agree. */
function mergeStates(dfa: Dfa): Dfa {
  const { classes, next, accept } = dfa;
  const block = equivalentStates(dfa);
  const numbers = new Map<number, number>([[block[0] ?? 0, 0]]);
  const members = [0];
  const number = (state: number): number => {
    const key = block[state] ?? 0;
    const known = numbers.get(key);
    if (known !== undefined) return known;
    numbers.set(key, members.length);
    return members.push(state) - 1;
  };
  const start = number(dfa.start);
  const merged: number[] = [];
  for (let index = 0; index < members.length; index += 1) {
    const row = (members[index] ?? 0) * classes;
    for (let column = 0; column < classes; column += 1) {
      merged.push(number(next[row + column] ?? 0));
    }
  }
  return {
    ...dfa,
    states: members.length,
    next: Int32Array.from(merged),
    accept: Uint8Array.from(members, (state) => accept[state] ?? 0),
    start,
  };
}

/** Joins byte classes whose columns have become equal. */
function mergeClasses(dfa: Dfa): Dfa {
  const { states, classes, next } = dfa;
  const kept: number[] = [];
  const numbers = new Map<string, number>();
  const renamed = new Uint8Array(classes);
  for (let column = 0; column < classes; column += 1) {
    let key = "";
    for (let state = 0; state < states; state += 1) {
      key += String.fromCharCode(next[state * classes + column] ?? 0);
    }
    const known = numbers.get(key);
    renamed[column] = known ?? kept.length;
    if (known !== undefined) continue;
    numbers.set(key, kept.length);
    kept.push(column);
  }
  const merged = new Int32Array(states * kept.length);
  for (let state = 0; state < states; state += 1) {
    for (const [column, source] of kept.entries()) {
      merged[state * kept.length + column] = next[state * classes + source] ?? 0;
    }
  }
  const byteClasses = dfa.byteClasses.map((column) => renamed[column] ?? 0);
  return { ...dfa, classes: kept.length, next: merged, byteClasses };
}

function transitionsOffset(states: number): number {
  const end = ACCEPT_OFFSET + Math.ceil(states / 8);
  return end + (end % 2);
}

function encode(dfa: Dfa, bytes: number): Uint8Array {
  const table = new Uint8Array(bytes);
  const view = new DataView(table.buffer);
  for (const [index, letter] of [...AUTOMATON_MAGIC].entries()) {
    table[index] = letter.charCodeAt(0);
  }
  view.setUint16(4, AUTOMATON_VERSION, true);
  view.setUint16(6, dfa.states, true);
  view.setUint16(8, dfa.classes, true);
  view.setUint16(10, dfa.start, true);
  table.set(dfa.byteClasses, CLASSES_OFFSET);
  for (let state = 0; state < dfa.states; state += 1) {
    const at = ACCEPT_OFFSET + (state >> 3);
    if (dfa.accept[state] === 1) table[at] = (table[at] ?? 0) | (1 << (state & 7));
  }
  const first = transitionsOffset(dfa.states);
  for (const [index, target] of dfa.next.entries()) view.setUint16(first + index * 2, target, true);
  return table;
}

/** Runs a table of `compilePattern` over `bytes[start, end)`: whether all of it matches. */
export function runAutomaton(
  table: Uint8Array,
  bytes: Uint8Array,
  start = 0,
  end = bytes.length,
): boolean {
  const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
  const classes = view.getUint16(8, true);
  const first = transitionsOffset(view.getUint16(6, true));
  let state = view.getUint16(10, true);
  for (let index = start; index < end && state !== 0; index += 1) {
    const column = table[CLASSES_OFFSET + (bytes[index] ?? 0)] ?? 0;
    state = view.getUint16(first + (state * classes + column) * 2, true);
  }
  return (((table[ACCEPT_OFFSET + (state >> 3)] ?? 0) >> (state & 7)) & 1) === 1;
}
