/** Rules of Cilium's policies as they stand in YAML: whom they are for, what an item matches. */
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
  type Requirement,
  requirements,
  type Yaml,
} from "./evaluate-labels.ts";

/** What the packet is held against beside the rule. */
export interface CiliumCase {
  subject: OraclePeer;
  peer: OraclePeer;
  packet: OraclePacket;
  /** Of the policy; "" if it is clusterwide. */
  ns: string;
  /** The rule is for pods that have no labels yet. */
  isForInit: boolean;
  /** CiliumCIDRGroups. */
  groups: readonly Yaml[];
  services: readonly OracleService[];
}

export interface OracleService {
  namespace: string;
  name: string;
  labels: Record<string, string>;
  selector: Record<string, string> | undefined;
  backends: string[];
}

const PROTOCOLS: Readonly<Record<string, readonly number[]>> = {
  ...{ TCP: [6], UDP: [17], SCTP: [132], ANY: [6, 17, 132] },
  ...{ IGMP: [2], IPIP: [4], IPV6: [41], GRE: [47], ESP: [50], AH: [51], VRRP: [112] },
};
const ICMP_NAMES: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  IPv4: { EchoReply: 0, Echo: 8, EchoRequest: 8, Timestamp: 13 },
  IPv6: { EchoRequest: 128, EchoReply: 129, HomeAgentAddressDiscoveryRequest: 144 },
};
const PEER_FIELDS = [
  ...["Endpoints", "CIDR", "CIDRSet", "Entities", "Nodes", "Groups", "Services", "FQDNs"],
];

/** One element for each matching port rule of the item, with its HTTP rules if it has any. */
export function ciliumItem(item: Yaml, about: CiliumCase): { http?: Yaml[] }[] {
  const { packet } = about;
  const to = packet.direction === "ingress" ? "from" : "to";
  const toPorts: Yaml[] = item.toPorts ?? [];
  const icmps: Yaml[] = item.icmps ?? [];
  const hasPorts = toPorts.length + icmps.length > 0;
  if (!PEER_FIELDS.some((field) => item[to + field])) {
    if (!hasPorts) return [];
  } else {
    if (!isPeer(item, to, about)) return [];
    if (!hasPorts) return [{}];
  }
  const hits: { http?: Yaml[] }[] = [];
  for (const portRule of toPorts) {
    if (!portRule.ports.some((p: Yaml) => ciliumPort(p, about))) continue;
    const http: Yaml[] = portRule.rules?.http ?? [];
    hits.push(http.length > 0 ? { http } : {});
  }
  for (const icmp of icmps) {
    for (const { family = "IPv4", type } of icmp.fields ?? []) {
      const protocol = family === "IPv6" ? 58 : 1;
      const number = ICMP_NAMES[family]?.[type] ?? Number(type);
      if (packet.protocol === protocol && packet.port === number) hits.push({});
    }
  }
  return hits;
}

function isPeer(item: Yaml, to: string, about: CiliumCase): boolean {
  const { peer } = about;
  // One list that is there and empty takes the others with it.
  const alone = ["Endpoints", "CIDR", "CIDRSet", "Entities", "Nodes"];
  if (alone.some((field) => item[to + field]?.length === 0)) return false;
  const some = (field: string, fits: (one: Yaml) => boolean) => (item[to + field] ?? []).some(fits);
  return (
    some("Endpoints", (selector) => ciliumEndpoint(selector, about)) ||
    some("CIDR", (cidr) => inCidr(cidr, peer)) ||
    some("CIDRSet", (set) => inCidrSet(set, about)) ||
    some("Entities", (entity) => isEntity(entity, peer)) ||
    some("Services", (service) => isBehind(service, about)) ||
    some(
      "Nodes",
      (node) => isReserved("remote-node", peer) && meetsAll(requirements(node, "any"), peer.labels),
    )
  );
}

/**
 * An address of the world has the labels of every group it is in, whichever of their prefixes it is
 * in. Nodes are in none, known by address or not.
 */
