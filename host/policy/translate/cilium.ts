/**
 * CiliumNetworkPolicy and CiliumClusterwideNetworkPolicy to rules. Fields that are refused on
 * apply never get here. Semantics: policy-semantics.md 1.2-1.4, 2.1. Peers are peer.ts, ports
 * port.ts.
 */
import type { CiliumDocument } from "../document.ts";
import type { Direction, Rule, RuleItem, RulePorts, RuleVerdict } from "../rule.ts";
import type { CiliumRule, EgressRule, IngressRule } from "../schema/cilium.ts";
import type { IcmpRule } from "../schema/icmp.ts";
import type { L7Settings } from "../schema/metadata.ts";
import type { PortRule } from "../schema/port.ts";
import { ANY_SELECTOR } from "../selector.ts";
import type { TranslateOptions } from "./context.ts";
import { translateL7 } from "./l7.ts";
import { originOf } from "./origin.ts";
import { type Peers, selectorsOf } from "./peer.ts";
import { icmpMatches, portMatches } from "./port.ts";
import { isInitSelector, nodeSubject, type Scope, subjectSelector } from "./scope.ts";

export function translateCilium(document: CiliumDocument, options: TranslateOptions): Rule[] {
  return document.rules.map(({ rule }) => {
    const { nodeSelector, endpointSelector = {} } = rule;
    const scope: Scope = {
      namespace: document.namespace,
      ...{ cluster: options.cluster, anyCluster: options.anyCluster ?? false },
      subjectIsInit: isInitSelector(endpointSelector),
    };
    return {
      origin: originOf(document, options.revision, rule),
      ...(nodeSelector
        ? { scope: "node", subject: nodeSubject(nodeSelector) }
        : { subject: subjectSelector(endpointSelector, document.namespace) }),
      defaultDeny: defaultDenyOf(rule),
      items: itemsOf(rule, { scope, options, l7: document.l7 }),
    };
  });
}

/** Unless switched: a direction that has allow or deny rules is denied by default. */
function defaultDenyOf(rule: CiliumRule): Rule["defaultDeny"] {
  const has = (list: readonly unknown[] | null | undefined) => (list?.length ?? 0) > 0;
  return {
    ingress: rule.enableDefaultDeny?.ingress ?? (has(rule.ingress) || has(rule.ingressDeny)),
    egress: rule.enableDefaultDeny?.egress ?? (has(rule.egress) || has(rule.egressDeny)),
  };
}

interface Item {
  toPorts?: readonly Pick<PortRule, "ports" | "rules">[] | undefined;
  icmps?: readonly IcmpRule[] | undefined;
}

interface Context {
  scope: Scope;
  options: TranslateOptions;
  l7: L7Settings;
}

function itemsOf(rule: CiliumRule, { scope, options, l7 }: Context): RuleItem[] {
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
    const selectors = selectorsOf(peers, scope, options.sources);
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
    nodes: item.fromNodes,
    emptyOnly: item.fromGroups,
  };
}

function egressPeers(item: Omit<EgressRule, "toPorts" | "authentication">): Peers {
  return {
    endpoints: item.toEndpoints,
    cidrs: item.toCIDR,
    cidrSets: item.toCIDRSet,
    entities: item.toEntities,
    nodes: item.toNodes,
    services: item.toServices,
    fqdns: item.toFQDNs,
    emptyOnly: item.toGroups,
  };
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
