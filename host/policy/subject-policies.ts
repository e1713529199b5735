/**
 * The policies of all subjects of the node, kept between changes: a change costs what it selects.
 * Subjects of one identity with equal ports share one policy, and so everything that is made of it.
 */
import { formatLabel } from "../identity/label.ts";
import { PolicyConflictError } from "./resolve/conflict.ts";
import { Steps } from "./resolve/steps.ts";
import type { Rule } from "./rule.ts";
import { RuleIndex } from "./rule-index.ts";
import type { SelectorCache } from "./selector-cache.ts";
import { type EnforcementMode, SubjectPolicy, type SubjectPolicyParts } from "./subject-policy.ts";
import type { PolicySubject } from "./types.ts";

export interface SubjectResult {
  subject: PolicySubject;
  /** The policy, or why there is none. */
  outcome: SubjectPolicy | PolicyConflictError;
}

export interface SubjectPoliciesInput {
  /** In the order of the policies. An unchanged rule is the object it was. */
  rules: Iterable<Rule>;
  subjects: readonly PolicySubject[];
  namedPortsOf: (identity: number) => PolicySubject["namedPorts"];
}

export class SubjectPolicies {
  readonly #cache: SelectorCache;
  readonly #parts: SubjectPolicyParts;
  readonly #rules = new RuleIndex();
  readonly #policies = new Map<string, SubjectPolicy>();

  /** @param cache Its changes are taken here; nobody else may. */
  constructor(cache: SelectorCache, mode: EnforcementMode = "default") {
    this.#cache = cache;
    this.#parts = { cache, steps: new Steps(), mode };
  }

  /** In the order of the subjects. A policy is the same object while it can be kept. */
  resolve({ rules, subjects, namedPortsOf }: SubjectPoliciesInput): SubjectResult[] {
    const all = [...rules];
    this.#rules.replace(all);
    const changes = this.#cache.takeChanges();
    const named = new Set(all.map(({ endpoint }) => endpoint));
    const outcomes = new Map<string, SubjectResult["outcome"]>();
    const results = subjects.map((subject): SubjectResult => {
      const shared = withoutIdleName(subject, named);
      const key = subjectKey(shared);
      let outcome = outcomes.get(key);
      if (!outcome) {
        outcome = this.#outcome(key, shared, (policy, selected) =>
          policy.update(selected, changes, { namedPortsOf }),
        );
        outcomes.set(key, outcome);
      }
      return { subject, outcome };
    });
    this.#forgetOthers(outcomes);
    return results;
  }

  #outcome(
    key: string,
    subject: PolicySubject,
    update: (policy: SubjectPolicy, rules: readonly Rule[]) => void,
  ): SubjectResult["outcome"] {
    const policy = this.#policies.get(key) ?? new SubjectPolicy(subject, this.#parts);
    try {
      update(policy, this.#rules.rulesFor(key, subject));
    } catch (error) {
      // What is not taken up now would never be learned of: start anew next time.
      if (!(error instanceof PolicyConflictError)) {
        this.#policies.clear();
        throw error;
      }
      this.#policies.delete(key);
      return error;
    }
    this.#policies.set(key, policy);
    return policy;
  }

  #forgetOthers(wanted: ReadonlyMap<string, unknown>): void {
    for (const key of this.#policies.keys()) if (!wanted.has(key)) this.#policies.delete(key);
    this.#rules.retain(wanted);
    const selectors = new Set<string>();
    for (const policy of this.#policies.values()) {
      for (const key of policy.selectors()) selectors.add(key);
    }
    this.#cache.retain(selectors);
  }
}

/** An endpoint's name tells it from others of its identity only if a rule names it. */
function withoutIdleName(
  subject: PolicySubject,
  named: ReadonlySet<string | undefined>,
): PolicySubject {
  const { name, ...shared } = subject;
  return name !== undefined && named.has(name) ? subject : shared;
}

/** Equal for those who have the same policy. */
function subjectKey({
  scope = "endpoint",
  identity,
  name = "",
  namedPorts,
}: PolicySubject): string {
  const ports = namedPorts.map((one) => `${one.name}/${one.port}/${one.protocol}`);
  return JSON.stringify([scope, identity.id, identity.labels.map(formatLabel), name, ports]);
}
