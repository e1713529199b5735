/**
 * Which rules select which subject, kept while policies come and go: a change is held against every
 * subject once, and what did not change is not looked at again.
 */
import type { Rule } from "./rule.ts";
import { ruleDifference } from "./rule-difference.ts";
import { type Candidate, selects, toCandidate } from "./selector.ts";
import type { PolicySubject } from "./types.ts";

/** Rules for pods are never for the node, and the other way round. */
export function selectsSubject(
  rule: Rule,
  { name, scope = "endpoint" }: PolicySubject,
  candidate: Candidate,
): boolean {
  if ((rule.scope ?? "endpoint") !== scope) return false;
  if (rule.endpoint !== undefined && rule.endpoint !== name) return false;
  return selects(rule.subject, candidate);
}

/** The rules that select a subject. */
export interface SelectedRules {
  /** In the order of the policies. */
  rules: readonly Rule[];
  /** Equal for equal rules. */
  key: string;
}

interface Entry {
  subject: PolicySubject;
  candidate: Candidate;
  matching: Set<Rule>;
  selected: SelectedRules;
}

export class RuleIndex {
  #rules: readonly Rule[] = [];
  /** By the subject's endpoint. */
  readonly #entries = new Map<number, Entry>();
  readonly #numbers: RuleNumbers;

  constructor(numbers = new RuleNumbers()) {
    this.#numbers = numbers;
  }

  /** The same, to be changed apart from this. */
  fork(): RuleIndex {
    const copy = new RuleIndex(this.#numbers);
    copy.#rules = this.#rules;
    for (const [endpoint, entry] of this.#entries) {
      copy.#entries.set(endpoint, { ...entry, matching: new Set(entry.matching) });
    }
    return copy;
  }

  /** All rules, in the order of the policies. An unchanged rule is the object it was. */
  replace(rules: readonly Rule[]): void {
    const { added, removed } = ruleDifference(this.#rules, rules);
    this.#rules = rules;
    if (added.length + removed.length === 0) return;
    let order: ReadonlyMap<Rule, number> | undefined;
    for (const entry of this.#entries.values()) {
      const { subject, candidate, matching } = entry;
      let changed = false;
      for (const rule of removed) if (matching.delete(rule)) changed = true;
      for (const rule of added) {
        if (!selectsSubject(rule, subject, candidate)) continue;
        matching.add(rule);
        changed = true;
      }
      if (!changed) continue;
      order ??= new Map(rules.map((rule, index) => [rule, index]));
      entry.selected = this.#select(inOrder(matching, order));
    }
  }

  /** The same object until one comes or goes. */
  rulesFor(subject: PolicySubject): SelectedRules {
    const known = this.#entries.get(subject.endpoint);
    if (known && isSame(known.subject, subject)) return known.selected;
    const candidate = toCandidate(subject.identity);
    const rules = this.#rules.filter((rule) => selectsSubject(rule, subject, candidate));
    const selected = this.#select(rules);
    const matching = new Set(rules);
    this.#entries.set(subject.endpoint, { subject, candidate, matching, selected });
    return selected;
  }

  /** Forgets the subjects of all other endpoints. */
  retain(endpoints: Pick<ReadonlySet<number>, "has">): void {
    for (const endpoint of this.#entries.keys()) {
      if (!endpoints.has(endpoint)) this.#entries.delete(endpoint);
    }
  }

  #select(rules: readonly Rule[]): SelectedRules {
    return { rules, key: rules.map((rule) => this.#numbers.of(rule)).join() };
  }
}

class RuleNumbers {
  readonly #numbers = new WeakMap<Rule, number>();
  #last = 0;

  of(rule: Rule): number {
    const known = this.#numbers.get(rule);
    if (known !== undefined) return known;
    this.#numbers.set(rule, ++this.#last);
    return this.#last;
  }
}

/** Whether the same rules select them. */
function isSame(a: PolicySubject, b: PolicySubject): boolean {
  return a.identity === b.identity && a.name === b.name && a.scope === b.scope;
}

/** What is made of the rules must not depend on which came last. */
function inOrder(matching: ReadonlySet<Rule>, order: ReadonlyMap<Rule, number>): Rule[] {
  return [...matching].sort((a, b) => (order.get(a) ?? 0) - (order.get(b) ?? 0));
}
