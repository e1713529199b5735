/**
 * Checks that the regular expressions of HTTP rules compile. It walks the object as written, right
 * or wrong, so that a bad pattern is reported beside other errors of the file.
 */
import { l7BlocksOf } from "./l7-blocks.ts";
import type { FieldPath, FieldProblem } from "./problem.ts";
import { fieldsOf, itemsOf } from "./schema/field.ts";

/** Says what is wrong with a pattern, undefined if it compiles. */
export type PatternCheck = (source: string) => string | undefined;

const PATTERN_FIELDS = ["path", "method", "host"];

export function checkPatterns(object: unknown, check: PatternCheck): FieldProblem[] {
  const problems: FieldProblem[] = [];
  for (const { path, block } of l7BlocksOf(object)) {
    for (const [index, rule] of itemsOf(block.http).entries()) {
      for (const field of PATTERN_FIELDS) {
        const problem = patternProblem(
          fieldsOf(rule)[field],
          [...path, "http", index, field],
          check,
        );
        if (problem) problems.push(problem);
      }
    }
  }
  return problems;
}

/** Undefined if it is a pattern that compiles, or no text at all. */
export function patternProblem(
  pattern: unknown,
  path: FieldPath,
  check: PatternCheck,
): FieldProblem | undefined {
  const message = typeof pattern === "string" ? check(pattern) : undefined;
  if (message === undefined) return undefined;
  return {
    path,
    message: `invalid regular expression: ${message}`,
    expected: "a regular expression (RE2)",
  };
}
