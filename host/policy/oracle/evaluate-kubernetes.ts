/** Kubernetes' own policies, as they stand in YAML: NetworkPolicy and the kinds with tiers. */
import {
  CLUSTER,
  exists,
  inCidr,
  is,
  isReserved,
  isWithin,
  meets,
  meetsAll,
  NAMESPACE,
  NAMESPACE_LABELS,
  named,
  type OraclePacket,
  type OraclePeer,
  requirements,
  type Yaml,
} from "./evaluate-labels.ts";

const NUMBERS: Readonly<Record<string, number>> = { TCP: 6, UDP: 17, SCTP: 132 };

export function kubernetesSelects(selector: Yaml, pod: OraclePeer, ns: string): boolean {
  const inNamespace = { source: "k8s", key: NAMESPACE, operator: "In", values: [ns] };
  return [...requirements(selector, "k8s"), inNamespace].every((r) => meets(r, pod.labels));
}

export function kubernetesPeers(peers: Yaml[] | undefined, peer: OraclePeer, ns: string): boolean {
  if (!peers || peers.length === 0) return true;
  const local = { source: "k8s", key: CLUSTER, operator: "In", values: ["default"] };
  return peers.some((p) => {
    if (p.ipBlock) {
      const { cidr, except = [] } = p.ipBlock;
      return inCidr(cidr, peer) && !except.some((c: string) => inCidr(c, peer));
    }
    if (!meets(local, peer.labels)) return false;
    const pod = requirements(p.podSelector, "k8s").every((r) => meets(r, peer.labels));
    if (!p.namespaceSelector) {
      return (
        pod && meets({ source: "k8s", key: NAMESPACE, operator: "In", values: [ns] }, peer.labels)
      );
    }
    const isPod = meets(
      { source: "k8s", key: NAMESPACE, operator: "Exists", values: [] },
      peer.labels,
    );
    const inNamespace = requirements(p.namespaceSelector, "k8s", NAMESPACE_LABELS);
    return pod && isPod && inNamespace.every((r) => meets(r, peer.labels));
  });
}

export function kubernetesPorts(
  ports: Yaml[] | undefined,
  subject: OraclePeer,
  peer: OraclePeer,
  packet: OraclePacket,
): boolean {
  if (!ports || ports.length === 0) return true;
  return ports.some((p) => {
    const number = NUMBERS[p.protocol ?? "TCP"];
    if (number !== packet.protocol) return false;
    if (p.port === undefined) return true;
    if (typeof p.port === "string") return named(p.port, subject, peer, packet);
    return isWithin(packet, p.port, p.endPort ?? 0);
  });
}

export interface TieredHit {
  tier: "admin" | "baseline";
  /** Lower decides first. */
  order: number;
  action: "allow" | "deny" | "pass";
  /** It is for pods that no NetworkPolicy isolates. */
  unlessIsolated: boolean;
}

const ACTIONS: Readonly<Record<string, TieredHit["action"]>> = {
  ...{ Accept: "allow", Allow: "allow", Deny: "deny", Pass: "pass" },
};

/** Every rule of a ClusterNetworkPolicy or one of its predecessors that the packet matches. */
export function tieredHits(
  object: Yaml,
  subject: OraclePeer,
  peer: OraclePeer,
  packet: OraclePacket,
): TieredHit[] {
  const { spec, kind } = object;
  const isAdmin = kind === "AdminNetworkPolicy" || spec.tier === "Admin";
  if (!isTieredPod(spec.subject, subject)) return [];
  const rules: Yaml[] = spec[packet.direction] ?? [];
  return rules.flatMap((rule, index) => {
    const peers: Yaml[] = packet.direction === "ingress" ? rule.from : rule.to;
    const action = ACTIONS[rule.action] ?? "deny";
    const place = { tier: isAdmin ? "admin" : "baseline", order: spec.priority ?? 0 } as const;
    const unlessIsolated = kind === "BaselineAdminNetworkPolicy";
    const hit = { ...place, order: place.order + index / 100, unlessIsolated };
    // A peer that is not understood: an allow is about nobody, all else denies everything.
    if (peers.some((one) => Object.keys(one).length === 0)) {
      return action === "allow" ? [] : [{ ...hit, action: "deny" }];
    }
    if (!peers.some((one) => isTieredPeer(one, peer))) return [];
    const ports: Yaml[] | undefined = rule.protocols ?? rule.ports;
    if (ports && !ports.some((one) => isTieredPort(one, subject, peer, packet))) return [];
    return [{ ...hit, action }];
  });
}

function isTieredPod({ namespaces, pods }: Yaml, { labels }: OraclePeer): boolean {
  return meetsAll(
    [
      ...requirements(namespaces ?? pods.namespaceSelector, "k8s", NAMESPACE_LABELS),
      ...requirements(pods?.podSelector, "k8s"),
      exists(NAMESPACE),
    ],
    labels,
  );
}

function isTieredPeer(one: Yaml, peer: OraclePeer): boolean {
  if (one.networks) return one.networks.some((cidr: string) => inCidr(cidr, peer));
  if (one.nodes) {
    const isNode = isReserved("remote-node", peer) || isReserved("host", peer);
    return isNode && meetsAll(requirements(one.nodes, "any"), peer.labels);
  }
  return isTieredPod(one, peer) && meets(is(CLUSTER, "default"), peer.labels);
}

function isTieredPort(
  one: Yaml,
  subject: OraclePeer,
  peer: OraclePeer,
  packet: OraclePacket,
): boolean {
  const name = one.destinationNamedPort ?? one.namedPort;
  if (name !== undefined) return named(name, subject, peer, packet);
  for (const protocol of ["tcp", "udp", "sctp"]) {
    const { destinationPort } = one[protocol] ?? {};
    if (destinationPort === undefined) continue;
    if (NUMBERS[protocol.toUpperCase()] !== packet.protocol) return false;
    const { number, range } = destinationPort;
    return isWithin(packet, number ?? range.start, number ?? range.end);
  }
  const { protocol = "TCP", port, start, end } = one.portNumber ?? one.portRange;
  return NUMBERS[protocol] === packet.protocol && isWithin(packet, port ?? start, port ?? end);
}
