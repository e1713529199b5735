/** A flow as the comparison of policies takes it: whose decision it was, about whom. */
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { EVENT_TYPE } from "../hubble/flow-facts.ts";
import { type Endpoint, type Flow, TrafficDirection } from "../hubble/gen/flow/flow_pb.ts";
import type { SeenFlow } from "../policy/explain/diff.ts";
import { PROTOCOL } from "../policy/rule.ts";

/** Undefined for what is no decision about a new connection of an endpoint of this node. */
export function seenFlow(flow: Flow): SeenFlow | undefined {
  const { source, destination, IP: ip, eventType, trafficDirection, time } = flow;
  if (eventType?.type !== EVENT_TYPE.policyVerdict || !source || !destination || !ip || !time) {
    return undefined;
  }
  const isEgress = trafficDirection === TrafficDirection.EGRESS;
  if (!isEgress && trafficDirection !== TrafficDirection.INGRESS) return undefined;
  const place = placeOf(flow);
  const { ID: endpoint } = isEgress ? source : destination;
  if (place === undefined || endpoint === 0) return undefined;
  const peer = isEgress ? destination : source;
  return {
    ...{ direction: isEgress ? "egress" : "ingress", endpoint, peer: peer.identity },
    peerAddress: isEgress ? ip.destination : ip.source,
    source: nameOf(source, ip.source),
    destination: nameOf(destination, ip.destination),
    ...place,
    timeMs: timestampMs(time),
  };
}

/** ICMP has its type where others have a port. */
function placeOf({ l4 }: Flow): { protocol: number; port: number } | undefined {
  const protocol = l4?.protocol;
  switch (protocol?.case) {
    case "TCP":
      return { protocol: PROTOCOL.tcp, port: protocol.value.destinationPort };
    case "UDP":
      return { protocol: PROTOCOL.udp, port: protocol.value.destinationPort };
    case "SCTP":
      return { protocol: PROTOCOL.sctp, port: protocol.value.destinationPort };
    case "ICMPv4":
      return { protocol: PROTOCOL.icmp, port: protocol.value.type << 8 };
    case "ICMPv6":
      return { protocol: PROTOCOL.icmpv6, port: protocol.value.type << 8 };
    default:
      return undefined;
  }
}

/** Its workload or pod; else what its identity is called, or its address. */
function nameOf({ namespace, podName, workloads, labels }: Endpoint, address: string): string {
  const [workload] = workloads;
  const name = workload?.name ?? podName;
  if (name !== "") return `${namespace}/${name}`;
  const reserved = labels.find((label) => label.startsWith("reserved:"));
  return reserved === undefined ? address : `${address} (${reserved})`;
}
