/**
 * Who an end of a connection is: what a person writes for it, and what this node knows of it. An
 * end need not exist: with labels alone one can ask about a pod that is not there yet.
 */
import {
  cidrLabels,
  type Prefix,
  parseAddress,
  parsePrefix,
  prefixContains,
} from "../../identity/cidr.ts";
import {
  formatLabel,
  KEY_NAMESPACE,
  labelSetKey,
  parseLabel,
  SOURCE_K8S,
  SOURCE_RESERVED,
  sortLabels,
} from "../../identity/label.ts";
import { podLabels } from "../../identity/pod-labels.ts";
import type { PrefixLabels } from "../../identity/prefix-labels.ts";
import { IDENTITY, RESERVED_IDENTITIES } from "../../identity/reserved.ts";
import { toCandidate } from "../selector.ts";
import type { Identity, Label, PolicySubject } from "../types.ts";
import { ExplainInputError } from "./input-error.ts";
import type { TraceEnd } from "./types.ts";

/** An endpoint of this node. */
export interface KnownEndpoint {
  subject: PolicySubject;
  addresses: readonly string[];
  isAudited?: boolean;
}

/** What is known; all of it may be empty. */
export interface KnownWorld {
  cluster: string;
  endpoints: readonly KnownEndpoint[];
  identities: readonly Identity[];
  /** Which identity the kernel gives an address; of the world `labels` knows more. */
  prefixes: readonly { prefix: string; identity: number }[];
  /** What is said of prefixes under the policies that are asked about. */
  labels: PrefixLabels;
}

/** Beyond every number that an identity may have (host/identity/ranges.ts). */
const HYPOTHETICAL_MIN = 0x7f00_0000;
export const FORMS =
  "an endpoint (namespace/name, name or id), identity:NUMBER, an address, or labels such as " +
  "ns:shop,app=web or reserved:world";

/** `place` tells two hypothetical ends apart. @throws ExplainInputError */
export function findEnd(text: string, world: KnownWorld, place: 0 | 1): TraceEnd {
  const number = HYPOTHETICAL_MIN + place;
  const id = /^identity:(\d{1,10})$/.exec(text)?.[1];
  if (id !== undefined) return byIdentity(Number(id), world);
  const address = parseAddress(text);
  if (address) return byAddress(address, text, { ...world, number });
  if (text.includes("=") || text.includes(":")) return byLabels(text, world, number);
  return byReference(text, world);
}

function byReference(text: string, { endpoints }: KnownWorld): TraceEnd {
  const found = endpoints.filter(({ subject: { endpoint, namespace, name } }) =>
    [String(endpoint), name, `${namespace}/${name}`].includes(text),
  );
  const [first] = found;
  if (first === undefined) {
    const known = endpoints.length === 0 ? ": no endpoint is known" : "";
    throw new ExplainInputError(
      `Cannot find endpoint "${text}"${known}; an end is ${FORMS}`,
      endpoints.length === 0 ? 400 : 404,
    );
  }
  if (found.length > 1) {
    const names = found.map(({ subject }) => endpointName(subject)).join(", ");
    throw new ExplainInputError(`Cannot choose endpoint "${text}": it may be ${names}`);
  }
  return fromEndpoint(first);
}

function fromEndpoint({ subject, isAudited = false }: KnownEndpoint): TraceEnd {
  const { endpoint, scope, identity, namespace, name, namedPorts } = subject;
  return {
    ...{ name: endpointName(subject), kind: scope === "node" ? "node" : "pod", endpoint },
    ...{ identity, isHypothetical: false },
    ...{ namespace, namedPorts, isAudited },
    ...(name === undefined ? {} : { pod: name }),
  };
}

export function endpointName({ scope, namespace, name, endpoint }: PolicySubject): string {
  if (scope === "node") return "reserved:host";
  return name === undefined ? `endpoint ${endpoint}` : `${namespace}/${name}`;
}

function byIdentity(id: number, world: KnownWorld): TraceEnd {
  const identity = identityOf(id, world);
  if (identity === undefined) {
    throw new ExplainInputError(`Cannot find identity ${id}: see 'imker identity list'`, 404);
  }
  return fromIdentity(identity, `identity ${id}`, world);
}

function identityOf(id: number, { identities }: KnownWorld): Identity | undefined {
  return [...identities, ...RESERVED_IDENTITIES].find((one) => one.id === id);
}

function fromIdentity(
  identity: Identity,
  name: string,
  { endpoints }: Pick<KnownWorld, "endpoints">,
  isHypothetical = false,
): TraceEnd {
  // There is one node here, and it knows its own policies.
  const node = endpoints.find(({ subject }) => subject.scope === "node");
  if (node && kindOf(identity) === "node") return { ...fromEndpoint(node), name };
  const { labels } = identity;
  const pods = endpoints.filter(({ subject }) => subject.identity.id === identity.id);
  return {
    ...{ name, kind: kindOf(identity), identity, isHypothetical },
    namespace: k8sValue(labels, KEY_NAMESPACE),
    namedPorts: pods.flatMap(({ subject }) => subject.namedPorts),
  };
}

