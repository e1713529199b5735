/**
 * ClusterNetworkPolicy and its predecessors to a rule. They never turn on default deny. Semantics:
 * policy-semantics.md 2.2.4.
 */
import { KEY_NAMESPACE, KEY_NAMESPACE_LABELS, SOURCE_K8S } from "../../identity/label.ts";
import type { TieredDocument } from "../document.ts";
import { type Direction, type PortMatch, PROTOCOL, type Rule, type RuleItem } from "../rule.ts";
import type { PodPeer, TieredPeer, TieredPort, TieredRule } from "../schema/cluster-policy.ts";
import type { LabelSelector } from "../schema/selector.ts";
import {
  ANY_SELECTOR,
  cidrSelector,
  labelSelector,
  type Requirement,
  type Selector,
} from "../selector.ts";
import type { PeerClusters, TranslateOptions } from "./context.ts";
import { originOf } from "./origin.ts";
import { fqdnSelector, prefixOf, reserved } from "./peer.ts";
import { ALL_PORTS } from "./port.ts";
import { clusterOf, exists, requirementsOf } from "./scope.ts";

/** Rules of one policy decide in their order, all of them before the next priority. */
const RULES_OF_A_PRIORITY = 100;

export function translateTiered(document: TieredDocument, options: TranslateOptions): Rule {
  const { kind, spec } = document;
  const { tier, priority, subject, ingress, egress } = spec;
  const items = (rules: readonly TieredRule[], direction: Direction): RuleItem[] =>
    rules.map((rule, index) => ({
      direction,
      ...effectOf(rule, options),
      priority: priority + index / RULES_OF_A_PRIORITY,
    }));
  return {
    origin: originOf(document, options.revision),
    tier,
    subject: labelSelector([...podRequirements(subject), exists(KEY_NAMESPACE)]),
    defaultDeny: { ingress: false, egress: false },
    ...(kind === "BaselineAdminNetworkPolicy" ? { unlessIsolated: true } : {}),
    items: [...items(ingress, "ingress"), ...items(egress, "egress")],
  };
}

/**
 * A rule with a peer that is not understood fails closed: if it allows it is about nobody,
 * otherwise it denies everything.
 */
function effectOf(
  { action, peers, ports }: TieredRule,
  clusters: PeerClusters,
): Pick<RuleItem, "verdict" | "peers" | "ports"> {
  const understood = peers.every((peer) => Object.values(peer).some((one) => one !== undefined));
  if (!understood) {
    return action === "allow"
      ? { verdict: "allow", peers: [], ports: undefined }
      : { verdict: "deny", peers: [ANY_SELECTOR], ports: undefined };
  }
  return {
    verdict: action,
    peers: peers.flatMap((peer) => peerSelectors(peer, clusters)),
    ports: ports && [{ matches: ports.flatMap(portMatches) }],
  };
}

function peerSelectors(peer: TieredPeer, clusters: PeerClusters): Selector[] {
  if (peer.networks) return peer.networks.map((text) => cidrSelector(prefixOf(text)));
  if (peer.nodes) return nodeSelectors(peer.nodes);
  if (peer.domainNames) return peer.domainNames.map(domainSelector);
  const pods = podRequirements(peer);
  return [labelSelector([...pods, exists(KEY_NAMESPACE), ...clusterOf(pods, clusters)])];
}

/** Pods of the chosen namespaces; what is no pod has no namespace. */
function podRequirements({ namespaces, pods }: PodPeer): Requirement[] {
  return [
    ...requirementsOf(
      namespaces ?? pods?.namespaceSelector ?? {},
      SOURCE_K8S,
      KEY_NAMESPACE_LABELS,
    ),
    ...requirementsOf(pods?.podSelector ?? {}, SOURCE_K8S),
  ];
}

/** Any node, this one too. */
function nodeSelectors(selector: LabelSelector): Selector[] {
  const requirements = requirementsOf(selector);
  return ["remote-node", "host"].map((name) => labelSelector([...requirements, reserved(name)]));
}

/** `*.` is one label or more. */
function domainSelector(name: string): Selector {
  return name.startsWith("*.")
    ? fqdnSelector({ matchPattern: `*${name}` })
    : fqdnSelector({ matchName: name });
}

const PROTOCOLS = { TCP: PROTOCOL.tcp, UDP: PROTOCOL.udp, SCTP: PROTOCOL.sctp } as const;

function portMatches({ protocol, port }: TieredPort): PortMatch[] {
  const protocols = protocol === undefined ? Object.values(PROTOCOLS) : [PROTOCOLS[protocol]];
  return protocols.map((number) => {
    if (typeof port === "string") {
      return { kind: "name", protocol: number, name: port.toLowerCase() };
    }
    return { kind: "range", protocol: number, ...(port ?? ALL_PORTS) };
  });
}
