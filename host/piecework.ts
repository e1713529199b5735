/**
 * Long work in pieces, so that the thread can do something else between them: a generator that
 * yields wherever it may be interrupted. What it reads must not change meanwhile.
 */
import { setImmediate } from "node:timers/promises";

/** Yields how far it is, if it counts. */
export type Piecework<T> = Generator<number | undefined, T, undefined>;

/** Nobody who waits for the thread notices a turn of it. */
const TURN_MS = 8;
/** Items of small work from one look at the clock to the next. */
const PIECE_ITEMS = 16;

/** The same for each item, some at a time. */
export function* inPieces<T>(items: Iterable<T>, work: (item: T) => void): Piecework<void> {
  let count = 0;
  for (const item of items) {
    work(item);
    if (++count % PIECE_ITEMS === 0) yield;
  }
}

/** All of it at once. */
export function finish<T>(work: Piecework<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

/**
 * In turns of about `TURN_MS`; between them whatever waits for the thread has it. `onCount` hears
 * how far the work is.
 */
export async function finishInTurns<T>(
  work: Piecework<T>,
  onCount: (count: number) => void = () => {},
): Promise<T> {
  let ends = performance.now() + TURN_MS;
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    if (value !== undefined) onCount(value);
    if (performance.now() < ends) continue;
    await setImmediate();
    ends = performance.now() + TURN_MS;
  }
}
