/**
 * Filters of a request, compiled once to closures over flow facts: no protobuf message is made for
 * a flow that no filter lets through. A flow matches when the whitelist is empty or one of its
 * filters matches, and no filter of the blacklist matches; within a filter all set fields must.
 * What we cannot evaluate is refused: a filter that is silently wider shows flows nobody asked for.
 */
import { endPredicates, type FlowPredicate } from "./filter-ends.ts";
import { messagePredicates } from "./filter-message.ts";
import { type FlowFacts, PROTOCOL } from "./flow-facts.ts";
import type { FlowMessageContext } from "./flow-message.ts";
import { flowUuid } from "./flow-uuid.ts";
import { type FlowFilter, IPVersion, type TCPFlags, Verdict } from "./gen/flow/flow_pb.ts";
import { HubbleError } from "./hubble-error.ts";
import { compileSelectors } from "./label-selector.ts";
import { compileNodeGlobs, invalid } from "./pattern.ts";

/** Filters in one list of a request. */
const FILTERS_MAX = 1_000;

const L4_PROTOCOLS: Readonly<Record<string, readonly number[]>> = {
  icmp: [PROTOCOL.icmp, PROTOCOL.icmpv6],
  icmpv4: [PROTOCOL.icmp],
  icmpv6: [PROTOCOL.icmpv6],
  tcp: [PROTOCOL.tcp],
  udp: [PROTOCOL.udp],
  sctp: [PROTOCOL.sctp],
  vrrp: [PROTOCOL.vrrp],
  igmp: [PROTOCOL.igmp],
};
/** Known to clients; of these only HTTP records are filled. */
const L7_PROTOCOLS: ReadonlySet<string> = new Set(["http", "dns", "kafka"]);
/** Bits of TCP header byte 13. NS is none of them. */
const TCP_FLAG_BITS = {
  FIN: 0x01,
  SYN: 0x02,
  RST: 0x04,
  PSH: 0x08,
  ACK: 0x10,
  URG: 0x20,
  ECE: 0x40,
  CWR: 0x80,
} as const;

/** Throws HubbleError when a filter is wrong or not supported. */
export function compileFilters(
  lists: { whitelist: readonly FlowFilter[]; blacklist: readonly FlowFilter[] },
  context: FlowMessageContext,
): FlowPredicate {
  const whitelist = compileList(lists.whitelist, context);
  const blacklist = compileList(lists.blacklist, context);
  return (flow) =>
    (whitelist.length === 0 || whitelist.some((match) => match(flow))) &&
    !blacklist.some((match) => match(flow));
}

function compileList(filters: readonly FlowFilter[], context: FlowMessageContext): FlowPredicate[] {
  if (filters.length > FILTERS_MAX) {
    throw new HubbleError("invalid-argument", `Cannot use more than ${FILTERS_MAX} filters`);
  }
  return filters.map((filter) => compileFilter(filter, context));
}

function compileFilter(filter: FlowFilter, context: FlowMessageContext): FlowPredicate {
  if (filter.experimental !== undefined && filter.experimental.celExpression.length > 0) {
    throw new HubbleError("unimplemented", "Cannot use filter cel_expression: not supported");
  }
  const unknown = filter.$unknown?.[0];
  if (unknown !== undefined) {
    throw new HubbleError("unimplemented", `Cannot use filter field ${unknown.no}: not known`);
  }
  // Cheap ones first: `every` stops at the first that does not match.
  const predicates = [
    ...flowPredicates(filter),
    ...packetPredicates(filter),
    ...endPredicates(filter, "source"),
    ...endPredicates(filter, "destination"),
    ...nodePredicates(filter, context),
    ...messagePredicates(filter),
  ];
  return (flow) => predicates.every((match) => match(flow));
}

