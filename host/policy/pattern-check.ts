/**
 * Checks that the regular expressions of HTTP rules compile. It walks the object as written, right
 * or wrong, so that a bad pattern is reported beside other errors of the file.
 */
import type { FieldProblem } from "./problem.ts";
import { fieldsOf, itemsOf } from "./schema/field.ts";

/** Says what is wrong with a pattern, undefined if it compiles. */
export type PatternCheck = (source: string) => string | undefined;

const PATTERN_FIELDS = ["path", "method", "host"];

export function checkPatterns(object: unknown, check: PatternCheck): FieldProblem[] {
  const problems: FieldProblem[] = [];
  const fields = fieldsOf(object);
  checkRule(fields.spec, ["spec"]);
  for (const [index, rule] of itemsOf(fields.specs).entries()) checkRule(rule, ["specs", index]);
  return problems;

  function checkRule(rule: unknown, path: (string | number)[]): void {
    for (const direction of ["ingress", "egress"]) {
      for (const [i, item] of itemsOf(fieldsOf(rule)[direction]).entries()) {
        for (const [j, portRule] of itemsOf(fieldsOf(item).toPorts).entries()) {
          const http = fieldsOf(fieldsOf(portRule).rules).http;
          checkHttp(http, [...path, direction, i, "toPorts", j, "rules", "http"]);
        }
      }
    }
  }

  function checkHttp(http: unknown, path: (string | number)[]): void {
    for (const [index, rule] of itemsOf(http).entries()) {
      for (const field of PATTERN_FIELDS) {
        const pattern = fieldsOf(rule)[field];
        const message = typeof pattern === "string" ? check(pattern) : undefined;
        if (message === undefined) continue;
        problems.push({
          path: [...path, index, field],
          message: `invalid regular expression: ${message}`,
          expected: "a regular expression (RE2)",
        });
      }
    }
  }
}
