/**
 * L7 rules of a policy to the rules of a plugin: a rule is a list of fields, ANDed. Lists become
 * repeated keys, nested values dotted keys (runtime/contract/l7.wit, rule-field).
 */
import { parsePluginReference } from "../plugin-reference.ts";
import type { RuleL7 } from "../rule.ts";
import { flattenRule } from "../rule-fields.ts";
import { type HttpRule, type L7RuleBlock, l7KindOf } from "../schema/l7.ts";
import type { L7Settings } from "../schema/metadata.ts";
import type { L7Rules } from "../types.ts";

export const HTTP_PLUGIN = "l7-http";

type FieldList = L7Rules["rules"][number];

/** Priorities of Cilium's parser types; lower wins. What only watches gives way to all of them. */
export const PRIORITY = { http: 101, generic: 111, watch: 126 } as const;

/** Undefined: no L7 rules (an empty list counts as none), a plain allow. */
export function translateL7(
  block: L7RuleBlock | undefined,
  settings: L7Settings,
): RuleL7 | undefined {
  const kind = block && l7KindOf(block);
  if (!block || !kind) return undefined;
  switch (kind) {
    case "http": {
      const rules = (block.http ?? []).map(httpFields);
      return {
        rules: withSettings({ plugin: HTTP_PLUGIN, rules }, settings),
        priority: PRIORITY.http,
      };
    }
    case "l7proto": {
      const { name: plugin, version } = parsePluginReference(block.l7proto ?? "");
      // Naming a parser without rules asks for its records and allows everything.
      const rules = block.l7?.length ? block.l7.map(genericFields) : [[]];
      const named = version === undefined ? { plugin, rules } : { plugin, version, rules };
      return { rules: withSettings(named, settings), priority: PRIORITY.generic };
    }
    case "dns":
    case "kafka":
      throw new Error(`Cannot translate ${kind} rules: they should have been refused on apply`);
    default:
      return kind satisfies never;
  }
}

/**
 * Nothing depends on the proxy: no request is denied, and what cannot be seen passes. Such an entry
 * of the policy map is a redirect that only watches.
 */
export function watchesOnly({ mode, failure }: L7Rules): boolean {
  return mode === "observe" && failure === "open";
}

/** What is as usual stays absent, so that equal rules are equal text. */
function withSettings(rules: L7Rules, { mode, failure }: L7Settings): L7Rules {
  return {
    ...rules,
    ...(mode === "enforce" ? {} : { mode }),
    ...(failure === "closed" ? {} : { failure }),
  };
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

function genericFields(rule: Readonly<Record<string, unknown>>): FieldList {
  return flattenRule(rule).fields.map(({ key, value }) => ({ key, value }));
}
