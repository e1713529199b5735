/** Two outcomes of a vector, compared for people: where they part, and what stands there. */
import type { Outcome } from "./run-vector.ts";

/** Bytes shown on each side of the place where two texts part. */
const CONTEXT_BYTES = 24;

/** What happened instead of an outcome. */
export interface Failure {
  failure: string;
}

export type Result = Outcome | Failure;

/** One line for each thing that differs; empty when nothing does. */
export function differences(expected: Result, actual: Result): string[] {
  if ("failure" in actual) {
    if ("failure" in expected && expected.failure === actual.failure) return [];
    return [`expected ${said(expected)}, got: ${actual.failure}`];
  }
  if ("failure" in expected) return [`expected: ${expected.failure}, got ${said(actual)}`];
  return [
    ...textDifference("upstream received", expected.upstream, actual.upstream),
    ...textDifference("client received", expected.client, actual.client),
    ...listDifference(expected.records, actual.records),
    ...(expected.close === actual.close
      ? []
      : [`close: expected ${expected.close ?? "none"}, got ${actual.close ?? "none"}`]),
  ];
}

function said(result: Result): string {
  return "failure" in result ? result.failure : "an outcome";
}

function textDifference(what: string, expected: string, actual: string): string[] {
  if (expected === actual) return [];
  let at = 0;
  while (at < expected.length && expected[at] === actual[at]) at++;
  const from = Math.max(0, at - CONTEXT_BYTES);
  const around = (text: string) =>
    `${from > 0 ? "…" : ""}${JSON.stringify(text.slice(from, at + CONTEXT_BYTES))}` +
    `${text.length > at + CONTEXT_BYTES ? "…" : ""}`;
  return [
    `${what}: differs at byte ${at} (${expected.length} expected, ${actual.length} got)`,
    `  expected ${around(expected)}`,
    `  got      ${around(actual)}`,
  ];
}

function listDifference(expected: readonly string[], actual: readonly string[]): string[] {
  const length = Math.max(expected.length, actual.length);
  for (let index = 0; index < length; index++) {
    if (expected[index] === actual[index]) continue;
    return [
      `record ${index}:`,
      `  expected ${expected[index] ?? "none"}`,
      `  got      ${actual[index] ?? "none"}`,
    ];
  }
  return [];
}
