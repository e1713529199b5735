/** What the oracle knows of labels, addresses and ports: conditions, plainly checked. */

/** Objects as in YAML; fields are those of the policy languages. */
// biome-ignore lint/suspicious/noExplicitAny: the oracle reads untyped objects on purpose.
export type Yaml = any;

export interface OracleLabel {
  source: string;
  key: string;
  value: string;
}

export interface OraclePeer {
  labels: OracleLabel[];
  /** The node itself, as one whose policy is asked. */
  isNode?: boolean;
  /** Set for addresses of the world, and for nodes that prefixes select. */
  address?: string;
  namedPorts: { name: string; port: number; protocol: number }[];
}

export interface OraclePacket {
  direction: "ingress" | "egress";
  protocol: number;
  /** Destination port; ICMP: the type. Undefined: a fragment that nobody knows it of. */
  port: number | undefined;
}

export const CLUSTER = "io.cilium.k8s.policy.cluster";
export const NAMESPACE = "io.kubernetes.pod.namespace";
export const NAMESPACE_LABELS = "io.cilium.k8s.namespace.labels.";

export type Requirement = { source: string; key: string; operator: string; values: string[] };

export function requirements(selector: Yaml, source: string, prefix = ""): Requirement[] {
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

export function meets(r: Requirement, labels: OracleLabel[]): boolean {
  const found = labels.filter(
    (l) => l.key === r.key && (r.source === "any" || l.source === r.source),
  );
  const among = found.some((l) => r.values.includes(l.value));
  if (r.operator === "In") return among;
  if (r.operator === "NotIn") return !among;
  if (r.operator === "Exists") return found.length > 0;
  return found.length === 0;
}

/** All conditions hold. */
export function meetsAll(needed: readonly Requirement[], labels: OracleLabel[]): boolean {
  return needed.every((one) => meets(one, labels));
}

export const is = (key: string, value: string): Requirement => ({
  ...{ source: "k8s", key, operator: "In", values: [value] },
});

export const exists = (key: string, source = "k8s"): Requirement => ({
  ...{ source, key, operator: "Exists", values: [] },
});

export function isReserved(name: string, { labels }: OraclePeer): boolean {
  return labels.some(({ source, key }) => source === "reserved" && key === name);
}

export function isWithin({ port = -1 }: OraclePacket, first: number, last: number): boolean {
  return port >= first && port <= Math.max(first, last);
}

export function named(
  name: string,
  subject: OraclePeer,
  peer: OraclePeer,
  packet: OraclePacket,
): boolean {
  const owner = packet.direction === "ingress" ? subject : peer;
  return owner.namedPorts.some(
    (p) =>
      p.name.toLowerCase() === name.toLowerCase() &&
      p.protocol === packet.protocol &&
      p.port === packet.port,
  );
}

/**
 * Only addresses of the world are inside a prefix; pods never, nodes only if they are known by
 * address, and never inside one that is the whole world.
 */
export function inCidr(cidr: string, peer: OraclePeer): boolean {
  if (peer.address === undefined) return false;
  const [network = "", length = ""] = cidr.split("/");
  const isNode = peer.labels.some(
    ({ source, key }) => `${source}:${key}` === "reserved:remote-node",
  );
  if (isNode && length === "0") return false;
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
