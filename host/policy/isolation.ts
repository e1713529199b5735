/**
 * Which rules of a subject count in a direction: a BaselineAdminNetworkPolicy is for pods that no
 * NetworkPolicy isolates there. See docs/decisions/0016.
 */
import type { Direction, Rule } from "./rule.ts";

/** Of rules that all select one subject. The same array if none is set aside. */
export function countingRules(rules: readonly Rule[], direction: Direction): readonly Rule[] {
  if (!rules.some((rule) => rule.unlessIsolated === true)) return rules;
  const isolated = rules.some((rule) => rule.isolates === true && rule.defaultDeny[direction]);
  return isolated ? rules.filter((rule) => rule.unlessIsolated !== true) : rules;
}
