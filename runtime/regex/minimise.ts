/**
 * Hopcroft's partition refinement: which states of a complete automaton cannot be told apart.
 * O(classes × states × log states).
 */

export interface Transitions {
  states: number;
  classes: number;
  /** Row per state, column per class. */
  next: Int32Array;
  accept: Uint8Array;
}

/** Block number of each state, blocks numbered from 0 in no particular order. */
export function equivalentStates(dfa: Transitions): Int32Array {
  return new Refinement(dfa).run();
}

class Refinement {
  readonly #dfa: Transitions;
  /** Sources of the transitions into (state, class), by offset. */
  readonly #offsets: Int32Array;
  readonly #sources: Int32Array;
  readonly #order: Int32Array;
  readonly #place: Int32Array;
  readonly #block: Int32Array;
  readonly #first: number[] = [];
  readonly #end: number[] = [];
  readonly #marked: number[] = [];
  readonly #work: number[] = [];
  readonly #waiting = new Set<number>();

  constructor(dfa: Transitions) {
    const { states, classes, next } = dfa;
    this.#dfa = dfa;
    this.#offsets = new Int32Array(states * classes + 1);
    this.#sources = new Int32Array(states * classes);
    for (let edge = 0; edge < next.length; edge += 1) this.#count(edge);
    for (let slot = 1; slot < this.#offsets.length; slot += 1) {
      this.#offsets[slot] = (this.#offsets[slot] ?? 0) + (this.#offsets[slot - 1] ?? 0);
    }
    const filled = this.#offsets.slice();
    for (let edge = 0; edge < next.length; edge += 1) {
      const slot = (next[edge] ?? 0) * classes + (edge % classes);
      const at = filled[slot] ?? 0;
      this.#sources[at] = Math.floor(edge / classes);
      filled[slot] = at + 1;
    }
    this.#order = new Int32Array(states);
    this.#place = new Int32Array(states);
    this.#block = new Int32Array(states);
  }

  #count(edge: number): void {
    const { classes, next } = this.#dfa;
    const slot = (next[edge] ?? 0) * classes + (edge % classes) + 1;
    this.#offsets[slot] = (this.#offsets[slot] ?? 0) + 1;
  }

  run(): Int32Array {
    this.#split();
    for (let item = this.#work.pop(); item !== undefined; item = this.#work.pop()) {
      this.#waiting.delete(item);
      this.#refine(Math.floor(item / this.#dfa.classes), item % this.#dfa.classes);
    }
    return this.#block;
  }

  /** The first partition: accepting or not. */
  #split(): void {
    const { states, accept } = this.#dfa;
    let at = 0;
    for (const wanted of [0, 1]) {
      const first = at;
      for (let state = 0; state < states; state += 1) {
        if (accept[state] !== wanted) continue;
        this.#order[at] = state;
        this.#place[state] = at;
        this.#block[state] = this.#first.length;
        at += 1;
      }
      if (at > first) this.#addBlock(first, at);
    }
    for (let block = 0; block < this.#first.length; block += 1) this.#enqueueAll(block);
  }

  #addBlock(first: number, end: number): number {
    this.#first.push(first);
    this.#end.push(end);
    return this.#marked.push(0) - 1;
  }

  #enqueueAll(block: number): void {
    for (let column = 0; column < this.#dfa.classes; column += 1) this.#enqueue(block, column);
  }

  #enqueue(block: number, column: number): void {
    const item = block * this.#dfa.classes + column;
    if (this.#waiting.has(item)) return;
    this.#waiting.add(item);
    this.#work.push(item);
  }

  #refine(splitter: number, column: number): void {
    const members = this.#order.slice(this.#first[splitter], this.#end[splitter]);
    const touched: number[] = [];
    for (const member of members) {
      const slot = member * this.#dfa.classes + column;
      const end = this.#offsets[slot + 1] ?? 0;
      for (let at = this.#offsets[slot] ?? 0; at < end; at += 1) {
        this.#markState(this.#sources[at] ?? 0, touched);
      }
    }
    for (const block of touched) this.#divide(block);
  }

  /** Moves `state` among the marked ones at the front of its block. */
  #markState(state: number, touched: number[]): void {
    const block = this.#block[state] ?? 0;
    const marked = this.#marked[block] ?? 0;
    const target = (this.#first[block] ?? 0) + marked;
    const from = this.#place[state] ?? 0;
    if (from < target) return;
    const other = this.#order[target] ?? 0;
    this.#order[target] = state;
    this.#place[state] = target;
    this.#order[from] = other;
    this.#place[other] = from;
    this.#marked[block] = marked + 1;
    if (marked === 0) touched.push(block);
  }

  #divide(block: number): void {
    const marked = this.#marked[block] ?? 0;
    this.#marked[block] = 0;
    const first = this.#first[block] ?? 0;
    const end = this.#end[block] ?? 0;
    if (first + marked === end) return;
    const added = this.#addBlock(first, first + marked);
    this.#first[block] = first + marked;
    for (let at = first; at < first + marked; at += 1) {
      this.#block[this.#order[at] ?? 0] = added;
    }
    const smaller = marked <= end - first - marked ? added : block;
    for (let column = 0; column < this.#dfa.classes; column += 1) {
      const both = this.#waiting.has(block * this.#dfa.classes + column);
      this.#enqueue(both ? added : smaller, column);
    }
  }
}
