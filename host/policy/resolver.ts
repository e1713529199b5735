/**
 * Policies and identities to the policy map of one endpoint, from nothing. Pure: the same input
 * gives the same entries. What is kept between changes is in subject-policies.ts, how entries come
 * about in resolve/, what a rule means in translate/.
 */
import { PolicyRepository } from "./repository.ts";
import type { Rule } from "./rule.ts";
import { selectsSubject } from "./rule-index.ts";
import { toCandidate } from "./selector.ts";
import { SelectorCache } from "./selector-cache.ts";
import { type EnforcementMode, PolicyParts, SubjectPolicy } from "./subject-policy.ts";
import type { Identity, PolicySubject, ResolvedPolicy } from "./types.ts";

export { PolicyConflictError } from "./resolve/conflict.ts";

export interface ResolveOptions {
  /**
   * Container ports of a peer, for named ports in egress rules. A repository accepts those only
   * with the feature `peerNamedPorts`.
   */
  namedPortsOf?: (identity: number) => PolicySubject["namedPorts"];
  enforcement?: EnforcementMode;
}

/**
 * The policy map of `subject`. Reserved identities need not be among `identities`. Give a
 * `SelectorCache` instead of a list to share the selector work between subjects and changes.
 * @throws PolicyConflictError when policies ask for different parsers on one peer and port.
 */
export function resolvePolicy(
  source: PolicyRepository | Iterable<Rule>,
  identities: Iterable<Identity> | SelectorCache,
  subject: PolicySubject,
  options: ResolveOptions = {},
): ResolvedPolicy {
  const cache = identities instanceof SelectorCache ? identities : new SelectorCache(identities);
  const { namedPortsOf = () => [], enforcement = "default" } = options;
  const candidate = toCandidate(subject.identity);
  const rules = [...(source instanceof PolicyRepository ? source.rules() : source)];
  const selecting = rules.filter((rule) => selectsSubject(rule, subject, candidate));
  const policy = new SubjectPolicy(new PolicyParts(cache, enforcement));
  policy.update({ subject, rules: selecting, names: { namedPortsOf } }, new Map());
  return policy;
}
