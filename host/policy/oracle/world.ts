/**
 * The small world that random policies are about: pods of two namespaces and two clusters, what is
 * reserved, and addresses outside. Addresses of pods and nodes lie inside prefixes that policies
 * name, since they must never count as part of these; but for nodes that are known by their
 * addresses, as policy-cidr-match-mode has them.
 */
import { cidrLabel, parseAddress } from "../../identity/cidr.ts";
import { reservedLabel } from "../../identity/label.ts";
import { podLabels } from "../../identity/pod-labels.ts";
import { PrefixLabels, prefixesByText } from "../../identity/prefix-labels.ts";
import { IDENTITY, RESERVED_IDENTITIES } from "../../identity/reserved.ts";
import { type PolicyRepository, PolicySayings } from "../index.ts";
import type { ServiceInfo } from "../sources.ts";
import type { Identity, PolicySubject } from "../types.ts";
import type { OraclePeer } from "./evaluate.ts";
import { ADDRESSES, SERVICES } from "./generate-parts.ts";

export interface Pod {
  identity: Identity;
  namespace: string;
  namedPorts: PolicySubject["namedPorts"];
}

/** Somebody to speak with, and who the agent says it is. */
export interface WorldPeer {
  id: number;
  peer: OraclePeer;
  /** At least one. */
  ipv4?: string;
  ipv6?: string;
}

const NAMED = [
  { name: "http", port: 8080, protocol: 6 },
  { name: "metrics", port: 443, protocol: 17 },
];
const NAMED_BY_APP: Readonly<Record<string, PolicySubject["namedPorts"]>> = {
  web: NAMED,
  db: [{ name: "http", port: 80, protocol: 6 }],
  client: [],
};

export const PODS: readonly Pod[] = ["web", "db", "client"].flatMap((app, i) =>
  ["default", "prod"].flatMap((namespace, j) =>
    ["default", "other"].map((cluster, k) => ({
      namespace,
      namedPorts: NAMED_BY_APP[app] ?? [],
      identity: {
        id: 256 + i * 4 + j * 2 + k,
        labels: podLabels({
          namespace,
          cluster,
          labels: i === 1 ? { app, tier: "db" } : { app },
          namespaceLabels: namespace === "prod" ? { team: "blue" } : {},
        }),
      },
    })),
  ),
);

const INIT: Pod = {
  identity: RESERVED_IDENTITIES.find(({ id }) => id === IDENTITY.init) ?? { id: 5, labels: [] },
  namespace: "",
  namedPorts: [],
};

/** Pods of this cluster, and one that has no labels yet. */
export const SUBJECTS: readonly Pod[] = [...PODS.filter((_, index) => index % 2 === 0), INIT];

/** Other nodes, by their labels. */
const NODES: readonly Identity[] = ["edge", "db"].map((role, index) => ({
  id: (2 << 24) + 1 + index,
  labels: [
    { source: "reserved", key: "remote-node", value: "" },
    { source: "node", key: "role", value: role },
  ],
}));

/** Known by address too: prefixes select them, and still they are not the world. */
const ADDRESSED_NODES: readonly (WorldPeer & { identity: Identity })[] = [
  { ipv4: "10.1.2.60" },
  { ipv6: "fd00:1::60" },
].map((at, index) => {
  const address = at.ipv4 ?? at.ipv6 ?? "";
  const id = (2 << 24) + 11 + index;
  const labels = [
    { source: "reserved", key: "remote-node", value: "" },
    { source: "node", key: "role", value: "edge" },
  ];
  const prefix = parseAddress(address);
  const identity = { id, labels: prefix ? [...labels, cidrLabel(prefix)] : labels };
  return { id, identity, peer: { address, labels, namedPorts: [] }, ...at };
});

/** The node itself. */
export const NODE: Pod = {
  identity: {
    id: IDENTITY.host,
    labels: [
      { source: "reserved", key: "host", value: "" },
      { source: "node", key: "role", value: "edge" },
    ],
  },
  namespace: "",
  namedPorts: [],
};

export const namedPortsOf = (id: number): PolicySubject["namedPorts"] =>
  PODS.find((pod) => pod.identity.id === id)?.namedPorts ?? [];

/** Where the Kubernetes API is, besides that node that always has it: at these addresses, here. */
export interface ApiPlaces {
  outside: boolean;
  here: boolean;
}

const API_ADDRESSES: readonly string[] = ["10.200.0.1", "fd00:2::1"];
const API_LABEL = reservedLabel("kube-apiserver");

/** As the oracle knows it. */
export function peerOf(pod: Pod, { here }: ApiPlaces): OraclePeer {
  const { identity, namedPorts } = pod;
  const labels = [...identity.labels];
  if (pod !== NODE) return { labels, namedPorts: [...namedPorts] };
  return { labels: here ? [...labels, API_LABEL] : labels, namedPorts: [], isNode: true };
}

