/**
 * The numbers that the entries of policy maps carry: rule sets for L7 rules, cookies for the
 * policies behind a decision. Rule sets are asked for once per plan, since which plugin versions
 * serve may have changed; cookies are kept.
 */
import type { Outcome } from "../policy/resolve/outcome.ts";
import type { L7Rules, PolicyOrigin } from "../policy/types.ts";
import { Numbering } from "../store/numbering.ts";
import type { Store } from "../store/store.ts";
import type { EntryNumbers } from "./map-entry.ts";
import { NO_RULE_SET, type RuleSets } from "./rule-sets.ts";

/** L7 rules with the policies that ask for them. */
export interface L7Use {
  l7: L7Rules;
  /** Equal for equal rules. */
  key: string;
  origins: readonly PolicyOrigin[];
}

/** Combinations of policies whose cookie is looked up without making its text; then all anew. */
const COMBINATIONS_MAX = 100_000;

export class OutcomeNumbers {
  readonly #ruleSets: RuleSets;
  readonly #cookies: Numbering;
  /** Of the last plan, by the rules' key. */
  #planned: ReadonlyMap<string, number> = new Map();
  #generation = 0;
  readonly #origins = new WeakMap<PolicyOrigin, { id: number; text: string }>();
  #nextOrigin = 0;
  readonly #byOrigins = new Map<string, number>();

  constructor(store: Store, ruleSets: RuleSets) {
    this.#ruleSets = ruleSets;
    this.#cookies = new Numbering(store, "cookies");
  }

  /** Rises when rules that had a number have another: rows made before are out of date. */
  get generation(): number {
    return this.#generation;
  }

  /** Numbers for what a plan uses; returns those of its rule sets. Throws what plugins throw. */
  plan(uses: Iterable<L7Use>): Set<number> {
    const planned = new Map<string, number>();
    this.#ruleSets.beginPlan();
    for (const { l7, key, origins } of uses) {
      const known = planned.get(key);
      if (known === undefined) planned.set(key, this.#ruleSets.numberOf(l7, origins));
      else this.#ruleSets.addPolicies(known, origins);
    }
    const before = this.#planned;
    const changed = [...planned].some(([key, number]) => (before.get(key) ?? number) !== number);
    if (changed) this.#generation++;
    this.#planned = planned;
    return new Set([...planned.values()].filter((number) => number !== NO_RULE_SET));
  }

  /** Not to be written anywhere before `flush`. */
  of({ l7, l7Key, origins }: Outcome): EntryNumbers {
    const ruleSet = l7 === undefined ? NO_RULE_SET : this.ruleSetOf(l7Key);
    return { ruleSet, cookie: this.#cookieOf(origins) };
  }

  /** Of the rules with this key, which must be in the plan. */
  ruleSetOf(key: string): number {
    const ruleSet = this.#planned.get(key);
    if (ruleSet === undefined) throw new Error("Cannot number rules: they are in no plan");
    return ruleSet;
  }

  /** The numbers given out since are durable when this returns. */
  flush(): void {
    this.#cookies.flush();
  }

  originsOf(cookie: number): readonly PolicyOrigin[] {
    const content = cookie === 0 ? undefined : this.#cookies.contentOf(cookie);
    return content === undefined ? [] : (JSON.parse(content) as PolicyOrigin[]);
  }

  #cookieOf(origins: readonly PolicyOrigin[]): number {
    if (origins.length === 0) return 0;
    const known = origins.map((origin) => this.#known(origin));
    const combination = known.map(({ id }) => id).join();
    let cookie = this.#byOrigins.get(combination);
    if (cookie === undefined) {
      if (this.#byOrigins.size >= COMBINATIONS_MAX) this.#byOrigins.clear();
      cookie = this.#cookies.reserve(`[${known.map(({ text }) => text).join()}]`);
      this.#byOrigins.set(combination, cookie);
    }
    return cookie;
  }

  #known(origin: PolicyOrigin): { id: number; text: string } {
    let known = this.#origins.get(origin);
    if (!known) {
      known = { id: this.#nextOrigin++, text: JSON.stringify(origin) };
      this.#origins.set(origin, known);
    }
    return known;
  }
}
