/** Kubernetes NetworkPolicy to a rule. Semantics: policy-semantics.md 2.5. */
import { parsePrefix } from "../../identity/cidr.ts";
import { KEY_NAMESPACE, KEY_NAMESPACE_LABELS, SOURCE_K8S } from "../../identity/label.ts";
import type { NetworkPolicyDocument } from "../document.ts";
import { type PortMatch, PROTOCOL, type Rule, type RuleItem, type RulePorts } from "../rule.ts";
import type {
  NetworkPolicyPeer,
  NetworkPolicyPort,
  NetworkPolicySpec,
} from "../schema/network-policy.ts";
import { ANY_SELECTOR, cidrSelector, labelSelector, type Selector } from "../selector.ts";
import type { PeerClusters, TranslateOptions } from "./context.ts";
import { originOf } from "./origin.ts";
import { clusterOf, exists, isLabel, requirementsOf } from "./scope.ts";

export function translateNetworkPolicy(
  document: NetworkPolicyDocument,
  options: TranslateOptions,
): Rule {
  const { spec, namespace } = document;
  const peers = (list: readonly NetworkPolicyPeer[] | null | undefined) =>
    list?.length ? list.map((peer) => peerSelector(peer, namespace, options)) : [ANY_SELECTOR];
  const items: RuleItem[] = [];
  for (const { from, ports } of spec.ingress ?? []) {
    items.push({
      direction: "ingress",
      verdict: "allow",
      peers: peers(from),
      ports: portsOf(ports),
    });
  }
  for (const { to, ports } of spec.egress ?? []) {
    items.push({ direction: "egress", verdict: "allow", peers: peers(to), ports: portsOf(ports) });
  }
  return {
    origin: originOf(document, options.revision),
    subject: labelSelector([
      ...requirementsOf(spec.podSelector ?? {}, SOURCE_K8S),
      isLabel(KEY_NAMESPACE, namespace),
    ]),
    defaultDeny: defaultDenyOf(spec),
    isolates: true,
    items,
  };
}

/** A direction is denied by default if it has rules or is listed; ingress also if egress is not. */
function defaultDenyOf(spec: NetworkPolicySpec): Rule["defaultDeny"] {
  const types = spec.policyTypes ?? [];
  return {
    ingress:
      (spec.ingress?.length ?? 0) > 0 || types.includes("Ingress") || !types.includes("Egress"),
    egress: (spec.egress?.length ?? 0) > 0 || types.includes("Egress"),
  };
}

function peerSelector(
  peer: NetworkPolicyPeer,
  namespace: string,
  clusters: PeerClusters,
): Selector {
  if (peer.ipBlock) {
    const { cidr, except } = peer.ipBlock;
    const prefixes = [cidr, ...(except ?? [])].map((text) => {
      const prefix = parsePrefix(text);
      if (!prefix) throw new Error(`Cannot translate ${JSON.stringify(text)}: it is not a prefix`);
      return prefix;
    });
    const [prefix, ...exceptions] = prefixes;
    if (prefix) return cidrSelector(prefix, exceptions);
  }
  const namespaces = peer.namespaceSelector
    ? requirementsOf(peer.namespaceSelector, SOURCE_K8S, KEY_NAMESPACE_LABELS)
    : [isLabel(KEY_NAMESPACE, namespace)];
  const pods = requirementsOf(peer.podSelector ?? {}, SOURCE_K8S);
  return labelSelector([
    ...(namespaces.length > 0 ? namespaces : [exists(KEY_NAMESPACE)]),
    ...pods,
    ...clusterOf(pods, clusters),
  ]);
}

function portsOf(ports: readonly NetworkPolicyPort[] | null | undefined): RulePorts[] | undefined {
  return ports?.length ? [{ matches: ports.map(portMatch) }] : undefined;
}

const PROTOCOLS = { TCP: PROTOCOL.tcp, UDP: PROTOCOL.udp, SCTP: PROTOCOL.sctp } as const;

/** Without a protocol it is TCP (unlike Cilium's ANY); without a port, all of them. */
function portMatch({ port, endPort, protocol }: NetworkPolicyPort): PortMatch {
  const number = PROTOCOLS[protocol ?? "TCP"];
  if (typeof port === "string") return { kind: "name", protocol: number, name: port.toLowerCase() };
  if (typeof port !== "number") {
    return { kind: "range", protocol: number, first: 0, last: 0xffff };
  }
  return { kind: "range", protocol: number, first: port, last: Math.max(port, endPort ?? 0) };
}