/** Options of the agent with which the whole language is in force. */
export const FEATURES = {
  ...{ peerNamedPorts: true, hostFirewall: true, tiers: true },
  ...{ nodeSelectorLabels: true, extendedProtocols: true },
};

export const SOURCES = {
  cidrGroups: () => [],
  services: (): readonly ServiceInfo[] => SERVICES,
};

/** Pods and reserved identities, each under an address of its own. */
const FIXED: readonly WorldPeer[] = [
  ...PODS.map(({ identity: { id, labels }, namedPorts }) => ({
    id,
    peer: { labels: [...labels], namedPorts: [...namedPorts] },
  })),
  ...[...RESERVED_IDENTITIES.filter(({ id }) => !isOnlyByAddress(id)), ...NODES].map(
    ({ id, labels }) => ({ id, peer: { labels: [...labels], namedPorts: [] } }),
  ),
].map((one, index) => ({
  ...one,
  ipv4: `10.1.2.${100 + index}`,
  ipv6: `fd00:1::${(0x100 + index).toString(16)}`,
}));

/** The worlds of the families are what an address is that nothing else claims. */
function isOnlyByAddress(id: number): boolean {
  return id === IDENTITY.worldIpv4 || id === IDENTITY.worldIpv6;
}

/** The world as the agent makes it under some policies and groups. */
export interface WorldUnder {
  /** All that are not everywhere the same. */
  identities: Identity[];
  /** Rows of the ipcache beside those of `FIXED_PEERS`. */
  prefixes: Map<string, number>;
  /** Everybody; addresses have the ipcache's identity. */
  peers: WorldPeer[];
}

/** `numbers`: of label sets; those that are in it stay. */
export function worldUnder(
  repository: PolicyRepository,
  api: ApiPlaces,
  numbers = new Map<string, number>(),
): WorldUnder {
  const outside = API_ADDRESSES.map(parseAddress).filter((one) => one !== undefined);
  const labels = new PrefixLabels().with([
    ...new PolicySayings().of(repository.rules(), repository.sources.cidrGroups()),
    {
      ...{ key: "api", labels: [API_LABEL], byAddress: true },
      prefixes: prefixesByText(api.outside ? outside : []),
    },
  ]);
  const identities: Identity[] = [
    ...PODS.map(({ identity }) => identity),
    ...NODES,
    ...ADDRESSED_NODES.map(({ identity }) => identity),
  ];
  if (api.here) identities.push({ id: IDENTITY.host, labels: [reservedLabel("host"), API_LABEL] });
  const prefixes = new Map<string, number>();
  for (const { text, set } of labels.all()) {
    const id = numbers.get(set.key) ?? (1 << 24) + 1 + numbers.size;
    if (!numbers.has(set.key)) numbers.set(set.key, id);
    prefixes.set(text, id);
    identities.push({ id, labels: set.labels });
  }
  return { identities, prefixes, peers: [...fixedPeers(api), ...outsiders(labels, prefixes, api)] };
}

function fixedPeers({ here }: ApiPlaces): WorldPeer[] {
  return FIXED_PEERS.map((one) => {
    if (!here || one.id !== IDENTITY.host) return one;
    return { ...one, peer: { ...one.peer, labels: [...one.peer.labels, API_LABEL] } };
  });
}

function outsiders(
  labels: PrefixLabels,
  prefixes: ReadonlyMap<string, number>,
  api: ApiPlaces,
): WorldPeer[] {
  return ADDRESSES.map((address): WorldPeer => {
    const host = parseAddress(address);
    const row = host && labels.at(host);
    const isIpv6 = host?.family === 6;
    const isApi = api.outside && API_ADDRESSES.includes(address);
    const world = reservedLabel(isIpv6 ? "world-ipv6" : "world-ipv4");
    const peer = { address, labels: [world, ...(isApi ? [API_LABEL] : [])], namedPorts: [] };
    const worldId = isIpv6 ? IDENTITY.worldIpv6 : IDENTITY.worldIpv4;
    const id = (row && prefixes.get(row.text)) ?? worldId;
    return isIpv6 ? { id, peer, ipv6: address } : { id, peer, ipv4: address };
  });
}

/** All that have an entry in the ipcache whatever the policies say. */
export const FIXED_PEERS: readonly WorldPeer[] = [...FIXED, ...ADDRESSED_NODES];

/** Of the node itself. */
export const HOST_ADDRESSES: Pick<WorldPeer, "ipv4" | "ipv6"> =
  FIXED.find(({ id }) => id === IDENTITY.host) ?? {};