function kindOf({ id, labels }: Identity): TraceEnd["kind"] {
  const has = (key: string): boolean =>
    labels.some((label) => label.source === SOURCE_RESERVED && label.key === key);
  if (id === IDENTITY.host || has("host")) return "node";
  return has("init") || k8sValue(labels, KEY_NAMESPACE) !== "" ? "pod" : "outside";
}

function k8sValue(labels: readonly Label[], key: string): string {
  return labels.find((label) => label.source === SOURCE_K8S && label.key === key)?.value ?? "";
}

/** An endpoint's address is that endpoint; else the longest prefix says whose it is. */
function byAddress(
  address: Prefix,
  text: string,
  world: KnownWorld & { number: number },
): TraceEnd {
  const owner = world.endpoints.find(({ addresses }) => addresses.includes(text));
  if (owner) return fromEndpoint(owner);
  const inside = insideOf(address, world);
  const said = world.labels.at(address);
  if (inside && inside.length >= (said?.prefix.length ?? 0)) {
    return fromIdentity(inside.identity, text, world);
  }
  if (said === undefined) {
    const id = address.family === 4 ? IDENTITY.worldIpv4 : IDENTITY.worldIpv6;
    const identity = { id, labels: cidrLabels({ ...address, address: 0n, length: 0 }) };
    return fromIdentity(identity, text, world);
  }
  const { labels } = said.set;
  const known = withLabels(labels, world);
  if (known) return fromIdentity(known, text, world);
  return fromIdentity({ id: world.number, labels }, `${text} in ${said.text}`, world, true);
}

/** The pod or node that has the address, or the narrowest prefix around it. */
function insideOf(
  address: Prefix,
  world: KnownWorld,
): { identity: Identity; length: number } | undefined {
  let found: { identity: Identity; length: number } | undefined;
  for (const { prefix: text, identity: id } of world.prefixes) {
    const prefix = parsePrefix(text);
    if (!prefix || !prefixContains(prefix, address)) continue;
    const identity = identityOf(id, world);
    if (!identity || toCandidate(identity).isWorld) continue;
    if (!found || found.length < prefix.length) found = { identity, length: prefix.length };
  }
  return found;
}

/** The one known identity with exactly these labels. */
function withLabels(labels: readonly Label[], world: KnownWorld): Identity | undefined {
  const key = labelSetKey(labels);
  const known = [...world.identities, ...RESERVED_IDENTITIES].find(
    (one) => labelSetKey(one.labels) === key,
  );
  // A reserved one may have more labels here than everywhere.
  return known && identityOf(known.id, world);
}

/** Of a pod unless a label of another source says otherwise; `ns:NAME` is its namespace. */
function byLabels(text: string, world: KnownWorld, number: number): TraceEnd {
  const parts = text.split(",").map((part) => part.trim());
  if (parts.some((part) => part === "" || part.endsWith(":"))) {
    throw new ExplainInputError(`Cannot read "${text}": an end is ${FORMS}`);
  }
  const labels = labelsOf(parts, world);
  const known = withLabels(labels, world);
  if (known) return fromIdentity(known, text, world);
  return fromIdentity({ id: number, labels }, text, world, true);
}

function labelsOf(
  parts: readonly string[],
  { cluster, labels: said }: Pick<KnownWorld, "cluster" | "labels">,
): readonly Label[] {
  const given = parts.map((part) => parseLabel(part, SOURCE_K8S));
  const cidr = given.length === 1 && given[0]?.source === "cidr" ? given[0] : undefined;
  if (cidr) {
    // A prefix is written with its colons here, in a label it has none.
    const prefix = parsePrefix(parts[0]?.slice("cidr:".length) ?? "");
    if (!prefix) throw new ExplainInputError(`Cannot read "${parts[0]}": expected cidr:PREFIX`);
    return said.labelsOf(prefix);
  }
  const pod = given.filter(({ source }) => source === SOURCE_K8S);
  const namespace = given.find(({ source }) => source === "ns")?.key;
  const others = given.filter(({ source }) => source !== SOURCE_K8S && source !== "ns");
  if (pod.length === 0 && namespace === undefined) return sortLabels(others);
  const own = Object.fromEntries(pod.map(({ key, value }) => [key, value]));
  const full = podLabels({
    namespace: (namespace ?? k8sValue(pod, KEY_NAMESPACE)) || "default",
    labels: own,
    cluster,
  });
  // What a pod cannot say of itself can be asked about: labels of the namespace, another cluster.
  const set = new Map(full.map((label) => [`${label.source}:${label.key}`, label]));
  for (const label of pod) set.set(formatLabel({ ...label, value: "" }), label);
  return sortLabels([...set.values(), ...others]);
}
