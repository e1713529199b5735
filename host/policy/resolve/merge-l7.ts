/**
 * L7 rules of several policies that meet on one key, as one set. Semantics: policy-semantics.md
 * 2.3, docs/l7-policies.md for modes, which Cilium does not have.
 */
import type { RuleMode } from "../../../runtime/contract/control.ts";
import { HTTP_PLUGIN } from "../translate/l7.ts";
import type { L7Rules } from "../types.ts";

type L7Rule = L7Rules["rules"][number];

/** Stricter is later. */
const MODES: readonly RuleMode[] = ["observe", "audit", "enforce"];

/**
 * The strictest mode and the strictest failure policy count. The rules are the union of those in
 * the strictest mode: what is only on trial must not widen what is enforced. The order does not
 * depend on that of the policies. All sets are of one plugin; a pinned version is that of all.
 * @param allowAll Something without L7 rules allows the key too: every request passes.
 */
export function mergeL7(sets: readonly L7Rules[], allowAll: boolean): L7Rules {
  const plugin = sets[0]?.plugin ?? "";
  const version = sets.find((set) => set.version !== undefined)?.version;
  const mode = MODES.findLast((candidate) => sets.some((set) => modeOf(set) === candidate));
  const open = sets.every((set) => set.failure === "open");
  const rules = unionOf(
    sets.filter((set) => modeOf(set) === mode),
    allowAll,
  );
  return {
    plugin,
    ...(version === undefined ? {} : { version }),
    ...(mode === undefined || mode === "enforce" ? {} : { mode }),
    ...(open ? { failure: "open" as const } : {}),
    rules: plugin === HTTP_PLUGIN ? withoutIdle(rules) : rules,
  };
}

function modeOf({ mode = "enforce" }: L7Rules): RuleMode {
  return mode;
}

function unionOf(sets: readonly L7Rules[], allowAll: boolean): L7Rule[] {
  const byText = new Map<string, L7Rule>();
  if (allowAll) byText.set("[]", []);
  for (const set of sets) for (const rule of set.rules) byText.set(JSON.stringify(rule), rule);
  return [...byText.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, rule]) => rule);
}

/** If one rule allows everything, of the others only those count that change or log headers. */
function withoutIdle(rules: L7Rule[]): L7Rule[] {
  if (!rules.some((rule) => rule.length === 0)) return rules;
  return rules.filter((rule) => rule.length === 0 || rule.some(changesHeaders));
}

function changesHeaders({ key }: { key: string }): boolean {
  return key.startsWith("headerMatches.") && key.endsWith(".mismatch");
}
