/**
 * A flow as the agent keeps it: what happened and to whom, in plain fields that share their
 * strings and endpoint objects. The ring holds these; filters read these; `flow-message.ts` makes
 * the protobuf message, and only for flows somebody asked for. Numbers are the protobuf enums'.
 */
import type { PolicyOrigin } from "../policy/types.ts";
import type {
  DropReason,
  L7FlowType,
  LostEventSource,
  TraceReason,
  TrafficDirection,
  Verdict,
} from "./gen/flow/flow_pb.ts";

/** event_type.type, the numbers of Cilium's monitor. */
export const EVENT_TYPE = { drop: 1, trace: 4, policyVerdict: 5, l7: 129 } as const;

export const PROTOCOL = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  icmpv6: 58,
  vrrp: 112,
  sctp: 132,
} as const;

/** Protocols whose flows have ports. */
export const PORT_PROTOCOLS: ReadonlySet<number> = new Set([
  PROTOCOL.tcp,
  PROTOCOL.udp,
  PROTOCOL.sctp,
]);

/** What stands behind an address. */
export interface FlowEndpoint {
  /** Of an endpoint of this node, else 0. */
  readonly id: number;
  readonly identity: number;
  readonly namespace: string;
  readonly podName: string;
  /** `source:key=value`, sorted. */
  readonly labels: readonly string[];
  readonly workloads: readonly { readonly name: string; readonly kind: string }[];
  readonly clusterName: string;
}

export interface FlowService {
  readonly name: string;
  readonly namespace: string;
}

/** Both ends, in the direction of the packet or message. */
export interface FlowEnds {
  readonly sourceIp: string;
  readonly destinationIp: string;
  /** IPPROTO_* */
  readonly protocol: number;
  /** 0 when the protocol has none; ICMP: type << 8 | code in `sourcePort`. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly source: FlowEndpoint;
  readonly destination: FlowEndpoint;
  readonly sourceNames: readonly string[];
  readonly destinationNames: readonly string[];
  readonly sourceService: FlowService | undefined;
  readonly destinationService: FlowService | undefined;
}

export interface HttpFacts {
  /** 0 on requests. */
  readonly code: number;
  readonly method: string;
  readonly url: string;
  readonly protocol: string;
  readonly headers: readonly { readonly key: string; readonly value: string }[];
}

export interface MessageFacts {
  readonly type: L7FlowType;
  readonly latencyNs: bigint;
  readonly http: HttpFacts | undefined;
  /** From a `traceparent` field; empty if there is none. */
  readonly traceId: string;
  readonly plugin: PluginFacts;
}

export interface PluginFacts {
  readonly name: string;
  readonly version: string;
  readonly digest: string;
  /** Record fields that fill no Hubble message. */
  readonly fields: Readonly<Record<string, string>>;
  /** Why the plugin failed; empty if it did not. */
  readonly fault: string;
}

export interface PacketFacts {
  /** TCP header byte 13. */
  readonly tcpFlags: number;
  /** Empty when unknown. */
  readonly sourceMac: string;
  readonly destinationMac: string;
  readonly interfaceIndex: number;
  readonly interfaceName: string;
  readonly traceReason: TraceReason;
}

export interface FlowFacts {
  readonly kind: "flow";
  /** Nanoseconds since 1970; no two flows of a node have the same. */
  readonly time: bigint;
  readonly verdict: Verdict;
  readonly eventType: number;
  readonly eventSubType: number;
  /** Undefined: not known. */
  readonly isReply: boolean | undefined;
  readonly direction: TrafficDirection;
  /** Undefined when no connection is known, as with a plugin's fault. */
  readonly ends: FlowEnds | undefined;
  /** 0 when not dropped by the datapath. */
  readonly dropReason: DropReason;
  readonly policyMatchType: number;
  /** Policies behind an allow or a deny in `direction`. */
  readonly allowedBy: readonly PolicyOrigin[];
  readonly deniedBy: readonly PolicyOrigin[];
  /** Set on L3/L4 flows, unset on L7 flows. */
  readonly packet: PacketFacts | undefined;
  /** Set on L7 flows. May decode the record each time: read it once. */
  readonly message: MessageFacts | undefined;
  readonly summary: string;
}

/** Flows that are missing here, and where they went. */
export interface LossFacts {
  readonly kind: "loss";
  readonly time: bigint;
  readonly source: LostEventSource;
  readonly count: number;
}

export type RingEntry = FlowFacts | LossFacts;
