/**
 * What all contributions that cover one key together mean: deny, allow, or hand over with the
 * union of their L7 rules. Semantics: policy-semantics.md 2.2, 2.3.
 */
import type { Direction } from "../rule.ts";
import { HTTP_PLUGIN } from "../translate/l7.ts";
import type { L7Rules, PolicyOrigin } from "../types.ts";
import { refuseOtherParser } from "./conflict.ts";
import type { Contribution } from "./contribution.ts";
import type { PortKey } from "./port-key.ts";

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
 * proxy still sees it. At least one contribution must be given.
 * @throws PolicyConflictError when L7 rules of different parsers meet.
 */
export function decide(
  covering: readonly Contribution[],
  direction: Direction,
  key: PortKey,
): Outcome {
  const level = covering.reduce((max, contribution) => Math.max(max, contribution.level), 0);
  const top = covering.filter((contribution) => contribution.level === level);
  const denies = top.filter((contribution) => contribution.deny);
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
  const redirects = top.flatMap(({ l7, origin }) => (l7 ? [{ l7, origin }] : []));
  const [first, ...rest] = redirects;
  if (!first) return { precedence: base | PRECEDENCE.allow, deny: false, l7Key: "", origins };
  for (const other of rest) refuseOtherParser(first, other, direction, key);
  const plain = covering.some((contribution) => !contribution.deny && !contribution.l7);
  const l7 = mergeL7(
    redirects.map((redirect) => redirect.l7.rules),
    plain,
  );
  const priority = Math.min(...redirects.map((redirect) => redirect.l7.priority));
  return {
    precedence: base | (PRECEDENCE.deny - priority),
    deny: false,
    l7,
    l7Key: JSON.stringify(l7),
    origins,
  };
}

/** Without repetition, in order of first appearance. */
function originsOf(contributions: readonly Contribution[]): PolicyOrigin[] {
  const origins = new Set<PolicyOrigin>();
  for (const { origin } of contributions) if (origin) origins.add(origin);
  return [...origins];
}

type L7Rule = L7Rules["rules"][number];

/** The union of the rules, in an order that does not depend on that of the policies. */
function mergeL7(sets: readonly L7Rules[], allowAll: boolean): L7Rules {
  const plugin = sets[0]?.plugin ?? "";
  const version = sets.find((set) => set.version !== undefined)?.version;
  const byText = new Map<string, L7Rule>();
  if (allowAll) byText.set("[]", []);
  for (const set of sets) for (const rule of set.rules) byText.set(JSON.stringify(rule), rule);
  const sorted = [...byText.entries()].sort(([a], [b]) => (a < b ? -1 : 1));
  let rules = sorted.map(([, rule]) => rule);
  if (plugin === HTTP_PLUGIN && byText.has("[]")) {
    // One rule allows everything: of the others only those count that change or log headers.
    rules = rules.filter((rule) => rule.length === 0 || rule.some(changesHeaders));
  }
  return version === undefined ? { plugin, rules } : { plugin, version, rules };
}

function changesHeaders({ key }: { key: string }): boolean {
  return key.startsWith("headerMatches.") && key.endsWith(".mismatch");
}
