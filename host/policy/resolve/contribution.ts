/**
 * What the rules of one subject contribute to one direction: this peer set, these ports, allow,
 * deny or pass, with or without L7 rules.
 */
import type { Direction, Rule, RuleL7 } from "../rule.ts";
import { ANY_SELECTOR } from "../selector.ts";
import type { SelectorCache } from "../selector-cache.ts";
import type { PolicyOrigin } from "../types.ts";
import { refuseOtherParser } from "./conflict.ts";
import type { Contribution, RulePart, RuleParts } from "./rule-parts.ts";

/** Contributions that share their peers. */
export interface PeerGroup {
  /** Equal for equal peers. */
  key: string;
  /** Of the selector whose selection this is, or a part of it. */
  selector: string;
  /** Live, unless it is a part. */
  identities: ReadonlySet<number>;
  contributions: readonly Contribution[];
}

export interface DirectionContributions {
  /** For any peer, known or not. */
  any: Contribution[];
  /** By key, so that what comes of them does not depend on the order of the rules. */
  groups: PeerGroup[];
}

/** Where the contributions come from. */
export interface CollectSource {
  rules: readonly Rule[];
  partsOf: (rule: Rule) => RuleParts;
  cache: SelectorCache;
  direction: Direction;
}

/**
 * Contributions of these rules, all of which select the subject.
 * @param wanted Keys of the peers that count; undefined: all.
 * @throws PolicyConflictError when two parsers are asked for on one peer and port, even while no
 * such peer is there.
 */
export function collect(
  { rules, partsOf, cache, direction }: CollectSource,
  wanted: ReadonlySet<string> | undefined,
): DirectionContributions {
  const any: Contribution[] = [];
  const groups = new Map<string, PeerGroup & { contributions: Contribution[] }>();
  const parsers = new Parsers(direction);
  for (const rule of rules) {
    for (const [key, part] of partsOf(rule).byPeers) {
      if (wanted && !wanted.has(key)) continue;
      for (const contribution of part.contributions) {
        parsers.remember(part.selector.key, contribution);
        listOf(key, part).push(contribution);
      }
    }
  }
  return { any, groups: [...groups.values()].sort(byKey) };

  function listOf(key: string, { selector, identities }: RulePart): Contribution[] {
    if (key === ANY_SELECTOR.key) return any;
    const known = groups.get(key);
    if (known) return known.contributions;
    const group = {
      ...{ key, selector: selector.key, contributions: [] },
      identities: identities ?? cache.selection(selector),
    };
    groups.set(key, group);
    return group.contributions;
  }
}

export function byKey(a: { key: string }, b: { key: string }): number {
  return a.key < b.key ? -1 : 1;
}

/** Which parser each peer and port has. */
class Parsers {
  readonly #direction: Direction;
  readonly #known = new Map<string, { l7: RuleL7; origin: PolicyOrigin }>();

  constructor(direction: Direction) {
    this.#direction = direction;
  }

  remember(peer: string, { key, level, l7, origin }: Contribution): void {
    if (!l7 || !origin) return;
    const place = `${level} ${key} ${peer}`;
    const known = this.#known.get(place);
    if (known) refuseOtherParser(known, { l7, origin }, this.#direction, key);
    // One that is pinned is what all others must agree with.
    if (known?.l7.rules.version === undefined) this.#known.set(place, { l7, origin });
  }
}
