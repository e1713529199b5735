/**
 * What all contributions that cover one key together mean: deny, allow, or hand over with the
 * union of their L7 rules. Semantics: policy-semantics.md 2.2, 2.3.
 */
import type { Direction, RuleL7 } from "../rule.ts";
import type { L7Rules, PolicyOrigin } from "../types.ts";
import { refuseOtherParser } from "./conflict.ts";
import type { Contribution } from "./contribution.ts";
import { mergeL7 } from "./merge-l7.ts";
import { type PortKey, portKeyBits } from "./port-key.ts";

export interface Outcome {
  precedence: number;
  deny: boolean;
  l7?: L7Rules;
  /** Equal for equal L7 rules, "" without. */
  l7Key: string;
  origins: readonly PolicyOrigin[];
}

/** Low byte of a precedence (bpf/abi/abi.h, struct policy_value). */
export const PRECEDENCE = { allow: 1, deny: 255 } as const;
const LEVEL_SHIFT = 8;

/**
 * The highest level decides. In it a deny beats every allow, and one redirect makes the whole a
 * redirect. An allow without L7 rules, of whatever level, lets every request through, but the
 * proxy still sees it. What watches turns an allow into a redirect and changes nothing else.
 * Undefined: nothing decides here.
 * @throws PolicyConflictError when L7 rules of different parsers meet.
 */
export function decide(
  covering: readonly Contribution[],
  direction: Direction,
  key: PortKey,
): Outcome | undefined {
  const deciding = covering.filter(({ verdict }) => verdict !== "watch");
  if (deciding.length === 0) return undefined;
  const level = deciding.reduce((max, contribution) => Math.max(max, contribution.level), 0);
  const top = deciding.filter((contribution) => contribution.level === level);
  const denies = top.filter(({ verdict }) => verdict === "deny");
  const base = level << LEVEL_SHIFT;
  if (denies.length > 0) {
    return {
      precedence: base | PRECEDENCE.deny,
      deny: true,
      l7Key: "",
      origins: originsOf(denies),
    };
  }
  const origins = originsOf(top);
  const enforced = merged(top, deciding, direction, key);
  const l7 = enforced ?? watched(covering);
  if (!l7) return { precedence: base | PRECEDENCE.allow, deny: false, l7Key: "", origins };
  return {
    precedence: base | (PRECEDENCE.deny - l7.priority),
    deny: false,
    l7: l7.rules,
    l7Key: JSON.stringify(l7.rules),
    origins,
  };
}

/** L7 rules of those that decide; undefined if they have none. */
function merged(
  top: readonly Contribution[],
  deciding: readonly Contribution[],
  direction: Direction,
  key: PortKey,
): RuleL7 | undefined {
  const redirects = top.flatMap(({ l7, origin }) => (l7 ? [{ l7, origin }] : []));
  // One that is pinned is what all others must agree with.
  const first = redirects.find(({ l7 }) => l7.rules.version !== undefined) ?? redirects[0];
  if (!first) return undefined;
  for (const other of redirects) refuseOtherParser(first, other, direction, key);
  const plain = deciding.some(({ verdict, l7 }) => verdict === "allow" && !l7);
  const rules = mergeL7(
    redirects.map((redirect) => redirect.l7.rules),
    plain,
  );
  return { rules, priority: Math.min(...redirects.map((redirect) => redirect.l7.priority)) };
}

/**
 * One connection has one plugin. Where several watch, the narrowest key, then the first name, then
 * one that is pinned: visibility never makes a policy fail.
 */
function watched(covering: readonly Contribution[]): RuleL7 | undefined {
  const order = ({ key, l7 }: Contribution): string => {
    const { plugin = "", version = "~" } = l7?.rules ?? {};
    return JSON.stringify([99 - portKeyBits(key), plugin, version]);
  };
  const watchers = covering.filter(({ verdict }) => verdict === "watch");
  return watchers.sort((a, b) => (order(a) < order(b) ? -1 : 1))[0]?.l7;
}

/** Without repetition, in order of first appearance. */
function originsOf(contributions: readonly Contribution[]): PolicyOrigin[] {
  const origins = new Set<PolicyOrigin>();
  for (const { origin } of contributions) if (origin) origins.add(origin);
  return [...origins];
}
