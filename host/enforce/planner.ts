/**
 * From the resolver's answer to what the kernel and the proxy take: numbers for rule sets and
 * cookies, one fingerprint for each map. Pure but for the numbers, which stay what they are.
 */
import type { PolicyMapEntry } from "../datapath/types.ts";
import type { PolicyOrigin, PolicySubject, ResolvedPolicy } from "../policy/types.ts";
import { Numbering } from "../store/numbering.ts";
import type { Store } from "../store/store.ts";
import { mapEntry } from "./map-entry.ts";
import { NO_RULE_SET, type RuleSets } from "./rule-sets.ts";
import type { EndpointPlan, OriginLookup, Plan } from "./types.ts";

export interface PlanInput {
  subjects: readonly PolicySubject[];
  /** CIDR prefixes with the identity that stands for each. */
  prefixes: ReadonlyMap<string, number>;
  /** Undefined: the endpoint is left out. */
  resolve: (subject: PolicySubject) => ResolvedPolicy | undefined;
}

export class Planner implements OriginLookup {
  readonly #ruleSets: RuleSets;
  readonly #cookies: Numbering;

  constructor(store: Store, ruleSets: RuleSets) {
    this.#ruleSets = ruleSets;
    this.#cookies = new Numbering(store, "cookies");
  }

  /** Throws what the resolver, the plugins' `compile` and the pattern compiler throw. */
  plan(input: PlanInput): Plan {
    const used = new Set<number>();
    this.#ruleSets.beginPlan();
    const endpoints = input.subjects.flatMap((subject) => {
      const resolved = input.resolve(subject);
      return resolved === undefined
        ? []
        : [this.#endpointPlan(subject.endpoint, resolved.entries, used)];
    });
    return { endpoints, ruleSets: used, prefixes: input.prefixes };
  }

  originsOf(cookie: number): readonly PolicyOrigin[] {
    const content = cookie === 0 ? undefined : this.#cookies.contentOf(cookie);
    return content === undefined ? [] : (JSON.parse(content) as PolicyOrigin[]);
  }

  #endpointPlan(
    endpoint: number,
    resolved: ResolvedPolicy["entries"],
    used: Set<number>,
  ): EndpointPlan {
    const entries = resolved.map((entry): PolicyMapEntry => {
      const { l7, origins } = entry;
      const cookie = origins.length === 0 ? 0 : this.#cookies.numberOf(JSON.stringify(origins));
      const ruleSet = l7 === undefined ? NO_RULE_SET : this.#ruleSets.numberOf(l7, origins);
      if (ruleSet !== NO_RULE_SET) used.add(ruleSet);
      return mapEntry(entry, { ruleSet, cookie });
    });
    return { endpoint, entries, fingerprint: JSON.stringify(entries) };
  }
}
