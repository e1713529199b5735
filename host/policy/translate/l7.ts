/**
 * L7 rules of a policy to the rules of a plugin: a rule is a list of fields, ANDed. Lists become
 * repeated keys, nested values dotted keys (runtime/contract/l7.wit, rule-field).
 */
import type { RuleL7 } from "../rule.ts";
import { type HttpRule, type L7RuleBlock, l7KindOf } from "../schema/l7.ts";
import type { L7Rules } from "../types.ts";

export const HTTP_PLUGIN = "l7-http";

type FieldList = L7Rules["rules"][number];

/** Priorities of Cilium's parser types; lower wins. */
const PRIORITY = { http: 101, generic: 111 } as const;

/** Undefined: no L7 rules (an empty list counts as none), a plain allow. */
export function translateL7(block: L7RuleBlock | undefined): RuleL7 | undefined {
  const kind = block && l7KindOf(block);
  if (!block || !kind) return undefined;
  switch (kind) {
    case "http": {
      const rules = (block.http ?? []).map(httpFields);
      return { rules: { plugin: HTTP_PLUGIN, rules }, priority: PRIORITY.http };
    }
    case "l7proto": {
      const [plugin = "", version] = (block.l7proto ?? "").split("@");
      // Naming a parser without rules asks for its records and allows everything.
      const rules = block.l7?.length ? block.l7.map(genericFields) : [[]];
      const named = version === undefined ? { plugin, rules } : { plugin, version, rules };
      return { rules: named, priority: PRIORITY.generic };
    }
    case "dns":
    case "kafka":
      throw new Error(`Cannot translate ${kind} rules: they should have been refused on apply`);
    default:
      return kind satisfies never;
  }
}

function httpFields(rule: HttpRule): FieldList {
  const fields: { key: string; value: string }[] = [];
  const add = (key: string, value: string | undefined) => {
    if (value !== undefined && value !== "") fields.push({ key, value });
  };
  add("path", rule.path);
  add("method", rule.method);
  add("host", rule.host);
  for (const header of rule.headers ?? []) add("headers", header);
  for (const [index, match] of (rule.headerMatches ?? []).entries()) {
    add(`headerMatches.${index}.name`, match.name);
    add(`headerMatches.${index}.value`, match.value);
    add(`headerMatches.${index}.mismatch`, match.mismatch);
  }
  return fields;
}

function genericFields(rule: Readonly<Record<string, string>>): FieldList {
  return Object.entries(rule).map(([key, value]) => ({ key, value }));
}
