/**
 * Selectors: conditions on an identity's labels. What they are and what they match; the set of
 * identities a selector matches is kept by selector-cache.ts. Every selector has a key, equal for
 * equal conditions, so that policies share the work.
 */
import {
  formatPrefix,
  isWorldLabel,
  type Prefix,
  parseCidrLabelKey,
  prefixContains,
  WORLD_OF_FAMILY,
} from "../identity/cidr.ts";
import { SOURCE_ANY, SOURCE_CIDR, SOURCE_CIDR_GROUP, SOURCE_RESERVED } from "../identity/label.ts";
import type { Identity, Label } from "./types.ts";

export interface Requirement {
  /** `any` is every source. */
  source: string;
  key: string;
  operator: "In" | "NotIn" | "Exists" | "DoesNotExist";
  values: readonly string[];
}

export type Selector =
  /** Everything, known or not: identity 0 of the policy map. */
  | { kind: "any"; key: string }
  /** All requirements hold. */
  | { kind: "labels"; key: string; requirements: readonly Requirement[] }
  /**
   * Addresses of the world inside the prefix and outside every exception; of nodes too where their
   * identities carry prefixes (policy-cidr-match-mode).
   */
  | { kind: "cidr"; key: string; prefix: Prefix; except: readonly Prefix[] }
  /** Addresses of the world in groups whose labels, all taken together, meet the requirements. */
  | {
      kind: "group";
      key: string;
      requirements: readonly Requirement[];
      except: readonly Prefix[];
    };

export const ANY_SELECTOR: Selector = { kind: "any", key: "*" };

export function labelSelector(requirements: readonly Requirement[]): Selector {
  return { kind: "labels", key: `labels ${requirementsKey(requirements)}`, requirements };
}

function requirementsKey(requirements: readonly Requirement[]): string {
  const parts = requirements.map(({ source, key, operator, values }) =>
    JSON.stringify([source, key, operator, [...values].sort()]),
  );
  return parts.sort().join(" ");
}

export function cidrSelector(prefix: Prefix, except: readonly Prefix[] = []): Selector {
  return {
    kind: "cidr",
    key: `cidr ${[formatPrefix(prefix), ...exceptionTexts(except)].join(" ")}`,
    prefix,
    except,
  };
}

export function groupSelector(
  requirements: readonly Requirement[],
  except: readonly Prefix[],
): Selector {
  const key = ["group", requirementsKey(requirements), ...exceptionTexts(except)].join(" ");
  return { kind: "group", key, requirements, except };
}

function exceptionTexts(except: readonly Prefix[]): string[] {
  return except.map(formatPrefix).sort();
}

/** An identity with what matching needs worked out once. */
export interface Candidate {
  id: number;
  labels: readonly Label[];
  /** Prefixes of its `cidr:` labels; none of a pod, which is never selected by its address. */
  prefixes: readonly Prefix[];
  /** Pods and nodes are never of the world, whatever their addresses. */
  isWorld: boolean;
  /** Some CIDR group holds it. */
  isInGroup: boolean;
}

export function toCandidate(identity: Identity): Candidate {
  const { id, labels } = identity;
  const isWorld = labels.some(isWorldLabel);
  const prefixes: Prefix[] = [];
  for (const label of isWorld || labels.some(isNodeLabel) ? labels : []) {
    const prefix = label.source === SOURCE_CIDR ? parseCidrLabelKey(label.key) : undefined;
    if (prefix) prefixes.push(prefix);
  }
  const isInGroup = labels.some(({ source }) => source === SOURCE_CIDR_GROUP);
  return { id, labels, prefixes, isWorld, isInGroup };
}

const NODES = new Set(["host", "remote-node"]);

function isNodeLabel({ source, key }: Label): boolean {
  return source === SOURCE_RESERVED && NODES.has(key);
}

export function selects(selector: Selector, candidate: Candidate): boolean {
  switch (selector.kind) {
    case "any":
      return true;
    case "labels":
      return selector.requirements.every((requirement) => isMet(requirement, candidate));
    case "cidr":
      return (
        isInside(selector.prefix, candidate) &&
        !selector.except.some((prefix) => isInside(prefix, candidate))
      );
    case "group":
      return (
        candidate.isWorld &&
        candidate.isInGroup &&
        selector.requirements.every((requirement) => isMet(requirement, candidate)) &&
        !selector.except.some((prefix) => isInside(prefix, candidate))
      );
    default:
      return selector satisfies never;
  }
}

/** `NotIn` and `DoesNotExist` are plain negations: an absent key is not in any set. */
function isMet(requirement: Requirement, candidate: Candidate): boolean {
  switch (requirement.operator) {
    case "In":
      return hasLabel(requirement, candidate, requirement.values);
    case "NotIn":
      return !hasLabel(requirement, candidate, requirement.values);
    case "Exists":
      return hasLabel(requirement, candidate, undefined);
    case "DoesNotExist":
      return !hasLabel(requirement, candidate, undefined);
    default:
      return requirement.operator satisfies never;
  }
}

function hasLabel(
  requirement: Requirement,
  candidate: Candidate,
  values: readonly string[] | undefined,
): boolean {
  if (requirement.source === SOURCE_CIDR) {
    const prefix = parseCidrLabelKey(requirement.key);
    if (!prefix || !isInside(prefix, candidate)) return false;
    return values === undefined || values.includes("");
  }
  return candidate.labels.some(
    (label) =>
      label.key === requirement.key &&
      (requirement.source === SOURCE_ANY || label.source === requirement.source) &&
      (values === undefined || values.includes(label.value)),
  );
}

/** A prefix of length 0 is the world of its family; others contain by their `cidr:` labels. */
function isInside(prefix: Prefix, candidate: Candidate): boolean {
  if (prefix.length === 0 && !candidate.isWorld) return false;
  if (candidate.prefixes.some((inner) => prefixContains(prefix, inner))) return true;
  const world = WORLD_OF_FAMILY[prefix.family];
  return (
    prefix.length === 0 &&
    candidate.labels.some((label) => label.source === SOURCE_RESERVED && label.key === world)
  );
}
