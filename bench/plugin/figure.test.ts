import { expect, test } from "vitest";
import { atLeast, atMost, formatFigures, toFigureReport } from "./figure.ts";

test.each([
  [50, 50, true],
  [50.004, 50, true],
  [50.1, 50, false],
  [-3, 0, true],
  [Number.NaN, 1, false],
])("%d against a goal of %d: met is %s", (value, goal, met) => {
  expect(atMost(goal, "a_ms", value, "ms").met).toBe(met);
});

test("more may be better", () => {
  expect([49, 50, 51].map((value) => atLeast(50, "a", value, "x").met)).toEqual([
    false,
    true,
    true,
  ]);
});

test("the JSON has the fields the goals are stated in", () => {
  expect(toFigureReport([atMost(50, "a_ms", 12.3456, "ms")])).toEqual({
    figures: { a_ms: { value: 12.35, unit: "ms", goal: 50, met: true } },
  });
});

test("the table has a line for each figure and says what was missed", () => {
  const table = formatFigures("a machine", [atMost(1, "a_ms", 2, "ms"), atMost(1, "b", 1, "x")]);
  expect(table.split("\n")).toEqual([
    "a machine",
    "",
    "figure  value  goal  unit  result",
    "a_ms        2     1  ms    missed",
    "b           1     1  x     met",
    "",
  ]);
});
