/** Go's durations, and what is none. */
import { expect, test } from "vitest";
import { parseDuration } from "./duration.ts";

test.each<[string, number | undefined]>([
  ["2h13m20s", 8_000_000],
  ["8000s", 8_000_000],
  ["1.5h", 5_400_000],
  [".5s", 500],
  ["1.s", 1_000],
  ["300ms", 300],
  ["1m1m", 120_000],
  ["5us", 0.005],
  ["5\u00b5s", 0.005],
  ["0", 0],
  ["0s", 0],
  ["", undefined],
  ["5", undefined],
  ["s", undefined],
  [".s", undefined],
  ["-5s", undefined],
  ["5 s", undefined],
  ["5S", undefined],
  ["1d", undefined],
  ["1h 5m", undefined],
  ["1e3s", undefined],
  ["1.2.3s", undefined],
  [`${"1s".repeat(40)}`, undefined],
])("%j", (text, milliseconds) => {
  expect(parseDuration(text)).toBe(milliseconds);
});
