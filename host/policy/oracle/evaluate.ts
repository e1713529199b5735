/**
 * The policy language a second time, as a plain evaluator of one packet at a time, written from
 * the reference text and sharing no code with the resolver: tests compare the two. It reads the
 * objects as they stand in YAML and never looks at identities, prefixes of ports or precedence.
 */

/** Objects as in YAML; fields are those of the policy languages. */
// biome-ignore lint/suspicious/noExplicitAny: the oracle reads untyped objects on purpose.
type Yaml = any;

export interface OracleLabel {
  source: string;
  key: string;
  value: string;
}

export interface OraclePeer {
  labels: OracleLabel[];
  /** Set for addresses of the world. */
  address?: string;
  namedPorts: { name: string; port: number; protocol: number }[];
}

export interface OraclePacket {
  direction: "ingress" | "egress";
  protocol: number;
  /** Destination port; ICMP: the type. Undefined: a fragment that nobody knows it of. */
  port: number | undefined;
}

export interface OracleVerdict {
  verdict: "allow" | "deny" | "drop";
  /** Some matching allow rule has L7 rules: the proxy sees the connection. */
  proxied: boolean;
  /** Some matching allow rule has none: every request passes. */
  anyRequest: boolean;
  /** `enforce` wins over `audit` wins over `observe`. Of what is proxied; else "". */
  mode: string;
  failure: string;
  /** L7 rules of the matching allow rules whose policies have that mode. */
  http: Yaml[];
  /** Plugins to which visibility policies show the packet: one of them sees it. */
  watchers: string[];
  /** Names of the policies whose rules match with this verdict. */
  policies: Set<string>;
}

const CLUSTER = "io.cilium.k8s.policy.cluster";
const NAMESPACE = "io.kubernetes.pod.namespace";
const NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels.";

export function evaluate(
  objects: Yaml[],
  subject: OraclePeer,
  peer: OraclePeer,
  packet: OraclePacket,
): OracleVerdict {
  const { direction } = packet;
  const allows: { policy: string; http?: Yaml[]; mode?: string; failure?: string }[] = [];
  const denies: string[] = [];
  const watchers: string[] = [];
  let defaultDeny = subject.labels.some((l) => l.source === "reserved" && l.key === "init");
  for (const object of objects) {
    const name = object.metadata.name;
    const annotations = object.metadata.annotations ?? {};
    const mode = annotations["imker.io/l7-mode"] ?? "enforce";
    const failure = annotations["imker.io/l7-failure"] ?? "closed";
    if (object.kind === "VisibilityPolicy") {
      if (watches(object, subject, packet)) watchers.push(object.spec.plugin);
      continue;
    }
    if (object.kind === "NetworkPolicy") {
      const { spec } = object;
      const ns = object.metadata.namespace;
      if (!kubernetesSelects(spec.podSelector, subject, ns)) continue;
      const types: string[] = spec.policyTypes ?? [];
      const list: Yaml[] = spec[direction] ?? [];
      if (direction === "ingress") {
        if (list.length > 0 || types.includes("Ingress") || !types.includes("Egress")) {
          defaultDeny = true;
        }
      } else if (list.length > 0 || types.includes("Egress")) defaultDeny = true;
      for (const item of list) {
        const peers = direction === "ingress" ? item.from : item.to;
        if (!kubernetesPeers(peers, peer, ns)) continue;
        if (kubernetesPorts(item.ports, subject, peer, packet)) allows.push({ policy: name });
      }
      continue;
    }
    const ns = object.kind === "CiliumNetworkPolicy" ? object.metadata.namespace : "";
    for (const rule of [...(object.spec ? [object.spec] : []), ...(object.specs ?? [])]) {
      if (!ciliumSubject(rule.endpointSelector, subject, ns)) continue;
      const allowItems: Yaml[] = rule[direction] ?? [];
      const denyItems: Yaml[] = rule[`${direction}Deny`] ?? [];
      const switched = rule.enableDefaultDeny?.[direction];
      if (switched ?? allowItems.length + denyItems.length > 0) defaultDeny = true;
      for (const item of denyItems) {
        if (ciliumItem(item, subject, peer, packet, ns).length > 0) denies.push(name);
      }
      for (const item of allowItems) {
        for (const match of ciliumItem(item, subject, peer, packet, ns)) {
          allows.push({ policy: name, mode, failure, ...match });
        }
      }
    }
  }
  if (denies.length > 0) return { ...NOTHING, verdict: "deny", policies: new Set(denies) };
  const l7 = allows.filter((allow) => allow.http !== undefined);
  if (!defaultDeny || allows.length > 0) {
    const modes = l7.map((allow) => allow.mode);
    const mode = ["enforce", "audit", "observe"].find((one) => modes.includes(one)) ?? "";
    return {
      verdict: "allow",
      proxied: l7.length > 0,
      anyRequest: !defaultDeny || l7.length < allows.length,
      mode,
      failure: l7.some((allow) => allow.failure === "closed") ? "closed" : "open",
      http: l7.filter((allow) => allow.mode === mode).flatMap((allow) => allow.http ?? []),
      watchers,
      policies: new Set(allows.map((allow) => allow.policy)),
    };
  }
  return { ...NOTHING, verdict: "drop", policies: new Set() };
}

