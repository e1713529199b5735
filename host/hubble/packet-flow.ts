/**
 * Datapath events as flows: verdict, direction and reply from the event (the rules are those of
 * Hubble's L3/L4 parser), names from the join.
 */
import type { DatapathEvent } from "../datapath/types.ts";
import type { PolicyOrigin } from "../policy/types.ts";
import { EVENT_TYPE, type FlowEnds, type FlowFacts, type PacketFacts } from "./flow-facts.ts";
import { joinEnds } from "./flow-join.ts";
import { type DropReason, TraceReason, TrafficDirection, Verdict } from "./gen/flow/flow_pb.ts";
import type { FlowGetters } from "./getters.ts";
import { packetSummary } from "./summary.ts";

/** Drop reasons that are a policy's doing: no rule allows, a rule denies (bpf/abi/abi.h). */
const DROP_POLICY = 133;
const DROP_POLICY_DENY = 181;
const DROP_NO_PLUGIN = 222;
/** Connection tracking states of a trace event: new, established, reply, related. */
const TRACE_REASON_REPLY = 2;
const TRACE_REASON_RELATED = 3;
const NO_MAC = "00:00:00:00:00:00";
const NO_ORIGINS: readonly PolicyOrigin[] = [];

/** Undefined when the event's type is not one that makes a flow. */
export function packetFlow(
  getters: FlowGetters,
  event: DatapathEvent,
  time: bigint,
): FlowFacts | undefined {
  const { type } = event;
  if (type !== EVENT_TYPE.drop && type !== EVENT_TYPE.trace && type !== EVENT_TYPE.policyVerdict) {
    return undefined;
  }
  const ends = joinEnds(getters, event.tuple, {
    source: event.sourceIdentity,
    destination: event.destinationIdentity,
  });
  return new PacketFlow(getters, event, { time, ends });
}

class PacketFlow implements FlowFacts {
  readonly kind = "flow";
  readonly time: bigint;
  readonly ends: FlowEnds;
  readonly verdict: Verdict;
  readonly eventType: number;
  readonly eventSubType: number;
  readonly isReply: boolean | undefined;
  readonly direction: TrafficDirection;
  readonly dropReason: DropReason;
  readonly policyMatchType: number;
  readonly allowedBy: readonly PolicyOrigin[];
  readonly deniedBy: readonly PolicyOrigin[];
  readonly packet: PacketFacts;
  readonly message = undefined;

  constructor(
    getters: FlowGetters,
    event: DatapathEvent,
    { time, ends }: { time: bigint; ends: FlowEnds },
  ) {
    const isVerdict = event.type === EVENT_TYPE.policyVerdict;
    this.time = time;
    this.ends = ends;
    this.eventType = event.type;
    this.eventSubType = isVerdict ? 0 : event.subType;
    this.verdict = verdictOf(event);
    this.isReply = isReplyOf(event);
    this.direction = directionOf(event, ends);
    this.dropReason = dropReasonOf(event);
    this.policyMatchType = isVerdict ? event.reason : 0;
    const origins =
      isVerdict && event.cookie !== 0 ? getters.originsByCookie(event.cookie) : NO_ORIGINS;
    const denied = this.verdict === Verdict.DROPPED || this.verdict === Verdict.AUDIT;
    const byPolicy =
      this.verdict === Verdict.AUDIT ||
      this.dropReason === DROP_POLICY ||
      this.dropReason === DROP_POLICY_DENY ||
      this.dropReason === DROP_NO_PLUGIN;
    this.allowedBy = denied ? NO_ORIGINS : origins;
    this.deniedBy = denied && byPolicy ? origins : NO_ORIGINS;
    this.packet = packetFacts(getters, event);
  }

  get summary(): string {
    return packetSummary(this.ends.protocol, this.packet.tcpFlags, this.ends.sourcePort);
  }
}

function verdictOf(event: DatapathEvent): Verdict {
  if (event.type === EVENT_TYPE.drop) return Verdict.DROPPED;
  if (event.audited === true) return Verdict.AUDIT;
  if (event.type === EVENT_TYPE.trace || event.verdict === 0) return Verdict.FORWARDED;
  return event.verdict < 0 ? Verdict.DROPPED : Verdict.REDIRECTED;
}

/** The protobuf enum has the datapath's numbers. */
function dropReasonOf(event: DatapathEvent): DropReason {
  if (event.type === EVENT_TYPE.drop) return event.subType as DropReason;
  const isDenied = event.type === EVENT_TYPE.policyVerdict && event.verdict < 0;
  return (isDenied ? -event.verdict : 0) as DropReason;
}

function isReplyOf(event: DatapathEvent): boolean | undefined {
  switch (event.type) {
    case EVENT_TYPE.trace:
      if (event.isReply !== undefined) return event.isReply;
      return event.reason <= TRACE_REASON_RELATED ? event.reason === TRACE_REASON_REPLY : undefined;
    case EVENT_TYPE.policyVerdict:
      // An allowing verdict is made for the first packet of a connection.
      return event.verdict < 0 ? undefined : false;
    default:
      return undefined;
  }
}

/** Direction of the connection at the observing endpoint; replies keep their connection's. */
function directionOf(event: DatapathEvent, ends: FlowEnds): TrafficDirection {
  const observed =
    event.direction === "egress" ? TrafficDirection.EGRESS : TrafficDirection.INGRESS;
  if (event.type !== EVENT_TYPE.trace || event.endpoint === 0) return observed;
  const isSource = ends.source.id === event.endpoint;
  if (!isSource && ends.destination.id !== event.endpoint) return observed;
  const isReply = isReplyOf(event) ?? false;
  return isSource !== isReply ? TrafficDirection.EGRESS : TrafficDirection.INGRESS;
}

function packetFacts(getters: FlowGetters, event: DatapathEvent): PacketFacts {
  const isTrace = event.type === EVENT_TYPE.trace;
  const hasReason = isTrace && event.reason <= TRACE_REASON_RELATED;
  return {
    tcpFlags: event.tcpFlags,
    sourceMac: event.sourceMac === NO_MAC ? "" : event.sourceMac,
    destinationMac: event.destinationMac === NO_MAC ? "" : event.destinationMac,
    interfaceIndex: event.ifindex,
    interfaceName: event.ifindex === 0 ? "" : getters.interfaceName(event.ifindex),
    // The protobuf numbers are one higher, to have 0 for unknown.
    traceReason: hasReason ? ((event.reason + 1) as TraceReason) : TraceReason.TRACE_REASON_UNKNOWN,
  };
}
