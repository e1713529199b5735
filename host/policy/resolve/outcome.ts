/**
 * What all contributions that cover one key together mean: deny, allow, hand over with the union of
 * their L7 rules, or nothing. Semantics: policy-semantics.md 2.2, 2.3.
 */
import type { Direction, RuleL7 } from "../rule.ts";
import type { L7Rules, PolicyOrigin } from "../types.ts";
import { refuseOtherParser } from "./conflict.ts";
import { CLASS, DEFAULT_LEVEL, precedenceOf, tierFloor } from "./level.ts";
import { mergeL7 } from "./merge-l7.ts";
import { type PortKey, portKeyBits } from "./port-key.ts";
import type { Contribution } from "./rule-parts.ts";

export interface Outcome {
  /** `none`: every tier passed it on, so nothing allows it. */
  verdict: "allow" | "deny" | "none";
  precedence: number;
  /** Of an allow: hand over. */
  l7?: L7Rules;
  /** Equal for equal L7 rules, "" without. */
  l7Key: string;
  origins: readonly PolicyOrigin[];
}

const NOTHING_DECIDES: Outcome = {
  verdict: "none",
  precedence: precedenceOf(DEFAULT_LEVEL, CLASS.none),
  l7Key: "",
  origins: [],
};

/**
 * The highest level decides. In it a deny beats every allow and an allow every pass; what only
 * passes leaves the key to the next tier. One redirect makes the whole a redirect. An allow without
 * L7 rules, of the same level or because nothing is enforced, lets every request through, but the
 * proxy still sees it. What watches turns an allow into a redirect and changes nothing else.
 * Undefined: no policy says anything here.
 * @throws PolicyConflictError when L7 rules of different parsers meet.
 */
export function decide(
  covering: readonly Contribution[],
  direction: Direction,
  key: PortKey,
): Outcome | undefined {
  let deciding = covering.filter(({ verdict }) => verdict !== "watch");
  if (deciding.length === 0) return undefined;
  while (deciding.length > 0) {
    const level = deciding.reduce((max, contribution) => Math.max(max, contribution.level), 0);
    const top = deciding.filter((contribution) => contribution.level === level);
    const denies = top.filter(({ verdict }) => verdict === "deny");
    if (denies.length > 0) {
      const precedence = precedenceOf(level, CLASS.deny);
      return { verdict: "deny", precedence, l7Key: "", origins: originsOf(denies) };
    }
    const allows = top.filter(({ verdict }) => verdict === "allow");
    if (allows.length > 0) return allowed({ level, allows, deciding, covering }, direction, key);
    const floor = tierFloor(level);
    deciding = deciding.filter((contribution) => contribution.level < floor);
  }
  return NOTHING_DECIDES;
}

interface Allowed {
  level: number;
  /** Of this level. */
  allows: readonly Contribution[];
  deciding: readonly Contribution[];
  covering: readonly Contribution[];
}

function allowed(input: Allowed, direction: Direction, key: PortKey): Outcome {
  const { level, allows, covering } = input;
  const origins = originsOf(allows);
  const l7 = merged(input, direction, key) ?? watched(covering);
  if (!l7) {
    return { verdict: "allow", precedence: precedenceOf(level, CLASS.allow), l7Key: "", origins };
  }
  return {
    verdict: "allow",
    precedence: precedenceOf(level, CLASS.deny - l7.priority),
    l7: l7.rules,
    l7Key: JSON.stringify(l7.rules),
    origins,
  };
}

/** L7 rules of those that decide; undefined if they have none. */
function merged(
  { allows, deciding }: Allowed,
  direction: Direction,
  key: PortKey,
): RuleL7 | undefined {
  const redirects = allows.flatMap(({ l7, origin }) => (l7 ? [{ l7, origin }] : []));
  // One that is pinned is what all others must agree with.
  const first = redirects.find(({ l7 }) => l7.rules.version !== undefined) ?? redirects[0];
  if (!first) return undefined;
  for (const other of redirects) refuseOtherParser(first, other, direction, key);
  const plain =
    allows.some(({ l7 }) => !l7) || deciding.some(({ level }) => level === DEFAULT_LEVEL);
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