function flowPredicates(filter: FlowFilter): FlowPredicate[] {
  const predicates: FlowPredicate[] = [];
  if (filter.verdict.length > 0) {
    predicates.push(({ verdict }) => filter.verdict.includes(verdict));
  }
  if (filter.eventType.length > 0) {
    predicates.push((flow) =>
      filter.eventType.some(
        ({ type, matchSubType, subType }) =>
          (type === 0 || type === flow.eventType) &&
          (!matchSubType || subType === flow.eventSubType),
      ),
    );
  }
  if (filter.trafficDirection.length > 0) {
    predicates.push(({ direction }) => filter.trafficDirection.includes(direction));
  }
  if (filter.dropReasonDesc.length > 0) {
    predicates.push(({ dropReason }) => filter.dropReasonDesc.includes(dropReason));
  }
  if (filter.reply.length > 0) {
    predicates.push(({ isReply, verdict }) => {
      if (isReply === undefined && verdict !== Verdict.DROPPED) return false;
      return filter.reply.includes(isReply ?? false);
    });
  }
  if (filter.protocol.length > 0) predicates.push(compileProtocols(filter.protocol));
  if (filter.ipVersion.length > 0) {
    predicates.push((flow) => filter.ipVersion.includes(ipVersion(flow)));
  }
  return predicates;
}

function packetPredicates(filter: FlowFilter): FlowPredicate[] {
  const predicates: FlowPredicate[] = [];
  if (filter.tcpFlags.length > 0) predicates.push(compileTcpFlags(filter.tcpFlags));
  if (filter.interface.length > 0) {
    predicates.push(({ packet }) => {
      if (packet === undefined || packet.interfaceIndex === 0) return false;
      return filter.interface.some(
        ({ index, name }) =>
          (index === 0 || index === packet.interfaceIndex) &&
          (name === "" || name === packet.interfaceName),
      );
    });
  }
  // Neither translated sources, trace ids of packets nor encryption are reported by our datapath.
  if (filter.sourceIpXlated.length > 0 || filter.ipTraceId.length > 0) predicates.push(() => false);
  if (filter.encrypted.length > 0) {
    predicates.push(({ ends }) => ends !== undefined && filter.encrypted.includes(false));
  }
  return predicates;
}

/** The same for every flow of a node, and so decided now. */
function nodePredicates(filter: FlowFilter, context: FlowMessageContext): FlowPredicate[] {
  const { node, uuidSalt } = context;
  const predicates: FlowPredicate[] = [];
  if (filter.nodeName.length > 0) {
    const matches = compileNodeGlobs("node_name", filter.nodeName)(node.nodeName);
    predicates.push(() => matches);
  }
  if (filter.nodeLabels.length > 0) {
    const matches = compileSelectors("node_labels", filter.nodeLabels)(node.nodeLabels);
    predicates.push(() => matches);
  }
  if (filter.uuid.length > 0) {
    const wanted = new Set(filter.uuid);
    predicates.push(({ time }) => wanted.has(flowUuid(time, uuidSalt)));
  }
  return predicates;
}

function compileProtocols(names: readonly string[]): FlowPredicate {
  const numbers = new Set<number>();
  let isHttp = false;
  for (const name of names) {
    const lower = name.toLowerCase();
    const known = Object.hasOwn(L4_PROTOCOLS, lower) ? L4_PROTOCOLS[lower] : undefined;
    if (known === undefined && !L7_PROTOCOLS.has(lower)) {
      throw invalid("protocol", `${JSON.stringify(name)} is no protocol`);
    }
    for (const number of known ?? []) numbers.add(number);
    isHttp ||= lower === "http";
  }
  return (flow) => {
    if (flow.ends !== undefined && numbers.has(flow.ends.protocol)) return true;
    return isHttp && flow.message?.http !== undefined;
  };
}

/** A flow matches a set when it has all flags of it; it may have more. */
function compileTcpFlags(sets: readonly TCPFlags[]): FlowPredicate {
  const masks = sets
    .filter(({ NS }) => !NS)
    .map((flags) => {
      let mask = 0;
      for (const [name, bit] of Object.entries(TCP_FLAG_BITS)) {
        if (flags[name as keyof typeof TCP_FLAG_BITS]) mask |= bit;
      }
      return mask;
    });
  return ({ ends, packet }) => {
    if (packet === undefined || ends?.protocol !== PROTOCOL.tcp) return false;
    return masks.some((mask) => (packet.tcpFlags & mask) === mask);
  };
}

function ipVersion({ ends }: FlowFacts): IPVersion {
  if (ends === undefined) return IPVersion.IP_NOT_USED;
  return ends.sourceIp.includes(":") ? IPVersion.IPv6 : IPVersion.IPv4;
}
