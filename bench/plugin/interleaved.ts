/**
 * Two things measured in turn: in every round one batch of each, so that whatever the machine does
 * meanwhile meets both, and one difference or ratio of the two for each round.
 */
import { summarize } from "../stats.ts";

/** Batches before anything counts: compiled code is not at its best at once. */
const WARM_UP_BATCHES = 40;
/** Batches of one kind in a round; the cheapest counts, as disturbances only ever add. */
const ROUND_BATCHES = 8;

export interface Comparison {
  /** Medians over the rounds. */
  first: number;
  second: number;
  compared: number;
}

/** Both sides' cost, and what `compare` makes of it in each round. */
export function compareInTurn(
  sides: readonly [() => number, () => number],
  rounds: number,
  compare: (first: number, second: number) => number,
): Comparison {
  const [first, second] = sides;
  for (let i = 0; i < WARM_UP_BATCHES; i++) {
    first();
    second();
  }
  const seen = Array.from({ length: rounds }, () => {
    const costs = Array.from({ length: ROUND_BATCHES }, () => [first(), second()] as const);
    const a = Math.min(...costs.map(([cost]) => cost));
    const b = Math.min(...costs.map(([, cost]) => cost));
    return { first: a, second: b, compared: compare(a, b) };
  });
  const median = (pick: (round: Comparison) => number): number => summarize(seen.map(pick)).median;
  return {
    first: median((round) => round.first),
    second: median((round) => round.second),
    compared: median((round) => round.compared),
  };
}
