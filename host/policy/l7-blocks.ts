/** Every `rules` of a policy object as written, right or wrong, and where it stands. */
import type { FieldPath } from "./problem.ts";
import { fieldsOf, itemsOf } from "./schema/field.ts";

export interface L7BlockAt {
  path: FieldPath;
  block: Record<string, unknown>;
}

/** Of allow rules; others have none. */
export function* l7BlocksOf(object: unknown): Generator<L7BlockAt> {
  const { spec, specs } = fieldsOf(object);
  yield* blocksOfRule(spec, ["spec"]);
  for (const [index, rule] of itemsOf(specs).entries()) yield* blocksOfRule(rule, ["specs", index]);
}

function* blocksOfRule(rule: unknown, path: FieldPath): Generator<L7BlockAt> {
  for (const direction of ["ingress", "egress"]) {
    for (const [i, item] of itemsOf(fieldsOf(rule)[direction]).entries()) {
      for (const [j, portRule] of itemsOf(fieldsOf(item).toPorts).entries()) {
        const block = fieldsOf(fieldsOf(portRule).rules);
        yield { path: [...path, direction, i, "toPorts", j, "rules"], block };
      }
    }
  }
}
