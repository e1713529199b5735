/**
 * Joins addresses and identities with what the agent knows of them: the two ends of a flow.
 * Identity comes from the datapath or the proxy (it is what policy was decided by); pod, labels
 * and names are looked up beside it.
 */
import type { Tuple } from "../datapath/types.ts";
import { type FlowEndpoint, type FlowEnds, PORT_PROTOCOLS } from "./flow-facts.ts";
import type { FlowGetters } from "./getters.ts";

const CLUSTER_LABEL = "k8s:io.cilium.k8s.policy.cluster=";
const NO_NAMES: readonly string[] = [];

export interface TupleIdentities {
  source: number;
  destination: number;
}

export function joinEnds(
  getters: FlowGetters,
  tuple: Tuple,
  identities: TupleIdentities,
): FlowEnds {
  const source = joinEndpoint(getters, tuple.source, identities.source);
  const destination = joinEndpoint(getters, tuple.destination, identities.destination);
  const hasPorts = PORT_PROTOCOLS.has(tuple.protocol);
  return {
    sourceIp: tuple.source,
    destinationIp: tuple.destination,
    protocol: tuple.protocol,
    sourcePort: tuple.sourcePort,
    destinationPort: tuple.destinationPort,
    source,
    destination,
    // Names are those the other end resolved.
    sourceNames: joinNames(getters, source, destination.id, tuple.source),
    destinationNames: joinNames(getters, destination, source.id, tuple.destination),
    sourceService: hasPorts ? getters.serviceByAddress(tuple.source, tuple.sourcePort) : undefined,
    destinationService: hasPorts
      ? getters.serviceByAddress(tuple.destination, tuple.destinationPort)
      : undefined,
  };
}

/** The same ends seen from the other side, for responses. */
export function reverseEnds(ends: FlowEnds): FlowEnds {
  return {
    sourceIp: ends.destinationIp,
    destinationIp: ends.sourceIp,
    protocol: ends.protocol,
    sourcePort: ends.destinationPort,
    destinationPort: ends.sourcePort,
    source: ends.destination,
    destination: ends.source,
    sourceNames: ends.destinationNames,
    destinationNames: ends.sourceNames,
    sourceService: ends.destinationService,
    destinationService: ends.sourceService,
  };
}

function joinEndpoint(getters: FlowGetters, ip: string, identity: number): FlowEndpoint {
  const endpoint = getters.endpointByIp(ip);
  // The common case allocates nothing: the event's identity is the endpoint's present one.
  if (endpoint !== undefined && (identity === 0 || identity === endpoint.identity)) return endpoint;
  const labels = getters.identityLabels(identity);
  return {
    id: endpoint?.id ?? 0,
    identity,
    namespace: endpoint?.namespace ?? "",
    podName: endpoint?.podName ?? "",
    labels,
    workloads: endpoint?.workloads ?? [],
    clusterName: endpoint?.clusterName ?? clusterOf(labels),
  };
}

function joinNames(
  getters: FlowGetters,
  end: FlowEndpoint,
  peer: number,
  ip: string,
): readonly string[] {
  return end.podName === "" ? getters.namesOf(peer, ip) : NO_NAMES;
}

function clusterOf(labels: readonly string[]): string {
  for (const label of labels) {
    if (label.startsWith(CLUSTER_LABEL)) return label.slice(CLUSTER_LABEL.length);
  }
  return "";
}
