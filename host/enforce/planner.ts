/**
 * From the resolver's answers to what kernel and proxy take: what each endpoint's map is to hold,
 * with numbers for rule sets and cookies. Computes only; numbers stay what they are.
 */
import type { SubjectPolicy } from "../policy/subject-policy.ts";
import type { PolicyOrigin } from "../policy/types.ts";
import type { Store } from "../store/store.ts";
import { OutcomeNumbers } from "./entry-numbers.ts";
import { MapContent } from "./map-content.ts";
import { RowTemplates } from "./row-templates.ts";
import { NO_RULE_SET, type RuleSets } from "./rule-sets.ts";
import type { EndpointPlan, OriginLookup, Plan } from "./types.ts";

export interface PlanInput {
  /** Endpoints that share a policy have the same object. */
  endpoints: readonly { endpoint: number; policy: SubjectPolicy }[];
  /** Endpoints without any policy. */
  unpoliced?: readonly number[];
  /** Prefixes with the identity that stands for each; never changed. */
  prefixes: ReadonlyMap<string, number>;
}

export class Planner implements OriginLookup {
  readonly #numbers: OutcomeNumbers;
  readonly #templates: RowTemplates;
  #contents: ReadonlyMap<SubjectPolicy, MapContent> = new Map();

  constructor(store: Store, ruleSets: RuleSets) {
    this.#numbers = new OutcomeNumbers(store, ruleSets);
    this.#templates = new RowTemplates(this.#numbers);
  }

  /** Whether the plugins take the rules; throws what their `compile` throws. */
  check(input: PlanInput): void {
    this.#number(input);
  }

  /** The same, and the plan. */
  plan(input: PlanInput): Plan {
    const { contents, ruleSets } = this.#number(input);
    this.#templates.renew();
    for (const content of contents.values()) content.prepare();
    this.#numbers.flush();
    this.#contents = contents;
    const named = new Map<MapContent, ReadonlySet<number>>();
    for (const content of contents.values()) named.set(content, this.#ruleSetsOf(content));
    const endpoints = input.endpoints.flatMap(({ endpoint, policy }): EndpointPlan[] => {
      const content = contents.get(policy);
      const own = content && named.get(content);
      return content && own ? [{ endpoint, content, ruleSets: own }] : [];
    });
    const { unpoliced = [], prefixes } = input;
    return { endpoints, unpoliced, ruleSets, prefixes };
  }

  originsOf(cookie: number): readonly PolicyOrigin[] {
    return this.#numbers.originsOf(cookie);
  }

  #number({ endpoints }: PlanInput): {
    contents: Map<SubjectPolicy, MapContent>;
    ruleSets: Set<number>;
  } {
    const contents = new Map<SubjectPolicy, MapContent>();
    for (const { policy } of endpoints) {
      if (contents.has(policy)) continue;
      contents.set(policy, this.#contents.get(policy) ?? new MapContent(policy, this.#templates));
    }
    const uses = [...contents.values()].flatMap((content) => content.uses());
    return { contents, ruleSets: this.#numbers.plan(uses) };
  }

  #ruleSetsOf(content: MapContent): Set<number> {
    const numbers = content.uses().map((use) => this.#numbers.ruleSetOf(use.key));
    return new Set(numbers.filter((number) => number !== NO_RULE_SET));
  }
}
