/**
 * Sets of code points as sorted, disjoint ranges in one flat array: [low, high, low, high, ...].
 * Every function returns a new normalised set.
 */

export type CodePoints = readonly number[];

export const CODE_POINT_MAX = 0x10_ffff;
/** Everything UTF-8 can carry: no surrogates. */
export const ANY: CodePoints = [0, 0xd7ff, 0xe000, CODE_POINT_MAX];

/** Sorts and joins ranges given in any order. */
export function normalise(ranges: readonly number[]): CodePoints {
  const pairs: [number, number][] = [];
  for (let index = 0; index < ranges.length; index += 2) {
    pairs.push([ranges[index] ?? 0, ranges[index + 1] ?? 0]);
  }
  pairs.sort((a, b) => a[0] - b[0]);
  const joined: number[] = [];
  for (const [low, high] of pairs) {
    const last = joined.length - 1;
    const previous = joined[last];
    if (previous !== undefined && low <= previous + 1) joined[last] = Math.max(previous, high);
    else joined.push(low, high);
  }
  return joined;
}

export function union(...sets: CodePoints[]): CodePoints {
  return normalise(sets.flat());
}

/** Everything UTF-8 can carry that is not in `set`. */
export function negate(set: CodePoints): CodePoints {
  const gaps: number[] = [];
  let next = 0;
  for (let index = 0; index < set.length; index += 2) {
    const low = set[index] ?? 0;
    if (low > next) gaps.push(next, low - 1);
    next = (set[index + 1] ?? 0) + 1;
  }
  if (next <= CODE_POINT_MAX) gaps.push(next, CODE_POINT_MAX);
  return withoutSurrogates(gaps);
}

/** Surrogates cannot occur in UTF-8. */
export function withoutSurrogates(set: CodePoints): CodePoints {
  const kept: number[] = [];
  for (let index = 0; index < set.length; index += 2) {
    const low = set[index] ?? 0;
    const high = set[index + 1] ?? 0;
    if (low < 0xd800) kept.push(low, Math.min(high, 0xd7ff));
    if (high > 0xdfff) kept.push(Math.max(low, 0xe000), high);
  }
  return kept;
}

export function contains(set: CodePoints, point: number): boolean {
  let low = 0;
  let high = set.length / 2 - 1;
  while (low <= high) {
    const middle = (low + high) >> 1;
    if (point < (set[middle * 2] ?? 0)) high = middle - 1;
    else if (point > (set[middle * 2 + 1] ?? 0)) low = middle + 1;
    else return true;
  }
  return false;
}
