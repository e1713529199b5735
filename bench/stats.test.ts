import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { rotate, significant, summarize } from "./stats.ts";

describe("summarize()", () => {
  test.each([
    { values: [5], median: 5, spread: 0 },
    { values: [3, 1, 2], median: 2, spread: 100 },
    { values: [1, 2, 3, 10], median: 2.5, spread: 360 },
  ])("takes the median of $values", ({ values, median, spread }) => {
    const summary = summarize(values);
    expect(summary.median).toBe(median);
    expect(summary.spreadPercent).toBeCloseTo(spread);
  });

  test("puts the median between the extremes, whatever the order", () => {
    const numbers = fc.array(fc.integer({ min: 1, max: 1e6 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(numbers, (values) => {
        const { median, min, max } = summarize(values);
        expect(min).toBeLessThanOrEqual(median);
        expect(median).toBeLessThanOrEqual(max);
        expect(summarize(values.toReversed()).median).toBe(median);
      }),
    );
  });
});

test("rotate() gives every row every place once", () => {
  const orders = [0, 1, 2].map((round) => rotate(["a", "b", "c"], round).join(""));
  expect(orders).toEqual(["abc", "bca", "cab"]);
  expect(rotate([], 3)).toEqual([]);
});

test("significant() keeps four digits", () => {
  expect(significant(7.123456)).toBe(7.123);
  expect(significant(123456)).toBe(123500);
});
