/**
 * Which rules select which subject, kept while policies come and go: a change is held against every
 * subject once, and what did not change is not looked at again.
 */
import type { Rule } from "./rule.ts";
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

interface Selected {
  subject: PolicySubject;
  candidate: Candidate;
  matching: Set<Rule>;
  rules: readonly Rule[];
}

export class RuleIndex {
  #rules: ReadonlySet<Rule> = new Set();
  /** By the caller's key for the subject. */
  readonly #subjects = new Map<string, Selected>();

  /** All rules, in the order of the policies. An unchanged rule is the object it was. */
  replace(rules: Iterable<Rule>): void {
    const next = new Set(rules);
    const added = [...next].filter((rule) => !this.#rules.has(rule));
    const removed = [...this.#rules].filter((rule) => !next.has(rule));
    this.#rules = next;
    if (added.length === 0 && removed.length === 0) return;
    for (const entry of this.#subjects.values()) {
      const { subject, candidate, matching } = entry;
      let changed = false;
      for (const rule of removed) if (matching.delete(rule)) changed = true;
      for (const rule of added) {
        if (!selectsSubject(rule, subject, candidate)) continue;
        matching.add(rule);
        changed = true;
      }
      if (changed) entry.rules = inOrder(next, matching);
    }
  }

  /** The rules that select the subject; the same array until one comes or goes. */
  rulesFor(key: string, subject: PolicySubject): readonly Rule[] {
    const known = this.#subjects.get(key);
    if (known) return known.rules;
    const candidate = toCandidate(subject.identity);
    const rules = [...this.#rules].filter((rule) => selectsSubject(rule, subject, candidate));
    this.#subjects.set(key, { subject, candidate, matching: new Set(rules), rules });
    return rules;
  }

  /** Forgets all other subjects. */
  retain(keys: Pick<ReadonlySet<string>, "has">): void {
    for (const key of this.#subjects.keys()) if (!keys.has(key)) this.#subjects.delete(key);
  }
}

/** What is made of the rules must not depend on which came last. */
function inOrder(all: ReadonlySet<Rule>, matching: ReadonlySet<Rule>): Rule[] {
  return [...all].filter((rule) => matching.has(rule));
}
