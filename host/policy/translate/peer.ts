/**
 * Peers of Cilium's policies to selectors. A list that is absent and one that is empty are never
 * the same here. Semantics: policy-semantics.md 1.3, 2.1, 2.4.
 */
import { type Prefix, parseAddress, parsePrefix } from "../../identity/cidr.ts";
import {
  KEY_CLUSTER,
  KEY_NAMESPACE,
  SOURCE_CIDR_GROUP,
  SOURCE_FQDN,
  SOURCE_K8S,
  SOURCE_RESERVED,
} from "../../identity/label.ts";
import { groupNameKey } from "../prefix-sayings.ts";
import type { fqdnSchema } from "../schema/l7.ts";
import type { CidrRule, Entity, ServicePeer } from "../schema/peer.ts";
import type { LabelSelector } from "../schema/selector.ts";
import {
  ANY_SELECTOR,
  cidrSelector,
  groupSelector,
  labelSelector,
  type Requirement,
  type Selector,
} from "../selector.ts";
import type { PolicySources, ServiceInfo } from "../sources.ts";
import { servicesOf } from "./reference.ts";
import { exists, isLabel, peerSelector, requirementsOf, type Scope } from "./scope.ts";

/** The peers of an item, whichever way it points; deny items have the same fields or fewer. */
export interface Peers {
  endpoints: readonly LabelSelector[] | undefined;
  cidrs: readonly string[] | undefined;
  cidrSets: readonly CidrRule[] | undefined;
  entities: readonly Entity[] | undefined;
  nodes: readonly LabelSelector[] | undefined;
  services?: readonly ServicePeer[] | undefined;
  fqdns?: readonly FqdnPeer[] | undefined;
  /** A list that is only accepted empty. */
  emptyOnly: readonly unknown[] | undefined;
}

export type FqdnPeer = (typeof fqdnSchema)["_output"];

/**
 * Undefined when no peer field is there at all; empty when there is one that selects nobody. An
 * empty list of the five kinds that are not resolved later selects nobody for the item, even if a
 * list of another kind stands beside it.
 */
export function selectorsOf(
  peers: Peers,
  scope: Scope,
  sources: PolicySources,
): Selector[] | undefined {
  if (Object.values(peers).every((list) => list === undefined)) return undefined;
  const { endpoints, cidrs, cidrSets, entities, nodes, services, fqdns } = peers;
  if ([endpoints, cidrs, cidrSets, entities, nodes].some((list) => list?.length === 0)) return [];
  return [
    ...(endpoints ?? []).map((selector) => peerSelector(selector, scope)),
    ...(cidrs ?? []).map((cidr) => cidrSelector(prefixOf(cidr))),
    ...(cidrSets ?? []).map(cidrSetSelector),
    ...(entities ?? []).flatMap((entity) => entitySelectors(entity, scope.cluster)),
    ...(nodes ?? []).map(nodeSelector),
    ...(services ?? []).flatMap((service) => serviceSelectors(service, scope.cluster, sources)),
    ...(fqdns ?? []).map(fqdnSelector),
  ];
}

export function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (!prefix) throw new Error(`Cannot translate ${JSON.stringify(text)}: it is not a prefix`);
  return prefix;
}

/** Exceptions hold for their own entry only. */
function cidrSetSelector({ cidr, cidrGroupRef, cidrGroupSelector, except }: CidrRule): Selector {
  const exceptions = (except ?? []).map(prefixOf);
  if (cidr !== undefined) return cidrSelector(prefixOf(cidr), exceptions);
  const requirements =
    cidrGroupRef === undefined
      ? requirementsOf(cidrGroupSelector ?? {}, SOURCE_CIDR_GROUP)
      : [hasLabel(SOURCE_CIDR_GROUP, groupNameKey(cidrGroupRef))];
  return groupSelector(requirements, exceptions);
}

const NODES_AND_PARTS = [
  "host",
  "remote-node",
  "init",
  "ingress",
  "health",
  "unmanaged",
  "kube-apiserver",
];

function entitySelectors(entity: Entity, cluster: string): Selector[] {
  switch (entity) {
    case "all":
      return [ANY_SELECTOR];
    case "none":
      return [];
    case "world":
      return ["world", "world-ipv4", "world-ipv6"].map(reservedSelector);
    case "cluster":
      return [
        ...NODES_AND_PARTS.map(reservedSelector),
        labelSelector([isLabel(KEY_CLUSTER, cluster)]),
      ];
    case "cluster-mesh":
      return [...NODES_AND_PARTS.map(reservedSelector), labelSelector([exists(KEY_CLUSTER)])];
    default:
      return [reservedSelector(entity)];
  }
}

export function reserved(name: string): Requirement {
  return hasLabel(SOURCE_RESERVED, name);
}

function hasLabel(source: string, key: string): Requirement {
  return { source, key, operator: "Exists", values: [] };
}

function reservedSelector(name: string): Selector {
  return labelSelector([reserved(name)]);
}

/** Other nodes only: this one is `host`. */
function nodeSelector(selector: LabelSelector): Selector {
  return labelSelector([...requirementsOf(selector), reserved("remote-node")]);
}

/** Ports of the rule are those of the backends: what a packet says once it is on its way to one. */
function serviceSelectors(peer: ServicePeer, cluster: string, sources: PolicySources): Selector[] {
  return servicesOf(peer, sources).flatMap((service) => {
    const pods = podsOf(service, cluster);
    if (pods) return [pods];
    return service.backends
      .map(parseAddress)
      .filter((address) => address !== undefined)
      .map((address) => cidrSelector(address));
  });
}

function podsOf({ selector, namespace }: ServiceInfo, cluster: string): Selector | undefined {
  const labels = Object.entries(selector ?? {});
  if (labels.length === 0) return undefined;
  return labelSelector([
    ...labels.map(([key, value]) => isLabel(key, value)),
    { source: SOURCE_K8S, key: KEY_NAMESPACE, operator: "In", values: [namespace] },
    isLabel(KEY_CLUSTER, cluster),
  ]);
}

/**
 * The seam of the DNS plugin: it gives what a name resolved to an identity with the label
 * `fqdn:NAME` or `fqdn:PATTERN` beside the world's, and these selectors select it.
 */
export function fqdnSelector({ matchName, matchPattern }: FqdnPeer): Selector {
  const key = (matchName ?? matchPattern ?? "").toLowerCase().replace(/\.$/, "");
  return labelSelector([hasLabel(SOURCE_FQDN, key)]);
}
