/**
 * The statistics of the reports: medians, because a shared machine's outliers are one-sided, and
 * the spread beside every one of them, so that a reader sees how much to believe.
 */
export interface Summary {
  median: number;
  min: number;
  max: number;
  /** (max - min) / median, in percent. */
  spreadPercent: number;
}

/** `values` must not be empty. */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (index: number): number => sorted[index] ?? Number.NaN;
  const middle = (sorted.length - 1) / 2;
  const median = (at(Math.floor(middle)) + at(Math.ceil(middle))) / 2;
  const min = at(0);
  const max = at(sorted.length - 1);
  return { median, min, max, spreadPercent: median === 0 ? 0 : ((max - min) / median) * 100 };
}

/** `value` with at most `digits` significant digits, as a number (for JSON that people read). */
export function significant(value: number, digits = 4): number {
  return Number(value.toPrecision(digits));
}

/** Order of the rows in a round: rotated, so that no row always follows the same other one. */
export function rotate<T>(items: readonly T[], round: number): T[] {
  const start = items.length === 0 ? 0 : round % items.length;
  return [...items.slice(start), ...items.slice(0, start)];
}
