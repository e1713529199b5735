/**
 * What a policy refers to: services, looked up in the sources, and groups of prefixes, which its
 * selectors find by their labels. Also which references lead nowhere now: they select nobody until
 * what they name is there.
 */

import { SOURCE_CIDR_GROUP, SOURCE_K8S } from "../../identity/label.ts";
import type { CiliumDocument, PolicyDocument } from "../document.ts";
import { groupLabels } from "../prefix-sayings.ts";
import type { FieldPath } from "../problem.ts";
import type { CidrRule, ServicePeer } from "../schema/peer.ts";
import type { LabelSelector } from "../schema/selector.ts";
import { labelSelector, selects, toCandidate } from "../selector.ts";
import { type CidrGroup, NO_SOURCES, type PolicySources, type ServiceInfo } from "../sources.ts";
import type { Label } from "../types.ts";
import { requirementsOf } from "./scope.ts";

/** Whether there is a group that a `cidrGroupRef` or `cidrGroupSelector` names. */
function hasGroup(set: CidrRule, sources: PolicySources): boolean {
  const { cidrGroupRef: name, cidrGroupSelector: selector = {} } = set;
  const selected = matcherOf(selector, SOURCE_CIDR_GROUP);
  const fits = (group: CidrGroup): boolean =>
    name === undefined ? selected(groupLabels(group)) : group.name === name;
  return [...sources.cidrGroups()].some(fits);
}

export function servicesOf(peer: ServicePeer, sources: PolicySources): ServiceInfo[] {
  const { k8sService: named, k8sServiceSelector: selected } = peer;
  const namespace = named?.namespace ?? selected?.namespace;
  const selects = matcherOf(selected?.selector ?? {}, SOURCE_K8S);
  const fits = (service: ServiceInfo): boolean =>
    selected ? selects(serviceLabels(service)) : service.name === named?.serviceName;
  return [...sources.services()].filter(
    (service) => (namespace === undefined || service.namespace === namespace) && fits(service),
  );
}

function serviceLabels({ labels }: ServiceInfo): Label[] {
  return Object.entries(labels).map(([key, value]) => ({ source: SOURCE_K8S, key, value }));
}

/** Keys without a source are of this one. */
function matcherOf(selector: LabelSelector, source: string): (labels: Label[]) => boolean {
  const compiled = labelSelector(requirementsOf(selector, source));
  return (labels) => selects(compiled, toCandidate({ id: 0, labels }));
}

/** A reference of a policy, and whether anything answers to it. */
export interface Reference {
  kind: "cidr-group" | "service";
  path: FieldPath;
  /** For people. */
  text: string;
  found: boolean;
}

/** Then it has to be translated again when they change. */
export function refersToServices(document: PolicyDocument): boolean {
  return referencesOf(document, NO_SOURCES).some(({ kind }) => kind === "service");
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
            found: hasGroup(set, sources),
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