const NOTHING = {
  ...{ proxied: false, anyRequest: false, mode: "", failure: "" },
  ...{ http: [], watchers: [] },
};

function watches(object: Yaml, subject: OraclePeer, packet: OraclePacket): boolean {
  const { endpointSelector, direction = "ingress", ports } = object.spec;
  if (direction !== packet.direction || packet.protocol !== 6) return false;
  if (!ciliumSubject(endpointSelector, subject, object.metadata.namespace)) return false;
  return ports.some(({ port, endPort = 0 }: Yaml) => {
    const first = Number(port);
    return isWithin(packet, first, endPort);
  });
}

function isWithin({ port = -1 }: OraclePacket, first: number, last: number): boolean {
  return port >= first && port <= Math.max(first, last);
}

/** One element for each matching port rule of the item, with its HTTP rules if it has any. */
function ciliumItem(
  item: Yaml,
  subject: OraclePeer,
  peer: OraclePeer,
  packet: OraclePacket,
  ns: string,
): { http?: Yaml[] }[] {
  const to = packet.direction === "ingress" ? "from" : "to";
  const toPorts: Yaml[] = item.toPorts ?? [];
  const icmps: Yaml[] = item.icmps ?? [];
  const peerFields = ["Endpoints", "CIDR", "CIDRSet", "Entities"].filter((f) => item[to + f]);
  if (peerFields.length === 0) {
    if (toPorts.length + icmps.length === 0) return [];
  } else {
    const matches =
      (item[`${to}Endpoints`] ?? []).some((s: Yaml) => ciliumEndpoint(s, peer, ns)) ||
      (item[`${to}CIDR`] ?? []).some((c: string) => inCidr(c, peer)) ||
      (item[`${to}CIDRSet`] ?? []).some(
        (s: Yaml) => inCidr(s.cidr, peer) && !(s.except ?? []).some((c: string) => inCidr(c, peer)),
      ) ||
      (item[`${to}Entities`] ?? []).some((e: string) => isEntity(e, peer));
    if (!matches) return [];
    if (toPorts.length + icmps.length === 0) return [{}];
  }
  const hits: { http?: Yaml[] }[] = [];
  for (const portRule of toPorts) {
    if (!portRule.ports.some((p: Yaml) => ciliumPort(p, subject, peer, packet))) continue;
    const http: Yaml[] = portRule.rules?.http ?? [];
    hits.push(http.length > 0 ? { http } : {});
  }
  for (const icmp of icmps) {
    for (const { family, type } of icmp.fields) {
      const protocol = family === "IPv6" ? 58 : 1;
      if (packet.protocol === protocol && packet.port === type) hits.push({});
    }
  }
  return hits;
}

function ciliumPort(p: Yaml, subject: OraclePeer, peer: OraclePeer, packet: OraclePacket): boolean {
  const numbers: Record<string, number[]> = { TCP: [6], UDP: [17], SCTP: [132], ANY: [6, 17, 132] };
  if (!numbers[p.protocol ?? "ANY"]?.includes(packet.protocol)) return false;
  if (!/^[0-9]+$/.test(p.port)) return named(p.port, subject, peer, packet);
  const first = Number(p.port);
  if (first === 0) return true;
  return isWithin(packet, first, p.endPort ?? 0);
}

function named(name: string, subject: OraclePeer, peer: OraclePeer, packet: OraclePacket): boolean {
  const owner = packet.direction === "ingress" ? subject : peer;
  return owner.namedPorts.some(
    (p) =>
      p.name.toLowerCase() === name.toLowerCase() &&
      p.protocol === packet.protocol &&
      p.port === packet.port,
  );
}

function isEntity(entity: string, peer: OraclePeer): boolean {
  const reserved = (name: string) =>
    peer.labels.some((l) => l.source === "reserved" && l.key === name);
  const parts = ["host", "remote-node", "init", "ingress", "health", "unmanaged", "kube-apiserver"];
  const cluster = peer.labels.find((l) => l.source === "k8s" && l.key === CLUSTER)?.value;
  if (entity === "all") return true;
  if (entity === "none") return false;
  if (entity === "world") return ["world", "world-ipv4", "world-ipv6"].some(reserved);
  if (entity === "cluster") return parts.some(reserved) || cluster === "default";
  if (entity === "cluster-mesh") return parts.some(reserved) || cluster !== undefined;
  return reserved(entity);
}

