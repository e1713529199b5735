/**
 * Which number belongs to which kind of identity (Cilium's layout, policy-semantics.md section 3).
 * The top byte says who knows it (0 the cluster, 1 and 2 this node only), the bits above the
 * cluster's own numbers say which cluster of a mesh it is.
 */
import type { Label } from "../policy/types.ts";
import { SOURCE_CIDR, SOURCE_CIDR_GROUP, SOURCE_FQDN, SOURCE_RESERVED } from "./label.ts";
import { IDENTITY, USER_RESERVED_MAX, USER_RESERVED_MIN } from "./reserved.ts";

/** Inclusive. */
export interface NumberRange {
  min: number;
  max: number;
}

export const CLUSTER_NUMBER_MIN = 256;
/** Identities that only this node knows: prefixes and DNS names. */
export const LOCAL_RANGE: NumberRange = { min: (1 << 24) + 1, max: (2 << 24) - 1 };
/** Nodes with labels, as this node sees them. */
export const REMOTE_NODE_RANGE: NumberRange = { min: (2 << 24) + 1, max: (3 << 24) - 1 };

export type IdentityScope = "cluster" | "local" | "remote-node";
export type IdentityKind = IdentityScope | "reserved" | "well-known" | "user-reserved" | "unknown";

/** Where the cluster stands in a mesh of clusters. */
export interface ClusterPlace {
  name: string;
  /** 0: in none. */
  id: number;
  maxConnectedClusters: 255 | 511;
}

const NUMBER_BITS = 24;
const CLUSTER_NAME_CHARACTERS_MAX = 32;
const CLUSTER_NAME = /^([a-z0-9][-a-z0-9]*)?[a-z0-9]$/;

/**
 * @throws Error for a name or id that no cluster may have; the message names what is wrong.
 */
export function checkCluster({ name, id, maxConnectedClusters }: ClusterPlace): void {
  if (name.length > CLUSTER_NAME_CHARACTERS_MAX || !CLUSTER_NAME.test(name)) {
    throw new Error(
      `Cannot use the cluster name "${name}": expected a-z, 0-9 and '-', an alphanumeric character ` +
        `first and last, at most ${CLUSTER_NAME_CHARACTERS_MAX} characters`,
    );
  }
  if (!Number.isInteger(id) || id < 0 || id > maxConnectedClusters) {
    throw new Error(`Cannot use the cluster id ${id}: expected 0 to ${maxConnectedClusters}`);
  }
  if (id > 0 && name === "default") {
    throw new Error(`Cannot use the cluster id ${id}: a cluster of a mesh needs a name of its own`);
  }
}

/** 255 clusters have 65,536 numbers each, 511 have 32,768. */
export function clusterRange({
  id,
  maxConnectedClusters,
}: Pick<ClusterPlace, "id" | "maxConnectedClusters">): NumberRange {
  const shift = NUMBER_BITS - Math.log2(maxConnectedClusters + 1);
  const first = id * 2 ** shift;
  return { min: id === 0 ? CLUSTER_NUMBER_MIN : first, max: first + 2 ** shift - 1 };
}

export function inRange({ min, max }: NumberRange, id: number): boolean {
  return Number.isInteger(id) && id >= min && id <= max;
}

export function identityKind(id: number): IdentityKind {
  if (inRange(LOCAL_RANGE, id)) return "local";
  if (inRange(REMOTE_NODE_RANGE, id)) return "remote-node";
  if (!Number.isInteger(id) || id < 0 || id > REMOTE_NODE_RANGE.max) return "unknown";
  if (id >= CLUSTER_NUMBER_MIN) return "cluster";
  if (id >= USER_RESERVED_MIN && id <= USER_RESERVED_MAX) return "user-reserved";
  return id <= IDENTITY.aggregateRemoteNode ? "reserved" : "well-known";
}

/** Sources of labels that this node gives to addresses by itself. */
const LOCAL_SOURCES = new Set([SOURCE_CIDR, SOURCE_FQDN, SOURCE_CIDR_GROUP, SOURCE_RESERVED]);

/** Who has to agree on the number of these labels. */
export function scopeOfLabels(labels: readonly Label[]): IdentityScope {
  const isNode = labels.some(({ source, key }) => {
    return source === SOURCE_RESERVED && key === "remote-node";
  });
  if (isNode) return "remote-node";
  return labels.every(({ source }) => LOCAL_SOURCES.has(source)) ? "local" : "cluster";
}
