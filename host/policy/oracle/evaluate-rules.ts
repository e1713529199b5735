/**
 * What rules mean, a second time and plainly, one packet at a time: tier by tier, priority by
 * priority (policy-semantics.md 2.1, 2.2, 2.3). Shares nothing with the resolver but the rules'
 * form, and never looks at identities' numbers, port prefixes or precedence.
 */
import type { NamedPort, PortRange, Rule, RuleItem } from "../rule.ts";
import type { Requirement, Selector } from "../selector.ts";
import type { Label } from "../types.ts";

export interface PlainPeer {
  labels: readonly Label[];
  /** An IPv4 address of the world. */
  address?: string;
}

export interface PlainSubject extends PlainPeer {
  scope: "endpoint" | "node";
  namedPorts: readonly { name: string; port: number; protocol: number }[];
}

export interface PlainPacket {
  direction: "ingress" | "egress";
  protocol: number;
  port: number;
}

export interface PlainVerdict {
  verdict: "allow" | "deny" | "drop";
  /** Paths that HTTP rules let through, if the proxy sees it; `*` is every path. */
  paths?: Set<string>;
}

export function evaluateRules(
  rules: readonly Rule[],
  subject: PlainSubject,
  peer: PlainPeer,
  packet: PlainPacket,
): PlainVerdict {
  const selecting = rules.filter(
    (rule) => (rule.scope ?? "endpoint") === subject.scope && holds(rule.subject, subject),
  );
  const isIsolated = selecting.some((rule) => rule.isolates && rule.defaultDeny[packet.direction]);
  const own = selecting.filter((rule) => !(isIsolated && rule.unlessIsolated));
  const isOpen = !own.some((rule) => rule.defaultDeny[packet.direction]);
  for (const tier of ["admin", "normal", "baseline"]) {
    const matching: { item: RuleItem; paths: Set<string> | undefined }[] = [];
    for (const rule of own.filter((one) => (one.tier ?? "normal") === tier)) {
      for (const item of rule.items) {
        if (item.direction !== packet.direction) continue;
        if (!item.peers.some((selector) => holds(selector, peer))) continue;
        for (const paths of portHits(item, subject, packet)) matching.push({ item, paths });
      }
    }
    const priorities = [...new Set(matching.map(({ item }) => item.priority ?? 0))].sort(
      (a, b) => a - b,
    );
    for (const priority of priorities) {
      const now = matching.filter(({ item }) => (item.priority ?? 0) === priority);
      if (now.some(({ item }) => item.verdict === "deny")) return { verdict: "deny" };
      const allows = now.filter(({ item }) => item.verdict === "allow");
      if (allows.length > 0) return allowed(allows, isOpen);
      break; // Only passes: on to the next tier.
    }
  }
  return { verdict: isOpen ? "allow" : "drop" };
}

function allowed(allows: { paths: Set<string> | undefined }[], isOpen: boolean): PlainVerdict {
  const l7 = allows.flatMap(({ paths }) => (paths ? [...paths] : []));
  if (l7.length === 0) return { verdict: "allow" };
  const everything = isOpen || allows.some(({ paths }) => paths === undefined);
  return { verdict: "allow", paths: new Set(everything ? ["*"] : l7) };
}

/** One element for each matching entry of `ports`, with the paths of its HTTP rules. */
function portHits(
  item: RuleItem,
  subject: PlainSubject,
  packet: PlainPacket,
): (Set<string> | undefined)[] {
  if (item.ports === undefined) return [undefined];
  return item.ports
    .filter(({ matches }) =>
      matches.some((match) =>
        match.kind === "name" ? isNamed(match, subject, packet) : isInside(match, packet),
      ),
    )
    .map(({ l7 }) => l7 && new Set(l7.rules.rules.flatMap((rule) => rule.map((f) => f.value))));
}

function isInside({ protocol, first, last }: PortRange, packet: PlainPacket): boolean {
  if (protocol === 0) return true;
  return protocol === packet.protocol && packet.port >= first && packet.port <= last;
}

/** On ingress the subject's own; peers of these tests have none. */
function isNamed({ name, protocol }: NamedPort, subject: PlainSubject, packet: PlainPacket) {
  if (packet.direction === "egress") return false;
  return subject.namedPorts.some(
    (port) =>
      port.name === name &&
      port.protocol === protocol &&
      port.protocol === packet.protocol &&
      port.port === packet.port,
  );
}

function holds(selector: Selector, { labels, address }: PlainPeer): boolean {
  if (selector.kind === "any") return true;
  if (selector.kind === "labels") {
    return selector.requirements.every((requirement) => meets(requirement, labels));
  }
  if (address === undefined) return false;
  const bits = address
    .split(".")
    .map((part) => Number(part).toString(2).padStart(8, "0"))
    .join("");
  const inside = ({ key }: { key: string }): boolean => {
    const [network = "", length = "0"] = key.split("/");
    const own = network.split(".").map((part) => Number(part).toString(2).padStart(8, "0"));
    return bits.startsWith(own.join("").slice(0, Number(length)));
  };
  // A selector's key lists its prefix and its exceptions as text.
  const [, first = "", ...except] = selector.key.split(" ");
  return inside({ key: first }) && !except.some((key) => inside({ key }));
}

function meets({ source, key, operator, values }: Requirement, labels: readonly Label[]): boolean {
  const found = labels.filter(
    (label) => label.key === key && (source === "any" || source === label.source),
  );
  const among = found.some(({ value }) => values.includes(value));
  switch (operator) {
    case "In":
      return among;
    case "NotIn":
      return !among;
    case "Exists":
      return found.length > 0;
    case "DoesNotExist":
      return found.length === 0;
    default:
      return operator satisfies never;
  }
}
