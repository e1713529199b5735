/**
 * Identities whose numbers are fixed: the reserved ones and those of well-known cluster parts
 * (Cilium's numbers, policy-semantics.md section 3). They exist everywhere without allocation.
 */
import type { Identity, Label } from "../policy/types.ts";
import {
  DEFAULT_CLUSTER,
  KEY_CLUSTER,
  KEY_NAMESPACE,
  KEY_NAMESPACE_LABELS,
  KEY_SERVICE_ACCOUNT,
  k8sLabel,
  labelSetKey,
  reservedLabel,
  sortLabels,
} from "./label.ts";

export const IDENTITY = {
  unknown: 0,
  host: 1,
  world: 2,
  unmanaged: 3,
  health: 4,
  init: 5,
  remoteNode: 6,
  kubeApiserver: 7,
  ingress: 8,
  worldIpv4: 9,
  worldIpv6: 10,
  /** 11 to 14 stand for groups of peers in policy maps of others; no address ever has them. */
  aggregateCluster: 11,
  aggregateClustermesh: 12,
  aggregateWorld: 13,
  aggregateRemoteNode: 14,
} as const;

/** Every reserved identity but 0, which has no labels and is never selected by them. */
export const RESERVED_IDENTITIES: readonly Identity[] = [
  { id: IDENTITY.host, labels: [reservedLabel("host")] },
  { id: IDENTITY.world, labels: [reservedLabel("world")] },
  { id: IDENTITY.unmanaged, labels: [reservedLabel("unmanaged")] },
  { id: IDENTITY.health, labels: [reservedLabel("health")] },
  { id: IDENTITY.init, labels: [reservedLabel("init")] },
  { id: IDENTITY.remoteNode, labels: [reservedLabel("remote-node")] },
  {
    id: IDENTITY.kubeApiserver,
    labels: [reservedLabel("kube-apiserver"), reservedLabel("remote-node")],
  },
  { id: IDENTITY.ingress, labels: [reservedLabel("ingress")] },
  { id: IDENTITY.worldIpv4, labels: [reservedLabel("world-ipv4")] },
  { id: IDENTITY.worldIpv6, labels: [reservedLabel("world-ipv6")] },
];

/** Second number of a well-known identity: with the name label of its namespace. */
const NAMED_NAMESPACE_OFFSET = 8;

interface WellKnown {
  id: number;
  namespace: string;
  serviceAccount: string;
  labels: Readonly<Record<string, string>>;
}

const DNS = { namespace: "kube-system", serviceAccount: "kube-dns" } as const;
const EKS_COMPONENT = "eks.amazonaws.com/component";
const WELL_KNOWN: readonly WellKnown[] = [
  { id: 102, ...DNS, labels: { "k8s-app": "kube-dns" } },
  { id: 103, ...DNS, labels: { "k8s-app": "kube-dns", [EKS_COMPONENT]: "kube-dns" } },
  { id: 104, ...DNS, serviceAccount: "coredns", labels: { "k8s-app": "kube-dns" } },
  {
    id: 105,
    namespace: "kube-system",
    serviceAccount: "cilium-operator",
    labels: {
      name: "cilium-operator",
      "io.cilium/app": "operator",
      "app.kubernetes.io/part-of": "cilium",
      "app.kubernetes.io/name": "cilium-operator",
    },
  },
  {
    id: 106,
    ...DNS,
    serviceAccount: "coredns",
    labels: { "k8s-app": "kube-dns", [EKS_COMPONENT]: "coredns" },
  },
];

/** Numbers an operator may give to pods by name, inclusive. */
export const USER_RESERVED_MIN = 128;
export const USER_RESERVED_MAX = 255;
/** A pod with this label has the identity that the operator gave this name. */
export const KEY_FIXED_IDENTITY = "io.cilium.fixed-identity";

/** Name → number from 128 to 255, as `--fixed-identity-mapping` gives them. */
export type FixedIdentityMapping = ReadonlyMap<string, number>;

/**
 * `128=name`, more of them after commas.
 * @throws Error for a number that is not the user's, or a name or number given twice.
 */
export function parseFixedIdentityMapping(text: string): FixedIdentityMapping {
  const mapping = new Map<string, number>();
  for (const part of text.split(",")) {
    const [, digits, name] =
      /^(\d{1,5})=([a-zA-Z0-9]([-a-zA-Z0-9_.]{0,61}[a-zA-Z0-9])?)$/.exec(part) ?? [];
    if (digits === undefined || name === undefined) {
      throw new Error(`Cannot read "${part}": expected NUMBER=NAME, such as 128=backup`);
    }
    const id = Number(digits);
    if (id < USER_RESERVED_MIN || id > USER_RESERVED_MAX) {
      throw new Error(
        `Cannot use ${id} for ${name}: expected ${USER_RESERVED_MIN} to ${USER_RESERVED_MAX}`,
      );
    }
    const isReserved = RESERVED_IDENTITIES.some(({ labels: [label] }) => label?.key === name);
    if (isReserved || mapping.has(name) || [...mapping.values()].includes(id)) {
      throw new Error(`Cannot use ${part}: the name or the number is taken`);
    }
    mapping.set(name, id);
  }
  return mapping;
}

/** Reserved, well-known and the operator's identities of a cluster, by number. */
export function fixedIdentities(
  cluster: string = DEFAULT_CLUSTER,
  mapping: FixedIdentityMapping = new Map(),
): Identity[] {
  const identities = [...RESERVED_IDENTITIES];
  for (const [name, id] of mapping) identities.push({ id, labels: [reservedLabel(name)] });
  for (const known of WELL_KNOWN) {
    const labels: Label[] = [
      ...Object.entries(known.labels).map(([key, value]) => k8sLabel(key, value)),
      k8sLabel(KEY_NAMESPACE, known.namespace),
      k8sLabel(KEY_SERVICE_ACCOUNT, known.serviceAccount),
      k8sLabel(KEY_CLUSTER, cluster),
    ];
    const name = k8sLabel(`${KEY_NAMESPACE_LABELS}kubernetes.io/metadata.name`, known.namespace);
    identities.push({ id: known.id, labels: sortLabels(labels) });
    identities.push({
      id: known.id + NAMED_NAMESPACE_OFFSET,
      labels: sortLabels([...labels, name]),
    });
  }
  return identities;
}

/** Number of exactly this label set among `identities`, keyed for look-up. */
export function indexByLabels(identities: Iterable<Identity>): Map<string, Identity> {
  return new Map([...identities].map((identity) => [labelSetKey(identity.labels), identity]));
}
