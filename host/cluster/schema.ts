/**
 * Kubernetes objects as a cluster shows them: the few fields that matter here are checked, all
 * others are there and are nobody's business.
 */
import { z } from "zod";
import { parseAddress } from "../identity/cidr.ts";
import { groupOf } from "../policy/kinds.ts";
import { cidrGroupSchema } from "../policy/schema/cidr-group.ts";
import { textField } from "../policy/schema/field.ts";
import { dnsLabel, dnsName, labelMapSchema } from "../policy/schema/selector.ts";
import type { ClusterObject } from "./types.ts";

/** How many backends one object may list; the API server's own limit for a slice is 1,000. */
const ADDRESSES_MAX = 10_000;

const address = textField("an IPv4 or IPv6 address", (value) =>
  parseAddress(value) ? undefined : `${JSON.stringify(value)} is not an address`,
);
const labels = labelMapSchema.nullish();
const inNamespace = z.looseObject({ name: dnsName, namespace: dnsLabel.optional(), labels });
const clusterwide = z.looseObject({ name: dnsName, labels });
const DEFAULT_NAMESPACE = "default";

/** Reads one kind of object. */
interface KindReader {
  schema: z.ZodType;
  /** `object` has passed the schema. */
  read: (object: unknown) => ClusterObject[];
}

function reader<T>(schema: z.ZodType<T>, read: (object: T) => ClusterObject[]): KindReader {
  return { schema, read: (object) => read(object as T) };
}

const namespace = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Namespace"),
  metadata: z.looseObject({ name: dnsLabel, labels }),
});

const service = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Service"),
  metadata: inNamespace,
  spec: z.looseObject({ selector: labelMapSchema.nullish() }).nullish(),
});

const endpointAddress = z.looseObject({ ip: address });
const endpoints = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Endpoints"),
  metadata: inNamespace,
  subsets: z
    .array(
      z.looseObject({
        addresses: z.array(endpointAddress).max(ADDRESSES_MAX).nullish(),
        notReadyAddresses: z.array(endpointAddress).max(ADDRESSES_MAX).nullish(),
      }),
    )
    .nullish(),
});

const SERVICE_NAME = "kubernetes.io/service-name";
const endpointSlice = z.looseObject({
  apiVersion: z.literal("discovery.k8s.io/v1"),
  kind: z.literal("EndpointSlice"),
  metadata: z.looseObject({
    name: dnsName,
    namespace: dnsLabel.optional(),
    labels: z.looseObject({ [SERVICE_NAME]: dnsLabel }),
  }),
  addressType: z.enum(["IPv4", "IPv6", "FQDN"]),
  endpoints: z.array(z.looseObject({ addresses: z.array(z.string()) })).max(ADDRESSES_MAX),
});

/** Of a node, the addresses by which other nodes know it. */
export const NODE_ADDRESS_TYPES = ["InternalIP", "CiliumInternalIP"];
const node = z.looseObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Node"),
  metadata: clusterwide,
  status: z
    .looseObject({
      addresses: z.array(z.looseObject({ type: z.string(), address: z.string() })).nullish(),
    })
    .nullish(),
});

const ciliumNode = z.looseObject({
  apiVersion: z.literal("cilium.io/v2"),
  kind: z.literal("CiliumNode"),
  metadata: clusterwide,
  spec: z
    .looseObject({
      addresses: z.array(z.looseObject({ type: z.string(), ip: z.string() })).nullish(),
    })
    .nullish(),
});

export const KIND_READERS: Readonly<Record<string, KindReader>> = {
  Namespace: reader(namespace, ({ metadata: { name, labels } }) => [
    { kind: "namespace", name, labels: labels ?? {} },
  ]),
  Service: reader(service, ({ metadata, spec }) => [
    {
      kind: "service",
      ...placeOf(metadata),
      labels: metadata.labels ?? {},
      selector: Object.keys(spec?.selector ?? {}).length > 0 ? (spec?.selector ?? {}) : undefined,
    },
  ]),
  Endpoints: reader(endpoints, ({ metadata, subsets }) => [
    {
      kind: "backends",
      namespace: placeOf(metadata).namespace,
      service: metadata.name,
      addresses: (subsets ?? []).flatMap(({ addresses, notReadyAddresses }) =>
        [...(addresses ?? []), ...(notReadyAddresses ?? [])].map(({ ip }) => ip),
      ),
    },
  ]),
  EndpointSlice: reader(endpointSlice, ({ metadata, addressType, endpoints }) => [
    {
      kind: "backends",
      namespace: placeOf(metadata).namespace,
      service: metadata.labels[SERVICE_NAME],
      addresses:
        addressType === "FQDN" ? [] : endpoints.flatMap(({ addresses }) => known(addresses)),
    },
  ]),
  Node: reader(node, ({ metadata, status }) => [
    nodeOf(
      metadata,
      (status?.addresses ?? []).map(({ type, address }) => ({ type, ip: address })),
    ),
  ]),
  CiliumNode: reader(ciliumNode, ({ metadata, spec }) => [nodeOf(metadata, spec?.addresses ?? [])]),
  CiliumCIDRGroup: reader(cidrGroupSchema, ({ metadata, spec }) => [
    { kind: "cidr-group", group: groupOf(metadata, spec.externalCIDRs) },
  ]),
};

function placeOf(metadata: { name: string; namespace?: string | undefined }): {
  name: string;
  namespace: string;
} {
  return { name: metadata.name, namespace: metadata.namespace ?? DEFAULT_NAMESPACE };
}

function nodeOf(
  metadata: { name: string; labels?: Readonly<Record<string, string>> | null | undefined },
  addresses: readonly { type: string; ip: string }[],
): ClusterObject {
  const own = addresses.filter(({ type }) => NODE_ADDRESS_TYPES.includes(type));
  return {
    kind: "node",
    name: metadata.name,
    labels: metadata.labels ?? {},
    addresses: known(own.map(({ ip }) => ip)),
  };
}

/** An object of a cluster may hold what is no address (a hostname); that is nobody's peer. */
function known(addresses: readonly string[]): string[] {
  return addresses.filter((text) => parseAddress(text) !== undefined);
}
