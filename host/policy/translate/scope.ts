/**
 * Where a selector may reach: a namespaced policy selects in its namespace, a clusterwide one any
 * pod, and both only pods of the local cluster, unless selector or agent say otherwise. Semantics:
 * policy-semantics.md 1.2, 1.3.
 */
import {
  KEY_CLUSTER,
  KEY_NAMESPACE,
  KEY_NAMESPACE_LABELS,
  SOURCE_ANY,
  SOURCE_K8S,
  SOURCE_RESERVED,
} from "../../identity/label.ts";
import type { LabelSelector } from "../schema/selector.ts";
import { labelSelector, type Requirement, type Selector } from "../selector.ts";
import type { PeerClusters } from "./context.ts";

/** What the policy object says about scope. */
export interface Scope extends PeerClusters {
  /** "" for a clusterwide policy. */
  namespace: string;
  /** The policy is for pods that have no labels yet; its peers may be without namespace too. */
  subjectIsInit: boolean;
}

/** Another way to write `reserved:`, in Cilium's kinds only. */
const RESERVED_DOTTED = "reserved.";

export function requirementsOf(
  selector: LabelSelector,
  source: string = SOURCE_ANY,
  keyPrefix = "",
): Requirement[] {
  const requirements: Requirement[] = [];
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    requirements.push({ ...sourcedKey(key), operator: "In", values: [value] });
  }
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    requirements.push({ ...sourcedKey(key), operator, values: values ?? [] });
  }
  return requirements;

  function sourcedKey(key: string): { source: string; key: string } {
    const colon = key.indexOf(":");
    if (colon < 0 && source === SOURCE_ANY && key.startsWith(RESERVED_DOTTED)) {
      return { source: SOURCE_RESERVED, key: key.slice(RESERVED_DOTTED.length) };
    }
    if (colon < 0) return { source, key: keyPrefix + key };
    return { source: key.slice(0, colon), key: keyPrefix + key.slice(colon + 1) };
  }
}

export function isLabel(key: string, value: string): Requirement {
  return { source: SOURCE_K8S, key, operator: "In", values: [value] };
}

export function exists(key: string): Requirement {
  return { source: SOURCE_K8S, key, operator: "Exists", values: [] };
}

/**
 * Whether it is about endpoints that have no labels yet, and so no namespace either. Not if it asks
 * for the absence of the label: that would reach out of the policy's namespace.
 */
export function isInitSelector(selector: LabelSelector): boolean {
  return requirementsOf(selector).some(
    ({ source, key, operator }) =>
      source === SOURCE_RESERVED && key === "init" && (operator === "In" || operator === "Exists"),
  );
}

/**
 * Selector of a rule's subject: always inside the policy's own namespace, so a namespaced policy
 * never selects endpoints without labels (`reserved:init`), which have none.
 */
export function subjectSelector(selector: LabelSelector, namespace: string): Selector {
  const requirements = requirementsOf(selector);
  if (namespace === "") return labelSelector(requirements);
  const own = requirements.filter(
    (requirement) => requirement.operator !== "In" || !names(requirement, KEY_NAMESPACE),
  );
  return labelSelector([...own, isLabel(KEY_NAMESPACE, namespace)]);
}

/** Selector of a host rule's subject: nodes by their labels. */
export function nodeSubject(selector: LabelSelector): Selector {
  return labelSelector(requirementsOf(selector));
}

/** Selector of `fromEndpoints` and `toEndpoints`. */
export function peerSelector(selector: LabelSelector, scope: Scope): Selector {
  const requirements = requirementsOf(selector);
  if (requirements.some(({ source }) => source === SOURCE_RESERVED)) {
    return labelSelector(requirements);
  }
  const added: Requirement[] = [];
  if (!requirements.some((requirement) => names(requirement, KEY_NAMESPACE))) {
    if (scope.namespace === "") {
      if (!scope.subjectIsInit) added.push(exists(KEY_NAMESPACE));
    } else if (!requirements.some(namesNamespaceLabel)) {
      added.push(isLabel(KEY_NAMESPACE, scope.namespace));
    }
  }
  return labelSelector([...requirements, ...added, ...clusterOf(requirements, scope)]);
}

/** The local cluster or any, unless the selector says which. */
export function clusterOf(
  requirements: readonly Requirement[],
  { cluster, anyCluster = false }: PeerClusters,
): Requirement[] {
  const isNamed = requirements.some((requirement) => names(requirement, KEY_CLUSTER));
  return isNamed || anyCluster ? [] : [isLabel(KEY_CLUSTER, cluster)];
}

function names(requirement: Requirement, key: string): boolean {
  return requirement.key === key && isPodSource(requirement.source);
}

function namesNamespaceLabel(requirement: Requirement): boolean {
  return requirement.key.startsWith(KEY_NAMESPACE_LABELS) && isPodSource(requirement.source);
}

function isPodSource(source: string): boolean {
  return source === SOURCE_K8S || source === SOURCE_ANY;
}
