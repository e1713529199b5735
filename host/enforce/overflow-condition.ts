/** Policies that are not in force for an endpoint since its map cannot hold all that they say. */
import type { PolicyCondition, PolicyRepository } from "../policy/index.ts";
import { selectsSubject } from "../policy/rule-index.ts";
import { toCandidate } from "../policy/selector.ts";
import type { PolicySubject } from "../policy/types.ts";
import { type Overflow, subjectName } from "./types.ts";

/** For every policy that has a part in an overflow, once for each endpoint. */
export function overflowConditions(
  repository: PolicyRepository,
  subjects: readonly PolicySubject[],
  overflows: readonly Overflow[],
): PolicyCondition[] {
  return overflows.flatMap((overflow) => {
    const subject = subjects.find(({ endpoint }) => endpoint === overflow.endpoint);
    if (!subject) return [];
    const candidate = toCandidate(subject.identity);
    const message = overflowText(subject, overflow);
    return repository
      .list()
      .filter(({ rules }) => rules.some((rule) => selectsSubject(rule, subject, candidate)))
      .map(({ document: { kind, namespace, name } }): PolicyCondition => {
        return { policy: { kind, namespace, name }, type: "PolicyMapFull", message };
      });
  });
}

export function overflowText(subject: PolicySubject, overflow: Overflow): string {
  const { entries, entriesMax, isLockedDown } = overflow;
  const effect = isLockedDown ? "it is locked down" : "what it had stays";
  return (
    `${subjectName(subject)}: its policies make ${entries} entries, ` +
    `the policy map holds ${entriesMax}; ${effect}`
  );
}
