/**
 * Long work in pieces, so that the thread can do something else between them: a generator that
 * yields wherever it may be interrupted. What it reads must not change meanwhile.
 */

export type Piecework<T> = Generator<void, T>;

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

/** In turns of about so many milliseconds; between them whatever waits for the thread has it. */
export async function finishInTurns<T>(work: Piecework<T>, turnMs: number): Promise<T> {
  let ends = performance.now() + turnMs;
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
    if (performance.now() < ends) continue;
    await new Promise((resolve) => setImmediate(resolve));
    ends = performance.now() + turnMs;
  }
}
