/**
 * What a policy refers to: groups of prefixes and services, looked up in the sources. Also which
 * references lead nowhere now: they select nobody until what they name is there.
 */
import type { CiliumDocument, PolicyDocument } from "../document.ts";
import type { FieldPath } from "../problem.ts";
import type { CidrRule, ServicePeer } from "../schema/peer.ts";
import type { LabelSelector } from "../schema/selector.ts";
import { labelSelector, selects, toCandidate } from "../selector.ts";
import type { CidrGroup, PolicySources, ServiceInfo } from "../sources.ts";
import { requirementsOf } from "./scope.ts";

/** Groups that a `cidrGroupRef` or `cidrGroupSelector` names; none for a plain prefix. */
export function groupsOf(set: CidrRule, sources: PolicySources): CidrGroup[] {
  const { cidrGroupRef: name, cidrGroupSelector: selector } = set;
  if (name === undefined && selector === undefined) return [];
  const fits =
    name === undefined
      ? matcherOf(selector ?? {}, SOURCE_GROUP)
      : (group: CidrGroup) => group.name === name;
  return [...sources.cidrGroups()].filter(fits);
}

export function servicesOf(peer: ServicePeer, sources: PolicySources): ServiceInfo[] {
  const { k8sService: named, k8sServiceSelector: selected } = peer;
  const namespace = named?.namespace ?? selected?.namespace;
  const fits = selected
    ? matcherOf(selected.selector, SOURCE_SERVICE)
    : (service: ServiceInfo) => service.name === named?.serviceName;
  return [...sources.services()].filter(
    (service) => (namespace === undefined || service.namespace === namespace) && fits(service),
  );
}

/** Labels of a group are known by this source, so `cidrgroup:app` is the same as `app`. */
const SOURCE_GROUP = "cidrgroup";
const SOURCE_SERVICE = "k8s";

function matcherOf(
  selector: LabelSelector,
  source: string,
): (one: { labels: Readonly<Record<string, string>> }) => boolean {
  const compiled = labelSelector(requirementsOf(selector));
  return ({ labels }) => {
    const list = Object.entries(labels).map(([key, value]) => ({ source, key, value }));
    return selects(compiled, toCandidate({ id: 0, labels: list }));
  };
}

/** A reference of a policy, and whether anything answers to it. */
export interface Reference {
  kind: "cidr-group" | "service";
  path: FieldPath;
  /** For people. */
  text: string;
  found: boolean;
}

export function refersToOthers(document: PolicyDocument): boolean {
  return referencesOf(document, { cidrGroups: () => [], services: () => [] }).length > 0;
}

export function referencesOf(document: PolicyDocument, sources: PolicySources): Reference[] {
  const isCilium =
    document.kind === "CiliumNetworkPolicy" || document.kind === "CiliumClusterwideNetworkPolicy";
  return isCilium ? [...inRules(document, sources)] : [];
}

function* inRules({ rules }: CiliumDocument, sources: PolicySources): Generator<Reference> {
  for (const { path, rule } of rules) {
    for (const direction of ["ingress", "ingressDeny", "egress", "egressDeny"] as const) {
      for (const [i, item] of (rule[direction] ?? []).entries()) {
        const field = direction.startsWith("ingress") ? "fromCIDRSet" : "toCIDRSet";
        const sets = "fromCIDRSet" in item ? item.fromCIDRSet : toSets(item);
        for (const [j, set] of (sets ?? []).entries()) {
          if (set.cidr !== undefined) continue;
          yield {
            kind: "cidr-group",
            path: [...path, direction, i, field, j],
            text: groupText(set),
            found: groupsOf(set, sources).length > 0,
          };
        }
        const services = "toServices" in item ? item.toServices : undefined;
        for (const [j, peer] of (services ?? []).entries()) {
          yield {
            kind: "service",
            path: [...path, direction, i, "toServices", j],
            text: serviceText(peer),
            found: servicesOf(peer, sources).length > 0,
          };
        }
      }
    }
  }
}

function toSets(item: object): readonly CidrRule[] | undefined {
  return "toCIDRSet" in item ? (item.toCIDRSet as readonly CidrRule[] | undefined) : undefined;
}

function groupText({ cidrGroupRef, cidrGroupSelector }: CidrRule): string {
  return cidrGroupRef === undefined
    ? `CIDR group with ${JSON.stringify(cidrGroupSelector)}`
    : `CIDR group ${cidrGroupRef}`;
}

function serviceText({ k8sService, k8sServiceSelector }: ServicePeer): string {
  const namespace = k8sService?.namespace ?? k8sServiceSelector?.namespace;
  const place = namespace === undefined ? "" : ` in namespace ${namespace}`;
  return k8sService
    ? `service ${k8sService.serviceName}${place}`
    : `service with ${JSON.stringify(k8sServiceSelector?.selector)}${place}`;
}
