/** Flow facts to the protobuf messages of the API. */
import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { PolicyOrigin } from "../policy/types.ts";
import { type ExtensionForm, flowExtension } from "./flow-extension.ts";
import {
  EVENT_TYPE,
  type FlowEndpoint,
  type FlowEnds,
  type FlowFacts,
  type MessageFacts,
  type PacketFacts,
  PROTOCOL,
} from "./flow-facts.ts";
import { flowUuid } from "./flow-uuid.ts";
import {
  EndpointSchema,
  type Flow,
  FlowSchema,
  FlowType,
  IPVersion,
  type Layer4,
  Layer4Schema,
  type Layer7,
  Layer7Schema,
  type Policy,
  PolicySchema,
  type TCPFlags,
  TCPFlagsSchema,
  TraceObservationPoint,
  TrafficDirection,
} from "./gen/flow/flow_pb.ts";
import type { FlowNode } from "./getters.ts";

const NS_PER_SECOND = 1_000_000_000n;
const EMITTER_NAME = "Hubble";
/** Trace point 0, whose protobuf number is not 0. */
const TRACE_TO_ENDPOINT = 0;

export interface FlowMessageContext {
  readonly node: FlowNode;
  /** Makes this node's uuids unlike other nodes' (flow-uuid.ts). */
  readonly uuidSalt: bigint;
  readonly extension: ExtensionForm;
}

export function timestampOf(ns: bigint): Timestamp {
  const seconds = ns / NS_PER_SECOND;
  return create(TimestampSchema, { seconds, nanos: Number(ns - seconds * NS_PER_SECOND) });
}

export function flowMessage(facts: FlowFacts, context: FlowMessageContext): Flow {
  const { node } = context;
  const { message, packet, ends, isReply } = facts;
  const flow = create(FlowSchema, {
    time: timestampOf(facts.time),
    uuid: flowUuid(facts.time, context.uuidSalt),
    verdict: facts.verdict,
    Type: message === undefined ? FlowType.L3_L4 : FlowType.L7,
    nodeName: node.nodeName,
    nodeLabels: [...node.nodeLabels],
    eventType: { type: facts.eventType, subType: facts.eventSubType },
    trafficDirection: facts.direction,
    policyMatchType: facts.policyMatchType,
    dropReason: facts.dropReason,
    dropReasonDesc: facts.dropReason,
    emitter: { name: EMITTER_NAME, version: node.version },
    Summary: facts.summary,
  });
  if (isReply !== undefined) {
    flow.isReply = isReply;
    flow.reply = isReply;
  }
  if (facts.eventType === EVENT_TYPE.trace) {
    flow.traceObservationPoint = observationPoint(facts.eventSubType);
  }
  if (ends !== undefined) addEnds(flow, ends, packet);
  if (packet !== undefined) addPacket(flow, packet);
  if (message !== undefined) addMessage(flow, message, context.extension);
  addPolicies(flow, facts);
  return flow;
}

function addEnds(flow: Flow, ends: FlowEnds, packet: PacketFacts | undefined): void {
  flow.IP = {
    $typeName: "flow.IP",
    source: ends.sourceIp,
    destination: ends.destinationIp,
    ipVersion: ends.sourceIp.includes(":") ? IPVersion.IPv6 : IPVersion.IPv4,
    encrypted: false,
    sourceXlated: "",
  };
  flow.l4 = layer4(ends, packet);
  flow.source = endpoint(ends.source);
  flow.destination = endpoint(ends.destination);
  flow.sourceNames = [...ends.sourceNames];
  flow.destinationNames = [...ends.destinationNames];
  if (ends.sourceService !== undefined) {
    flow.sourceService = { $typeName: "flow.Service", ...ends.sourceService };
  }
  if (ends.destinationService !== undefined) {
    flow.destinationService = { $typeName: "flow.Service", ...ends.destinationService };
  }
}

function addPacket(flow: Flow, packet: PacketFacts): void {
  if (packet.sourceMac !== "" || packet.destinationMac !== "") {
    flow.ethernet = {
      $typeName: "flow.Ethernet",
      source: packet.sourceMac,
      destination: packet.destinationMac,
    };
  }
  if (packet.interfaceIndex !== 0) {
    flow.interface = {
      $typeName: "flow.NetworkInterface",
      index: packet.interfaceIndex,
      name: packet.interfaceName,
    };
  }
  flow.traceReason = packet.traceReason;
}

