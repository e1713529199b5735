/**
 * CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy to rules. Fields that are refused on
 * apply never get here. Semantics: policy-semantics.md 1.2-1.4, 2.1, 2.4.
 */
import { type Prefix, parsePrefix } from "../../identity/cidr.ts";
import { KEY_CLUSTER, SOURCE_RESERVED } from "../../identity/label.ts";
import type { CiliumDocument } from "../document.ts";
import {
  type Direction,
  type PortMatch,
  PROTOCOL,
  type Rule,
  type RuleItem,
  type RulePorts,
  type RuleVerdict,
} from "../rule.ts";
import type { CiliumRule, EgressRule, IngressRule } from "../schema/cilium.ts";
import { type IcmpRule, icmpTypeNumber } from "../schema/icmp.ts";
import type { L7Settings } from "../schema/metadata.ts";
import type { CidrRule, Entity } from "../schema/peer.ts";
import { type PortProtocol, type PortRule, parsePortNumber } from "../schema/port.ts";
import type { LabelSelector } from "../schema/selector.ts";
import { ANY_SELECTOR, cidrSelector, labelSelector, type Selector } from "../selector.ts";
import { translateL7 } from "./l7.ts";
import { originOf } from "./origin.ts";
import {
  exists,
  isLabel,
  peerSelector,
  requirementsOf,
  type Scope,
  subjectSelector,
} from "./scope.ts";

export function translateCilium(
  document: CiliumDocument,
  cluster: string,
  revision: number,
): Rule[] {
  return document.rules.map(({ rule }) => {
    const endpoints = rule.endpointSelector ?? {};
    const scope: Scope = {
      namespace: document.namespace,
      cluster,
      subjectIsInit: requirementsOf(endpoints).some(
        ({ source, key }) => source === SOURCE_RESERVED && key === "init",
      ),
    };
    return {
      origin: originOf(document, revision, rule),
      subject: subjectSelector(endpoints, document.namespace),
      defaultDeny: defaultDenyOf(rule),
      items: itemsOf(rule, scope, document.l7),
    };
  });
}

/** Unless switched: a direction that has allow or deny rules is denied by default. */
function defaultDenyOf(rule: CiliumRule): Rule["defaultDeny"] {
  const has = (list: readonly unknown[] | undefined) => (list?.length ?? 0) > 0;
  return {
    ingress: rule.enableDefaultDeny?.ingress ?? (has(rule.ingress) || has(rule.ingressDeny)),
    egress: rule.enableDefaultDeny?.egress ?? (has(rule.egress) || has(rule.egressDeny)),
  };
}

/** The peers of an item, whichever way it points; deny items have the same fields or fewer. */
interface Peers {
  endpoints: readonly LabelSelector[] | undefined;
  cidrs: readonly string[] | undefined;
  cidrSets: readonly CidrRule[] | undefined;
  entities: readonly Entity[] | undefined;
  /** Lists that are only accepted empty: an empty list selects nobody. */
  others: readonly (readonly unknown[] | undefined)[];
}

interface Item {
  toPorts?: readonly Pick<PortRule, "ports" | "rules">[] | undefined;
  icmps?: readonly IcmpRule[] | undefined;
}

function itemsOf(rule: CiliumRule, scope: Scope, l7: L7Settings): RuleItem[] {
  return [
    ...(rule.ingress ?? []).map((item) => toItem(item, ingressPeers(item), "ingress", "allow")),
    ...(rule.ingressDeny ?? []).map((item) => toItem(item, ingressPeers(item), "ingress", "deny")),
    ...(rule.egress ?? []).map((item) => toItem(item, egressPeers(item), "egress", "allow")),
    ...(rule.egressDeny ?? []).map((item) => toItem(item, egressPeers(item), "egress", "deny")),
  ].filter((item) => item !== undefined);

  function toItem(
    item: Item,
    peers: Peers,
    direction: Direction,
    verdict: RuleVerdict,
  ): RuleItem | undefined {
    const ports = portsOf(item, l7);
    const selectors = selectorsOf(peers, scope);
    if (selectors) return { direction, verdict, peers: selectors, ports };
    // No peer field: any peer on these ports. Without ports the item says nothing at all.
    return ports && { direction, verdict, peers: [ANY_SELECTOR], ports };
  }
}