type Requirement = { source: string; key: string; operator: string; values: string[] };

function requirements(selector: Yaml, source: string, prefix = ""): Requirement[] {
  const split = (text: string) => {
    const [first = "", ...rest] = text.split(":");
    return rest.length === 0
      ? { source, key: prefix + first }
      : { source: first, key: prefix + rest.join(":") };
  };
  return [
    ...Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => ({
      ...split(key),
      operator: "In",
      values: [String(value)],
    })),
    ...(selector?.matchExpressions ?? []).map((e: Yaml) => ({
      ...split(e.key),
      operator: e.operator,
      values: e.values ?? [],
    })),
  ];
}

function meets(r: Requirement, labels: OracleLabel[]): boolean {
  const found = labels.filter(
    (l) => l.key === r.key && (r.source === "any" || l.source === r.source),
  );
  const among = found.some((l) => r.values.includes(l.value));
  if (r.operator === "In") return among;
  if (r.operator === "NotIn") return !among;
  if (r.operator === "Exists") return found.length > 0;
  return found.length === 0;
}

function ciliumSubject(selector: Yaml, subject: OraclePeer, ns: string): boolean {
  let needed = requirements(selector, "any");
  if (ns !== "") {
    needed = needed.filter((r) => !(r.key === NAMESPACE && r.operator === "In"));
    needed.push({ source: "k8s", key: NAMESPACE, operator: "In", values: [ns] });
  }
  return needed.every((r) => meets(r, subject.labels));
}

function ciliumEndpoint(selector: Yaml, peer: OraclePeer, ns: string): boolean {
  const needed = requirements(selector, "any");
  if (needed.some((r) => r.source === "reserved"))
    return needed.every((r) => meets(r, peer.labels));
  const names = (key: string) => needed.some((r) => r.key === key);
  const namesNamespaceLabels = needed.some((r) => r.key.startsWith(NAMESPACE_LABELS));
  const extra: Requirement[] = [];
  if (!names(NAMESPACE)) {
    if (ns === "") extra.push({ source: "k8s", key: NAMESPACE, operator: "Exists", values: [] });
    else if (!namesNamespaceLabels) {
      extra.push({ source: "k8s", key: NAMESPACE, operator: "In", values: [ns] });
    }
  }
  if (!names(CLUSTER)) {
    extra.push({ source: "k8s", key: CLUSTER, operator: "In", values: ["default"] });
  }
  return [...needed, ...extra].every((r) => meets(r, peer.labels));
}

function kubernetesSelects(selector: Yaml, pod: OraclePeer, ns: string): boolean {
  const inNamespace = { source: "k8s", key: NAMESPACE, operator: "In", values: [ns] };
  return [...requirements(selector, "k8s"), inNamespace].every((r) => meets(r, pod.labels));
}

function kubernetesPeers(peers: Yaml[] | undefined, peer: OraclePeer, ns: string): boolean {
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

function kubernetesPorts(
  ports: Yaml[] | undefined,
  subject: OraclePeer,
  peer: OraclePeer,
  packet: OraclePacket,
): boolean {
  if (!ports || ports.length === 0) return true;
  return ports.some((p) => {
    const number = { TCP: 6, UDP: 17, SCTP: 132 }[String(p.protocol ?? "TCP")];
    if (number !== packet.protocol) return false;
    if (p.port === undefined) return true;
    if (typeof p.port === "string") return named(p.port, subject, peer, packet);
    return isWithin(packet, p.port, p.endPort ?? 0);
  });
}

/** Only addresses of the world are inside a prefix; pods and nodes never. */
function inCidr(cidr: string, peer: OraclePeer): boolean {
  if (peer.address === undefined) return false;
  const [network = "", length = ""] = cidr.split("/");
  const address = bitsOf(peer.address);
  const inside = bitsOf(network);
  return address.length === inside.length && address.startsWith(inside.slice(0, Number(length)));
}

function bitsOf(address: string): string {
  if (address.includes(".")) {
    return address
      .split(".")
      .map((part) => Number(part).toString(2).padStart(8, "0"))
      .join("");
  }
  const [head = "", tail = ""] = address.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === "" ? [] : tail.split(":");
  const zeros = new Array<string>(8 - left.length - right.length).fill("0");
  return [...left, ...zeros, ...right]
    .map((group) => Number.parseInt(group, 16).toString(2).padStart(16, "0"))
    .join("");
}
