/**
 * The rules of `l7:` as a policy writes them, to the fields a plugin takes (rule-field of
 * runtime/contract/l7.wit): a list becomes repeated keys, what is nested becomes dotted keys
 * (`headerMatches.0.name`). Every field remembers where it stood.
 */
import type { FieldPath, FieldProblem } from "./problem.ts";
import { isRecord } from "./schema/field.ts";

/** Levels of lists and objects in one rule. */
const RULE_DEPTH_MAX = 8;
const EXPECTED = "text, a number, true or false, or a list or an object of them";

export interface RuleFieldAt {
  key: string;
  value: string;
  /** Relative to the rule. */
  path: FieldPath;
}

/** Never throws; what has no form as fields is a problem, with its path relative to the rule. */
export function flattenRule(rule: Readonly<Record<string, unknown>>): {
  fields: RuleFieldAt[];
  problems: FieldProblem[];
} {
  const fields: RuleFieldAt[] = [];
  const problems: FieldProblem[] = [];
  for (const [key, value] of Object.entries(rule)) visit(key, value, [key]);
  return { fields, problems };

  function visit(key: string, value: unknown, path: FieldPath): void {
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
      fields.push({ key, value: String(value), path });
    } else if (path.length > RULE_DEPTH_MAX) {
      const message = `is nested deeper than ${RULE_DEPTH_MAX} levels`;
      problems.push({ path, message, expected: EXPECTED });
    } else if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) {
        const nested = typeof item === "object" && item !== null;
        visit(nested ? `${key}.${index}` : key, item, [...path, index]);
      }
    } else if (isRecord(value)) {
      for (const [name, item] of Object.entries(value)) {
        visit(`${key}.${name}`, item, [...path, name]);
      }
    } else problems.push({ path, message: "has no value", expected: EXPECTED });
  }
}

/** `headerMatches.0.name` is described by a manifest under `headerMatches.N.name`. */
export function manifestKey(key: string): string {
  return key.replaceAll(/\.\d+(?=\.|$)/g, ".N");
}