function addMessage(flow: Flow, message: MessageFacts, form: ExtensionForm): void {
  flow.l7 = layer7(message);
  flow.extensions = flowExtension(message.plugin, form);
  if (message.traceId !== "") {
    flow.traceContext = {
      $typeName: "flow.TraceContext",
      parent: { $typeName: "flow.TraceParent", traceId: message.traceId },
    };
  }
}

function addPolicies(flow: Flow, facts: FlowFacts): void {
  const logs = [...facts.allowedBy, ...facts.deniedBy].flatMap(({ log }) => log ?? []);
  flow.policyLog = [...new Set(logs)];
  if (facts.direction === TrafficDirection.EGRESS) {
    flow.egressAllowedBy = policies(facts.allowedBy);
    flow.egressDeniedBy = policies(facts.deniedBy);
  } else if (facts.direction === TrafficDirection.INGRESS) {
    flow.ingressAllowedBy = policies(facts.allowedBy);
    flow.ingressDeniedBy = policies(facts.deniedBy);
  }
}

/** Each policy once, however many of its rules with these labels are behind the decision. */
function policies(origins: readonly PolicyOrigin[]): Policy[] {
  const known = new Map<string, Policy>();
  for (const { kind, namespace, name, labels, revision } of origins) {
    const key = JSON.stringify([kind, namespace, name, labels]);
    if (known.has(key)) continue;
    const fields = { kind, namespace, name, labels: [...labels], revision: BigInt(revision) };
    known.set(key, create(PolicySchema, fields));
  }
  return [...known.values()];
}

function endpoint(facts: FlowEndpoint): Flow["source"] {
  return create(EndpointSchema, {
    ID: facts.id,
    identity: facts.identity,
    namespace: facts.namespace,
    labels: [...facts.labels],
    podName: facts.podName,
    workloads: facts.workloads.map(({ name, kind }) => ({ name, kind })),
    clusterName: facts.clusterName,
  });
}

function layer4(ends: FlowEnds, packet: PacketFacts | undefined): Layer4 | undefined {
  const { sourcePort, destinationPort } = ends;
  const icmp = { type: sourcePort >> 8, code: sourcePort & 0xff };
  switch (ends.protocol) {
    case PROTOCOL.tcp: {
      const ports = { sourcePort, destinationPort };
      const tcp = packet === undefined ? ports : { ...ports, flags: tcpFlags(packet.tcpFlags) };
      return create(Layer4Schema, { protocol: { case: "TCP", value: tcp } });
    }
    case PROTOCOL.udp:
      return create(Layer4Schema, {
        protocol: { case: "UDP", value: { sourcePort, destinationPort } },
      });
    case PROTOCOL.sctp:
      return create(Layer4Schema, {
        protocol: { case: "SCTP", value: { sourcePort, destinationPort } },
      });
    case PROTOCOL.icmp:
      return create(Layer4Schema, { protocol: { case: "ICMPv4", value: icmp } });
    case PROTOCOL.icmpv6:
      return create(Layer4Schema, { protocol: { case: "ICMPv6", value: icmp } });
    case PROTOCOL.vrrp:
      return create(Layer4Schema, { protocol: { case: "VRRP", value: {} } });
    case PROTOCOL.igmp:
      return create(Layer4Schema, { protocol: { case: "IGMP", value: {} } });
    default:
      return undefined;
  }
}

/** TCP header byte 13; NS is a bit of the byte before it and not reported. */
export function tcpFlags(bits: number): TCPFlags {
  return create(TCPFlagsSchema, {
    FIN: (bits & 0x01) !== 0,
    SYN: (bits & 0x02) !== 0,
    RST: (bits & 0x04) !== 0,
    PSH: (bits & 0x08) !== 0,
    ACK: (bits & 0x10) !== 0,
    URG: (bits & 0x20) !== 0,
    ECE: (bits & 0x40) !== 0,
    CWR: (bits & 0x80) !== 0,
  });
}

function layer7({ type, latencyNs, http }: MessageFacts): Layer7 {
  const layer = create(Layer7Schema, { type, latencyNs });
  if (http !== undefined) {
    layer.record = {
      case: "http",
      value: {
        $typeName: "flow.HTTP",
        code: http.code,
        method: http.method,
        url: http.url,
        protocol: http.protocol,
        headers: http.headers.map((header) => ({ $typeName: "flow.HTTPHeader", ...header })),
      },
    };
  }
  return layer;
}

function observationPoint(subType: number): TraceObservationPoint {
  if (subType === TRACE_TO_ENDPOINT) return TraceObservationPoint.TO_ENDPOINT;
  return subType as TraceObservationPoint;
}
