/** Which policies are for an endpoint, by direction, and how many map entries they come to. */
import { PolicyConflictError, resolvePolicy } from "../resolver.ts";
import { DIRECTIONS, type Direction, type Rule } from "../rule.ts";
import { selectsSubject } from "../rule-index.ts";
import { toCandidate } from "../selector.ts";
import type { EnforcementMode } from "../subject-policy.ts";
import type { Identity, PolicySubject } from "../types.ts";
import { policyNames } from "./text.ts";

export interface DirectionPolicies {
  /** What no rule allows is denied; absent: the policies contradict each other. */
  isEnforced?: boolean;
  /** Those with a rule for the direction, or that turn default deny on. */
  policies: string[];
}

export interface EndpointPolicyView {
  ingress: DirectionPolicies;
  egress: DirectionPolicies;
  /** Entries that the policies come to; absent: they contradict each other. */
  entriesWanted?: number;
  /** Why what they say is not what is in force. */
  trouble?: string;
}

export interface EndpointPolicyInput {
  subject: PolicySubject;
  rules: readonly Rule[];
  identities: readonly Identity[];
  /** All of the node, for the names of their ports. */
  subjects: readonly PolicySubject[];
  mode: EnforcementMode;
  entriesMax: number;
}

export function explainEndpoint(input: EndpointPolicyInput): EndpointPolicyView {
  const { subject, rules, identities, subjects, mode, entriesMax } = input;
  const candidate = toCandidate(subject.identity);
  const selecting = rules.filter((rule) => selectsSubject(rule, subject, candidate));
  const named = (direction: Direction): string[] =>
    policyNames(selecting.filter((rule) => concerns(rule, direction)).map(({ origin }) => origin));
  const [ingress, egress] = DIRECTIONS.map((direction) => ({ policies: named(direction) })) as [
    DirectionPolicies,
    DirectionPolicies,
  ];
  const namedPortsOf = (id: number): PolicySubject["namedPorts"] =>
    subjects.filter(({ identity }) => identity.id === id).flatMap(({ namedPorts }) => namedPorts);
  try {
    const policy = resolvePolicy(selecting, identities, subject, {
      ...{ namedPortsOf, enforcement: mode },
    });
    // A node that no rule is for has no map, and is open.
    const isUnpoliced = subject.scope === "node" && (selecting.length === 0 || mode === "never");
    const entriesWanted = isUnpoliced ? 0 : policy.entries.length;
    const trouble = `${entriesWanted} entries do not fit into its map, which holds ${entriesMax}`;
    return {
      ingress: { isEnforced: policy.ingressEnforced, ...ingress },
      egress: { isEnforced: policy.egressEnforced, ...egress },
      entriesWanted,
      ...(entriesWanted > entriesMax ? { trouble } : {}),
    };
  } catch (error) {
    if (!(error instanceof PolicyConflictError)) throw error;
    return { ingress, egress, trouble: error.message };
  }
}

function concerns(rule: Rule, direction: Direction): boolean {
  return rule.defaultDeny[direction] || rule.items.some((item) => item.direction === direction);
}