function inCidrSet(set: Yaml, { peer, groups }: CiliumCase): boolean {
  if ((set.except ?? []).some((cidr: string) => inCidr(cidr, peer))) return false;
  if (set.cidr !== undefined) return inCidr(set.cidr, peer);
  if (isReserved("remote-node", peer)) return false;
  const own = groups.filter(({ spec }) =>
    spec.externalCIDRs.some((cidr: string) => inCidr(cidr, peer)),
  );
  if (set.cidrGroupRef !== undefined) {
    return own.some(({ metadata }) => metadata.name === set.cidrGroupRef);
  }
  const labels = own.flatMap(({ metadata }) => [
    { source: "cidrgroup", key: `io.cilium.policy.cidrgroupname/${metadata.name}`, value: "" },
    ...labelsOf(metadata.labels, "cidrgroup"),
  ]);
  return own.length > 0 && meetsAll(requirements(set.cidrGroupSelector, "cidrgroup"), labels);
}

function labelsOf(labels: Record<string, string>, source: string) {
  return Object.entries(labels ?? {}).map(([key, value]) => ({ source, key, value }));
}

function isBehind({ k8sService, k8sServiceSelector }: Yaml, { peer, services }: CiliumCase) {
  const namespace = k8sService?.namespace ?? k8sServiceSelector?.namespace;
  return services.some((service) => {
    if (namespace !== undefined && service.namespace !== namespace) return false;
    const isMeant = k8sService
      ? service.name === k8sService.serviceName
      : meetsAll(requirements(k8sServiceSelector.selector, "any"), labelsOf(service.labels, "k8s"));
    if (!isMeant) return false;
    if (!service.selector) return service.backends.includes(peer.address ?? "");
    const pods = Object.entries(service.selector).map(([key, value]) => is(key, value));
    const here = [is(NAMESPACE, service.namespace), is(CLUSTER, "default")];
    return meetsAll([...pods, ...here], peer.labels);
  });
}

function ciliumPort(p: Yaml, { subject, peer, packet }: CiliumCase): boolean {
  if (!PROTOCOLS[p.protocol ?? "ANY"]?.includes(packet.protocol)) return false;
  const { port = "0" } = p;
  if (!/^[0-9]+$/.test(port)) return named(port, subject, peer, packet);
  const first = Number(port);
  if (first === 0) return true;
  return isWithin(packet, first, p.endPort ?? 0);
}

function isEntity(entity: string, peer: OraclePeer): boolean {
  const reserved = (name: string) => isReserved(name, peer);
  const parts = ["host", "remote-node", "init", "ingress", "health", "unmanaged", "kube-apiserver"];
  const cluster = peer.labels.find((l) => l.source === "k8s" && l.key === CLUSTER)?.value;
  if (entity === "all") return true;
  if (entity === "none") return false;
  if (entity === "world") return ["world", "world-ipv4", "world-ipv6"].some(reserved);
  if (entity === "cluster") return parts.some(reserved) || cluster === "default";
  if (entity === "cluster-mesh") return parts.some(reserved) || cluster !== undefined;
  return reserved(entity);
}

export function isForInit(selector: Yaml): boolean {
  return requirements(selector, "any").some(
    ({ source, key, operator }) =>
      source === "reserved" && key === "init" && (operator === "In" || operator === "Exists"),
  );
}

export function ciliumSubject(selector: Yaml, subject: OraclePeer, ns: string): boolean {
  let needed = requirements(selector, "any");
  if (ns !== "") {
    needed = needed.filter((r) => !(r.key === NAMESPACE && r.operator === "In"));
    needed.push(is(NAMESPACE, ns));
  }
  return meetsAll(needed, subject.labels);
}

function ciliumEndpoint(selector: Yaml, { peer, ns, isForInit }: CiliumCase): boolean {
  const needed = requirements(selector, "any");
  if (needed.some((r) => r.source === "reserved")) return meetsAll(needed, peer.labels);
  const names = (key: string) => needed.some((r) => r.key === key);
  const namesNamespaceLabels = needed.some((r) => r.key.startsWith(NAMESPACE_LABELS));
  const extra: Requirement[] = [];
  if (!names(NAMESPACE)) {
    if (ns === "") {
      if (!isForInit) extra.push(exists(NAMESPACE));
    } else if (!namesNamespaceLabels) extra.push(is(NAMESPACE, ns));
  }
  if (!names(CLUSTER)) extra.push(is(CLUSTER, "default"));
  return [...needed, ...extra].every((r) => meets(r, peer.labels));
}
