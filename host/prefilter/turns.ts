/** Long work that lets others have their turn: each step of it takes some milliseconds. */
import { setImmediate } from "node:timers/promises";

/** Yields where it may be left for a while: how far it is, if it counts. */
export type Work<T> = Generator<number | undefined, T, undefined>;

/** For a caller that has nothing else to do. */
export function atOnce<T>(work: Work<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
  }
}

/** Others run between the steps; `onCount` hears how far it is. */
export async function inTurns<T>(
  work: Work<T>,
  onCount: (count: number) => void = () => {},
): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done) return value;
    if (value !== undefined) onCount(value);
    await setImmediate();
  }
}