function ingressPeers(item: Omit<IngressRule, "toPorts" | "authentication">): Peers {
  return {
    endpoints: item.fromEndpoints,
    cidrs: item.fromCIDR,
    cidrSets: item.fromCIDRSet,
    entities: item.fromEntities,
    others: [item.fromNodes, item.fromGroups],
  };
}

function egressPeers(item: Omit<EgressRule, "toPorts" | "authentication">): Peers {
  return {
    endpoints: item.toEndpoints,
    cidrs: item.toCIDR,
    cidrSets: item.toCIDRSet,
    entities: item.toEntities,
    others: [item.toNodes, item.toGroups, item.toServices, item.toFQDNs],
  };
}

/** Undefined when no peer field is there at all; empty when there is one that selects nobody. */
function selectorsOf(peers: Peers, scope: Scope): Selector[] | undefined {
  const { endpoints, cidrs, cidrSets, entities, others } = peers;
  const lists = [endpoints, cidrs, cidrSets, entities, ...others];
  if (lists.every((list) => list === undefined)) return undefined;
  return [
    ...(endpoints ?? []).map((selector) => peerSelector(selector, scope)),
    ...(cidrs ?? []).map((cidr) => cidrSelector(prefixOf(cidr))),
    ...(cidrSets ?? []).map((set) =>
      cidrSelector(prefixOf(set.cidr ?? ""), (set.except ?? []).map(prefixOf)),
    ),
    ...(entities ?? []).flatMap((entity) => entitySelectors(entity, scope.cluster)),
  ];
}

function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text);
  if (!prefix) throw new Error(`Cannot translate ${JSON.stringify(text)}: it is not a prefix`);
  return prefix;
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

function reservedSelector(name: string): Selector {
  return labelSelector([{ source: SOURCE_RESERVED, key: name, operator: "Exists", values: [] }]);
}

/** Undefined: the item names no port, so it is about all of them. */
function portsOf(item: Item, settings: L7Settings): RulePorts[] | undefined {
  const ports: RulePorts[] = (item.toPorts ?? []).map((portRule) => {
    const matches = (portRule.ports ?? []).flatMap(portMatches);
    const l7 = translateL7(portRule.rules, settings);
    return l7 ? { matches, l7 } : { matches };
  });
  const icmps = (item.icmps ?? []).map((icmp) => ({ matches: icmpMatches(icmp) }));
  return ports.length + icmps.length === 0 ? undefined : [...ports, ...icmps];
}

const PROTOCOLS: Readonly<Record<string, readonly number[]>> = {
  TCP: [PROTOCOL.tcp],
  UDP: [PROTOCOL.udp],
  SCTP: [PROTOCOL.sctp],
  ANY: [PROTOCOL.tcp, PROTOCOL.udp, PROTOCOL.sctp],
};

function portMatches({ port = "", endPort = 0, protocol = "ANY" }: PortProtocol): PortMatch[] {
  const number = parsePortNumber(port);
  return (PROTOCOLS[protocol] ?? []).map((protocol) => {
    if (number === undefined) return { kind: "name", protocol, name: port.toLowerCase() };
    const range =
      number === 0
        ? { first: 0, last: 0xffff }
        : { first: number, last: Math.max(number, endPort) };
    return { kind: "range", protocol, ...range };
  });
}

/** The type stands in the high byte of the port. */
function icmpMatches(icmp: IcmpRule): PortMatch[] {
  return (icmp.fields ?? []).map(({ family = "IPv4", type }) => {
    const port = (icmpTypeNumber(family, type) ?? 0) << 8;
    const protocol = family === "IPv6" ? PROTOCOL.icmpv6 : PROTOCOL.icmp;
    return { kind: "range", protocol, first: port, last: port };
  });
}
