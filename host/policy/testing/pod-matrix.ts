/**
 * Who reaches whom: pods of three namespaces and addresses outside, each asked both ways (egress of
 * the source, ingress of the destination), as words that a table can hold.
 */
import { parseAddress } from "../../identity/cidr.ts";
import { podLabels } from "../../identity/pod-labels.ts";
import { PrefixLabels } from "../../identity/prefix-labels.ts";
import { IDENTITY } from "../../identity/reserved.ts";
import { createLookup, type PolicyPacket } from "../lookup.ts";
import { FEATURES } from "../oracle/world.ts";
import { PolicySayings } from "../prefix-sayings.ts";
import { PolicyRepository } from "../repository.ts";
import { resolvePolicy } from "../resolver.ts";
import type { Direction } from "../rule.ts";
import type { Identity, PolicySubject } from "../types.ts";
import { parse } from "./small-world.ts";

const NAMED = { web: 8080, dns: 53 } as const;
/** `web` is another port in `z`. */
const portsOf = (namespace: string): PolicySubject["namedPorts"] => [
  { name: "web", port: namespace === "z" ? 8081 : NAMED.web, protocol: 6 },
  { name: "dns", port: NAMED.dns, protocol: 17 },
];

const pod = (namespace: string, name: string, index: number): PolicySubject => ({
  endpoint: index,
  identity: {
    id: 1000 + index,
    labels: podLabels({
      namespace,
      labels: { pod: name, tier: name === "a" ? "front" : "back" },
      namespaceLabels: namespace === "z" ? { ns: namespace, quiet: "" } : { ns: namespace },
    }),
  },
  namespace,
  name,
  namedPorts: portsOf(namespace),
});

/** `namespace/name` of each. */
export const PODS: Readonly<Record<string, PolicySubject>> = Object.fromEntries(
  ["x/a", "x/b", "y/a", "y/b", "z/a", "z/b"].map((key, index) => {
    const [namespace = "", name = ""] = key.split("/");
    return [key, pod(namespace, name, index)];
  }),
);
const OUTSIDE = ["192.0.2.1", "192.0.2.200", "198.51.100.7", "2001:db8::1"];

export interface Packet {
  protocol: number;
  port: number;
}

/** Whole namespaces and all addresses count as one word. */
const GROUPS: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    ["x", "y", "z"].map((name) => [name, Object.keys(PODS).filter((pod) => pod.startsWith(name))]),
  ),
  out: OUTSIDE,
};
export const EVERYONE = Object.keys(GROUPS).join(" ");

/**
 * Who reaches the pod, such as `x y/a out`: the other pods of x, one of y and every address.
 * @throws Error when one of the policies has an error.
 */
export function sourcesOf(texts: readonly string[], pod: string, packet: Packet): string {
  const ask = worldOf(texts);
  return grouped(pod, (other) => ask(other, pod, packet));
}

/** Whom the pod reaches, in the same words. */
export function destinationsOf(texts: readonly string[], pod: string, packet: Packet): string {
  const ask = worldOf(texts);
  return grouped(pod, (other) => ask(pod, other, packet));
}

function grouped(self: string, holds: (other: string) => boolean): string {
  const words = Object.entries(GROUPS).flatMap(([group, members]) => {
    const others = members.filter((one) => one !== self);
    const holding = others.filter(holds);
    return holding.length === others.length ? [group] : holding;
  });
  return words.length === 0 ? "nobody" : words.join(" ");
}

function worldOf(texts: readonly string[]) {
  const { documents, errors } = parse(...texts);
  const [first] = errors;
  if (first) throw new Error(`Cannot read the test's policies: ${first.path}: ${first.message}`);
  const repository = new PolicyRepository({ features: FEATURES });
  if (documents.length > 0) repository.upsertAll(documents);
  const prefixes = prefixIdentities(repository);
  const subjects = Object.values(PODS);
  const identities = [...subjects.map(({ identity }) => identity), ...prefixes.identities];
  const namedPortsOf = (id: number) =>
    subjects.find(({ identity }) => identity.id === id)?.namedPorts ?? [];
  const lookups = new Map(
    Object.entries(PODS).map(([name, subject]) => {
      const { entries } = resolvePolicy(repository, identities, subject, { namedPortsOf });
      return [name, createLookup(entries)];
    }),
  );
  const idOf = (name: string): number => PODS[name]?.identity.id ?? prefixes.idOf(name);
  const allows = (name: string, peer: string, direction: Direction, packet: Packet): boolean => {
    const asked: PolicyPacket = { direction, identity: idOf(peer), ...packet };
    const verdict = lookups.get(name)?.(asked).verdict ?? "allow";
    return verdict === "allow" || verdict === "redirect";
  };
  return (source: string, destination: string, packet: Packet): boolean =>
    allows(source, destination, "egress", packet) && allows(destination, source, "ingress", packet);
}

/** As the agent gives them to prefixes; an address has that of the narrowest around it. */
function prefixIdentities(repository: PolicyRepository): {
  identities: Identity[];
  idOf: (address: string) => number;
} {
  const sayings = new PolicySayings().of(repository.rules(), repository.sources.cidrGroups());
  const labels = new PrefixLabels().with(sayings);
  const numbers = new Map<string, Identity>();
  for (const { set } of labels.all()) {
    const id = (1 << 24) + 1 + numbers.size;
    if (!numbers.has(set.key)) numbers.set(set.key, { id, labels: set.labels });
  }
  const idOf = (text: string): number => {
    const address = parseAddress(text);
    const around = address && labels.at(address);
    const world = address?.family === 6 ? IDENTITY.worldIpv6 : IDENTITY.worldIpv4;
    return around ? (numbers.get(around.set.key)?.id ?? world) : world;
  };
  return { identities: [...numbers.values()], idOf };
}
