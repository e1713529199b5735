/**
 * Full matches in linear time for any accepted pattern: a deterministic automaton built as the
 * bytes ask for it, in a cache of fixed size that starts over when full. A byte costs a table
 * look-up, or at worst one step over the pattern's nodes (program.ts bounds them).
 */
import { compileProgram } from "./program.ts";
import type { Subset } from "./subsets.ts";
import { Subsets } from "./subsets.ts";

/** Transitions of one matcher's cache, 4 bytes each. */
const CACHE_TRANSITIONS_MAX = 131_072;
const CACHE_STATES_MAX = 4_096;
/** Nodes over all cached states, 2 bytes each. */
const CACHE_NODES_MAX = 1_048_576;

const UNKNOWN = -1;
const DEAD = 0;

/** Whether all of `bytes[start, end)` matches. */
export type Matcher = (bytes: Uint8Array, start?: number, end?: number) => boolean;

/**
 * Compiles RE2 `source` for full matches of UTF-8 bytes.
 * @throws PatternError for invalid syntax or a pattern too large.
 */
export function createMatcher(source: string): Matcher {
  const program = compileProgram(source);
  const cache = new LazyAutomaton(program, new Subsets(program));
  return (bytes, start = 0, end = bytes.length) => cache.matches(bytes, start, end);
}

class LazyAutomaton {
  readonly #subsets: Subsets;
  readonly #byteClasses: Uint8Array;
  readonly #classCount: number;
  readonly #samples: Uint8Array;
  readonly #statesMax: number;
  readonly #start: Subset;
  #next: Int32Array;
  readonly #states: Subset[] = [];
  readonly #accept: boolean[] = [];
  readonly #numbers = new Map<string, number>();
  #nodes = 0;

  constructor(program: ReturnType<typeof compileProgram>, subsets: Subsets) {
    this.#subsets = subsets;
    this.#byteClasses = program.classes;
    this.#classCount = program.classCount;
    this.#samples = program.samples;
    this.#statesMax = Math.min(
      CACHE_STATES_MAX,
      Math.floor(CACHE_TRANSITIONS_MAX / program.classCount),
    );
    this.#start = subsets.start();
    this.#next = new Int32Array(16 * program.classCount).fill(UNKNOWN);
    this.#restart();
  }

  matches(bytes: Uint8Array, start: number, end: number): boolean {
    const classCount = this.#classCount;
    const byteClasses = this.#byteClasses;
    let state = this.#number(this.#start);
    for (let index = start; index < end; index += 1) {
      const column = byteClasses[bytes[index] ?? 0] ?? 0;
      let next = this.#next[state * classCount + column] ?? UNKNOWN;
      if (next === UNKNOWN) next = this.#step(state, column);
      if (next === DEAD) return false;
      state = next;
    }
    return this.#accept[state] ?? false;
  }

  #step(state: number, column: number): number {
    const from = this.#states[state] ?? this.#start;
    const subset = this.#subsets.step(from, this.#samples[column] ?? 0);
    const before = this.#states.length;
    const next = this.#number(subset);
    // After a restart `state` means another subset: its row must not be written.
    if (this.#states.length >= before) this.#next[state * this.#classCount + column] = next;
    return next;
  }

  /** The number of `subset`, which may start the cache over. */
  #number(subset: Subset): number {
    const known = this.#numbers.get(subset.key);
    if (known !== undefined) return known;
    const full =
      this.#states.length >= this.#statesMax || this.#nodes + subset.nodes.length > CACHE_NODES_MAX;
    if (full) this.#restart();
    const number = this.#states.push(subset) - 1;
    this.#accept.push(this.#subsets.accepts(subset));
    this.#numbers.set(subset.key, number);
    this.#nodes += subset.nodes.length;
    this.#growTo(this.#states.length);
    return number;
  }

  #growTo(states: number): void {
    const wanted = states * this.#classCount;
    if (wanted <= this.#next.length) return;
    const grown = new Int32Array(Math.max(wanted, this.#next.length * 2)).fill(UNKNOWN);
    grown.set(this.#next);
    this.#next = grown;
  }

  /** Empties the cache but for the dead state, number 0. */
  #restart(): void {
    this.#states.length = 0;
    this.#accept.length = 0;
    this.#numbers.clear();
    this.#nodes = 0;
    this.#next.fill(UNKNOWN);
    const dead = { nodes: new Uint16Array(0), context: 0, asserts: false, key: "\0" };
    this.#states.push(dead);
    this.#accept.push(false);
    this.#numbers.set(dead.key, DEAD);
  }
}
