/**
 * The last flows of this node. Writing never waits and never fails: the oldest entry gives way.
 * A reader holds a position; the ring is its queue, so a reader that is too slow finds its position
 * overwritten and learns how many it lost. Positions only rise and are never used twice.
 */
import type { RingEntry } from "./flow-facts.ts";
import { HubbleError } from "./hubble-error.ts";

export const RING_FLOWS_DEFAULT = 4_095;
export const RING_FLOWS_MAX = 65_535;

export class FlowRing {
  readonly capacity: number;
  readonly #slots: (RingEntry | undefined)[];
  #next = 0;
  #flowsSeen = 0;
  #waiting: (() => void)[] = [];

  /** `capacity` is 2^n - 1, as Hubble has it. */
  constructor(capacity: number = RING_FLOWS_DEFAULT) {
    const isPower = (capacity & (capacity + 1)) === 0;
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > RING_FLOWS_MAX || !isPower) {
      throw new HubbleError(
        "invalid-argument",
        `Cannot make a ring of ${capacity} flows: expected 2^n - 1, at most ${RING_FLOWS_MAX}`,
      );
    }
    this.capacity = capacity;
    this.#slots = new Array<RingEntry | undefined>(capacity).fill(undefined);
  }

  /** Position of the next write; one past the newest entry. */
  get next(): number {
    return this.#next;
  }

  /** Position of the oldest entry still here. */
  get oldest(): number {
    return Math.max(0, this.#next - this.capacity);
  }

  get length(): number {
    return this.#next - this.oldest;
  }

  /** Flows since start; losses are not counted. */
  get flowsSeen(): number {
    return this.#flowsSeen;
  }

  push(entry: RingEntry): void {
    this.#slots[this.#next % this.capacity] = entry;
    this.#next++;
    if (entry.kind === "flow") this.#flowsSeen++;
    if (this.#waiting.length === 0) return;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  /** Undefined when the position is overwritten or not written yet. */
  at(position: number): RingEntry | undefined {
    if (position < this.oldest || position >= this.#next) return undefined;
    return this.#slots[position % this.capacity];
  }

  /** Resolves when `position` is written, or the signal aborts. */
  async written(position: number, signal: AbortSignal): Promise<void> {
    while (position >= this.#next && !signal.aborted) await this.#push(signal);
  }

  #push(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", abort);
        resolve();
      };
      const abort = (): void => {
        this.#waiting = this.#waiting.filter((other) => other !== wake);
        resolve();
      };
      signal.addEventListener("abort", abort, { once: true });
      this.#waiting.push(wake);
    });
  }
}
