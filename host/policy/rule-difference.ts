/**
 * Which rules came and went between two lists. An unchanged rule is the object it was, and most of
 * a list is unchanged: its beginning and its end are only passed over.
 */
import type { Rule } from "./rule.ts";

export interface RuleDifference {
  added: readonly Rule[];
  removed: readonly Rule[];
}

const NO_DIFFERENCE: RuleDifference = { added: [], removed: [] };

/** No rule stands twice in a list. One that only moved is in neither. */
export function ruleDifference(before: readonly Rule[], after: readonly Rule[]): RuleDifference {
  if (before === after) return NO_DIFFERENCE;
  const shorter = Math.min(before.length, after.length);
  let head = 0;
  while (head < shorter && before[head] === after[head]) head++;
  let tail = 0;
  while (tail < shorter - head && before.at(-1 - tail) === after.at(-1 - tail)) tail++;
  const old = new Set(before.slice(head, before.length - tail));
  const wanted = new Set(after.slice(head, after.length - tail));
  return {
    added: [...wanted].filter((rule) => !old.has(rule)),
    removed: [...old].filter((rule) => !wanted.has(rule)),
  };
}
