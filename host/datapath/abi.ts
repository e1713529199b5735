/**
 * The structs of bpf/abi/abi.h as bytes, by the offsets of layout.ts. Numbers are in host order
 * (little endian on both supported machines), ports and addresses in network order.
 */
import {
  ADDRESS_BYTES,
  formatPrefix,
  IPV4_PREFIX_BITS,
  isUnspecified,
  parsePrefix,
  readAddress,
  readMac,
  writeAddress,
  writeMac,
} from "./address.ts";
import { LAYOUT } from "./layout.ts";
import type { CtRow, DatapathEndpoint, DatapathEvent, PolicyMapEntry, Tuple } from "./types.ts";

const LITTLE = true;
const POLICY_PREFIX_L3 = 40;
const PROTOCOL_BITS = 8;
const PORT_BITS = 16;
const POLICY_EGRESS = 1;
const POLICY_FLAG_DENY = 1;
const POLICY_FLAG_REDIRECT = 2;
const POLICY_FLAG_WATCH = 4;
export const CT_FLAG_PROXIED = 1;
const CT_FLAG_ORIGIN_IS_SECOND = 2;
const CT_FLAG_SEEN_REPLY = 4;
const CT_FLAG_CLOSED = 8 | 16;
const REPLY_UNKNOWN = 2;
const ENDPOINT_FLAG_AUDIT = 1;
const EVENT_FLAG_AUDITED = 1;
const CONFIG_FLAG_AUDIT = 1;
const CONFIG_FLAG_HOST = 2;
const CONFIG_FLAG_HOST_AUDIT = 4;
const CONFIG_FLAG_HOST_BY_POLICY = 8;
const CONFIG_FLAG_DENY_ICMP = 16;
const CONFIG_FLAG_FRAG_NEEDED = 32;
export const METRIC_EVENTS_LOST = 1;

/** A struct's bytes with both views on them. */
export interface Struct {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function makeStruct(size: number): Struct {
  const bytes = new Uint8Array(size);
  return { bytes, view: new DataView(bytes.buffer) };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

export function encodeNumber(value: number): Uint8Array {
  const { bytes, view } = makeStruct(4);
  view.setUint32(0, value, LITTLE);
  return bytes;
}

export function decodeNumber(bytes: Uint8Array): number {
  return viewOf(bytes).getUint32(0, LITTLE);
}

export function encodeAddress(text: string): Uint8Array {
  const bytes = new Uint8Array(ADDRESS_BYTES);
  writeAddress(bytes, 0, text);
  return bytes;
}

export function encodeIpcacheKey(prefix: string): Uint8Array {
  const { bytes, view } = makeStruct(LAYOUT.ipcache_key.size);
  const { address, bits } = parsePrefix(prefix);
  view.setUint32(LAYOUT.ipcache_key.prefixlen, bits, LITTLE);
  writeAddress(bytes, LAYOUT.ipcache_key.address, address);
  return bytes;
}

export function decodeIpcacheKey(bytes: Uint8Array): string {
  const bits = viewOf(bytes).getUint32(LAYOUT.ipcache_key.prefixlen, LITTLE);
  const address = readAddress(bytes, LAYOUT.ipcache_key.address);
  /* ::ffff:0:0 below its own length is not IPv4. */
  return bits < IPV4_PREFIX_BITS && address.includes(".")
    ? `::ffff:${address}/${bits}`
    : formatPrefix(address, bits);
}

export function encodeIpcacheValue(identity: number): Uint8Array {
  const { bytes, view } = makeStruct(LAYOUT.ipcache_value.size);
  view.setUint32(LAYOUT.ipcache_value.identity, identity, LITTLE);
  return bytes;
}

export function encodeEndpoint(endpoint: DatapathEndpoint): Uint8Array {
  const { bytes, view } = makeStruct(LAYOUT.endpoint.size);
  view.setUint32(LAYOUT.endpoint.id, endpoint.id, LITTLE);
  view.setUint32(LAYOUT.endpoint.identity, endpoint.identity, LITTLE);
  view.setUint32(LAYOUT.endpoint.ifindex, endpoint.ifindex, LITTLE);
  writeMac(bytes, LAYOUT.endpoint.pod_mac, endpoint.podMac);
  writeMac(bytes, LAYOUT.endpoint.host_mac, endpoint.hostMac);
  if (endpoint.ipv4 !== undefined) writeAddress(bytes, LAYOUT.endpoint.ipv4, endpoint.ipv4);
  if (endpoint.ipv6 !== undefined) writeAddress(bytes, LAYOUT.endpoint.ipv6, endpoint.ipv6);
  view.setUint32(LAYOUT.endpoint.flags, endpoint.audit ? ENDPOINT_FLAG_AUDIT : 0, LITTLE);
  return bytes;
}

/** The row knows the ifindex only; its name is the caller's to find. */
export function decodeEndpoint(bytes: Uint8Array, ifname: string): DatapathEndpoint {
  const view = viewOf(bytes);
  const layout = LAYOUT.endpoint;
  return {
    id: view.getUint32(layout.id, LITTLE),
    identity: view.getUint32(layout.identity, LITTLE),
    ifindex: view.getUint32(layout.ifindex, LITTLE),
    ifname,
    podMac: readMac(bytes, layout.pod_mac),
    hostMac: readMac(bytes, layout.host_mac),
    ...(isUnspecified(bytes, layout.ipv4) ? {} : { ipv4: readAddress(bytes, layout.ipv4) }),
    ...(isUnspecified(bytes, layout.ipv6) ? {} : { ipv6: readAddress(bytes, layout.ipv6) }),
    ...(view.getUint32(layout.flags, LITTLE) & ENDPOINT_FLAG_AUDIT ? { audit: true } : {}),
  };
}

/** Prefix bits of the L4 part; a port needs a protocol. */
function l4Prefix(entry: PolicyKeyFields): number {
  if (entry.protocol === 0) return 0;
  return PROTOCOL_BITS + entry.portPrefix;
}

/** What of an entry is in its key. */
export type PolicyKeyFields = Pick<
  PolicyMapEntry,
  "identity" | "direction" | "protocol" | "port" | "portPrefix"
>;

export function encodePolicyKey(bytes: Uint8Array, entry: PolicyKeyFields): void {
  const view = viewOf(bytes);
  const layout = LAYOUT.policy_key;
  const direction = entry.direction === "egress" ? POLICY_EGRESS : 0;
  view.setUint32(layout.prefixlen, POLICY_PREFIX_L3 + l4Prefix(entry), LITTLE);
  view.setUint32(layout.identity, entry.identity, LITTLE);
  view.setUint8(layout.direction, direction);
  view.setUint8(layout.protocol, entry.protocol);
  view.setUint16(layout.port, entry.protocol === 0 ? 0 : entry.port);
}

export function encodePolicyValue(bytes: Uint8Array, entry: PolicyMapEntry): void {
  const view = viewOf(bytes);
  const layout = LAYOUT.policy_value;
  const flags =
    (entry.deny ? POLICY_FLAG_DENY : 0) |
    (entry.redirect ? POLICY_FLAG_REDIRECT : 0) |
    (entry.watch ? POLICY_FLAG_WATCH : 0);
  view.setUint32(layout.precedence, entry.precedence, LITTLE);
  view.setUint32(layout.rules, entry.ruleSet, LITTLE);
  view.setUint32(layout.cookie, entry.cookie, LITTLE);
  view.setUint8(layout.flags, flags);
  view.setUint8(layout.l4_prefixlen, l4Prefix(entry));
  view.setUint16(layout.reserved, 0, LITTLE);
}

export function decodePolicy(key: Uint8Array, value: Uint8Array): PolicyMapEntry {
  const keyView = viewOf(key);
  const valueView = viewOf(value);
  const flags = valueView.getUint8(LAYOUT.policy_value.flags);
  const bits = keyView.getUint32(LAYOUT.policy_key.prefixlen, LITTLE) - POLICY_PREFIX_L3;
  return {
    identity: keyView.getUint32(LAYOUT.policy_key.identity, LITTLE),
    direction:
      keyView.getUint8(LAYOUT.policy_key.direction) === POLICY_EGRESS ? "egress" : "ingress",
    protocol: keyView.getUint8(LAYOUT.policy_key.protocol),
    port: keyView.getUint16(LAYOUT.policy_key.port),
    portPrefix: Math.max(0, bits - PROTOCOL_BITS),
    precedence: valueView.getUint32(LAYOUT.policy_value.precedence, LITTLE),
    deny: (flags & POLICY_FLAG_DENY) !== 0,
    redirect: (flags & POLICY_FLAG_REDIRECT) !== 0,
    ruleSet: valueView.getUint32(LAYOUT.policy_value.rules, LITTLE),
    cookie: valueView.getUint32(LAYOUT.policy_value.cookie, LITTLE),
    ...(flags & POLICY_FLAG_WATCH ? { watch: true } : {}),
  };
}

/** The entry that a look-up of `asked` has found: its key is what its prefix leaves of that. */
export function decodeMatch(asked: Uint8Array, value: Uint8Array): PolicyMapEntry {
  const bits = viewOf(value).getUint8(LAYOUT.policy_value.l4_prefixlen);
  const key = asked.slice();
  const view = viewOf(key);
  const portBits = Math.max(0, bits - PROTOCOL_BITS);
  const mask = (0xffff << (PORT_BITS - portBits)) & 0xffff;
  view.setUint32(LAYOUT.policy_key.prefixlen, POLICY_PREFIX_L3 + bits, LITTLE);
  if (bits < PROTOCOL_BITS) view.setUint8(LAYOUT.policy_key.protocol, 0);
  view.setUint16(LAYOUT.policy_key.port, view.getUint16(LAYOUT.policy_key.port) & mask);
  return decodePolicy(key, value);
}

export function encodeTuple(tuple: Tuple): Uint8Array {
  const { bytes, view } = makeStruct(LAYOUT.tuple.size);
  writeAddress(bytes, LAYOUT.tuple.source, tuple.source);
  writeAddress(bytes, LAYOUT.tuple.destination, tuple.destination);
  view.setUint16(LAYOUT.tuple.source_port, tuple.sourcePort);
  view.setUint16(LAYOUT.tuple.destination_port, tuple.destinationPort);
  view.setUint8(LAYOUT.tuple.protocol, tuple.protocol);
  return bytes;
}

export function decodeTuple(bytes: Uint8Array, offset = 0): Tuple {
  const view = viewOf(bytes);
  return {
    source: readAddress(bytes, offset + LAYOUT.tuple.source),
    destination: readAddress(bytes, offset + LAYOUT.tuple.destination),
    sourcePort: view.getUint16(offset + LAYOUT.tuple.source_port),
    destinationPort: view.getUint16(offset + LAYOUT.tuple.destination_port),
    protocol: view.getUint8(offset + LAYOUT.tuple.protocol),
  };
}

function turnRound(tuple: Tuple): Tuple {
  return {
    source: tuple.destination,
    destination: tuple.source,
    sourcePort: tuple.destinationPort,
    destinationPort: tuple.sourcePort,
    protocol: tuple.protocol,
  };
}

/** `nowNs`: CLOCK_MONOTONIC. The row is in the connection's original direction. */
export function decodeCt(key: Uint8Array, value: Uint8Array, nowNs: bigint): CtRow {
  const view = viewOf(value);
  const layout = LAYOUT.ct_value;
  const flags = view.getUint32(layout.flags, LITTLE);
  const counter = (offset: number): number => Number(view.getBigUint64(offset, LITTLE));
  const tuple = decodeTuple(key);
  return {
    ...(flags & CT_FLAG_ORIGIN_IS_SECOND ? turnRound(tuple) : tuple),
    expiresInSeconds:
      Number((view.getBigUint64(layout.expires_ns, LITTLE) - nowNs) / 1000000n) / 1000,
    proxied: (flags & CT_FLAG_PROXIED) !== 0,
    seenReply: (flags & CT_FLAG_SEEN_REPLY) !== 0,
    closing: (flags & CT_FLAG_CLOSED) !== 0,
    sourceIdentity: view.getUint32(layout.source_identity, LITTLE),
    destinationIdentity: view.getUint32(layout.destination_identity, LITTLE),
    packets: [counter(layout.packets), counter(layout.packets + 8)],
    bytes: [counter(layout.bytes), counter(layout.bytes + 8)],
  };
}

/** `epochNs`: what to add to CLOCK_MONOTONIC to get nanoseconds since 1970. */
export function decodeEvent(bytes: Uint8Array, epochNs: bigint): DatapathEvent {
  const view = viewOf(bytes);
  const layout = LAYOUT.event;
  const isReply = view.getUint8(layout.is_reply);
  return {
    time: view.getBigUint64(layout.time_ns, LITTLE) + epochNs,
    type: view.getUint8(layout.type),
    subType: view.getUint8(layout.sub_type),
    direction: view.getUint8(layout.direction) === POLICY_EGRESS ? "egress" : "ingress",
    reason: view.getUint8(layout.reason),
    verdict: view.getInt32(layout.verdict, LITTLE),
    sourceIdentity: view.getUint32(layout.source_identity, LITTLE),
    destinationIdentity: view.getUint32(layout.destination_identity, LITTLE),
    ifindex: view.getUint32(layout.ifindex, LITTLE),
    cookie: view.getUint32(layout.cookie, LITTLE),
    length: view.getUint32(layout.length, LITTLE),
    endpoint: view.getUint16(layout.endpoint, LITTLE),
    tcpFlags: view.getUint8(layout.tcp_flags),
    isReply: isReply === REPLY_UNKNOWN ? undefined : isReply === 1,
    tuple: decodeTuple(bytes, layout.tuple),
    sourceMac: readMac(bytes, layout.source_mac),
    destinationMac: readMac(bytes, layout.destination_mac),
    audited: (view.getUint32(layout.flags, LITTLE) & EVENT_FLAG_AUDITED) !== 0,
  };
}

/** How long the kernel knows a connection after its last packet, in seconds. */
export interface CtTimeouts {
  /** TCP that was answered. */
  tcp: number;
  /** TCP that was not answered yet. */
  tcpOpening: number;
  /** TCP that both sides have ended, or one has reset. */
  tcpClosing: number;
  /** Every other protocol. */
  other: number;
}

/** The settings row of all programs. */
export interface ConfigRow {
  epoch: number;
  worldIpv4: number;
  worldIpv6: number;
  traceEstablished: boolean;
  /** Of every endpoint: denials of L3/L4 policy pass and are told as audited. */
  audit: boolean;
  /** The node's own connections are tracked, and judged if it has a policy. */
  host: boolean;
  /** Audit mode of the node's own policy. */
  hostAudit: boolean;
  /** The node reaches its pods only as policies say. */
  hostByPolicy: boolean;
  /** Pods are told by ICMP of what their own egress policy denies. */
  denyByIcmp: boolean;
  /** ICMPv4 "fragmentation needed" passes every policy. */
  fragNeeded: boolean;
  ctTimeouts: CtTimeouts;
}

export function encodeConfig(row: ConfigRow): Uint8Array {
  const { bytes, view } = makeStruct(LAYOUT.config.size);
  const layout = LAYOUT.config;
  const flags =
    (row.audit ? CONFIG_FLAG_AUDIT : 0) |
    (row.host ? CONFIG_FLAG_HOST : 0) |
    (row.hostAudit ? CONFIG_FLAG_HOST_AUDIT : 0) |
    (row.hostByPolicy ? CONFIG_FLAG_HOST_BY_POLICY : 0) |
    (row.denyByIcmp ? CONFIG_FLAG_DENY_ICMP : 0) |
    (row.fragNeeded ? CONFIG_FLAG_FRAG_NEEDED : 0);
  view.setUint32(layout.epoch, row.epoch, LITTLE);
  view.setUint32(layout.node_ipv4_world, row.worldIpv4, LITTLE);
  view.setUint32(layout.node_ipv6_world, row.worldIpv6, LITTLE);
  view.setUint32(layout.trace_established, row.traceEstablished ? 1 : 0, LITTLE);
  view.setUint32(layout.flags, flags, LITTLE);
  view.setUint32(layout.ct_tcp_seconds, row.ctTimeouts.tcp, LITTLE);
  view.setUint32(layout.ct_tcp_opening_seconds, row.ctTimeouts.tcpOpening, LITTLE);
  view.setUint32(layout.ct_tcp_closing_seconds, row.ctTimeouts.tcpClosing, LITTLE);
  view.setUint32(layout.ct_other_seconds, row.ctTimeouts.other, LITTLE);
  return bytes;
}

export function decodeConfig(bytes: Uint8Array): ConfigRow {
  const view = viewOf(bytes);
  const number = (offset: number): number => view.getUint32(offset, LITTLE);
  const layout = LAYOUT.config;
  const flags = number(layout.flags);
  return {
    epoch: number(layout.epoch),
    worldIpv4: number(layout.node_ipv4_world),
    worldIpv6: number(layout.node_ipv6_world),
    traceEstablished: number(layout.trace_established) !== 0,
    audit: (flags & CONFIG_FLAG_AUDIT) !== 0,
    host: (flags & CONFIG_FLAG_HOST) !== 0,
    hostAudit: (flags & CONFIG_FLAG_HOST_AUDIT) !== 0,
    hostByPolicy: (flags & CONFIG_FLAG_HOST_BY_POLICY) !== 0,
    denyByIcmp: (flags & CONFIG_FLAG_DENY_ICMP) !== 0,
    fragNeeded: (flags & CONFIG_FLAG_FRAG_NEEDED) !== 0,
    ctTimeouts: {
      tcp: number(layout.ct_tcp_seconds),
      tcpOpening: number(layout.ct_tcp_opening_seconds),
      tcpClosing: number(layout.ct_tcp_closing_seconds),
      other: number(layout.ct_other_seconds),
    },
  };
}

/** One counter, summed over CPUs. */
export interface MetricRow {
  /** 0 forwarded, 1 events lost, else a drop reason. */
  reason: number;
  direction: "ingress" | "egress";
  packets: number;
  bytes: number;
}

export function decodeMetric(key: Uint8Array, values: Uint8Array): MetricRow {
  const view = viewOf(values);
  let packets = 0n;
  let bytes = 0n;
  for (let at = 0; at < values.length; at += LAYOUT.metrics_value.size) {
    packets += view.getBigUint64(at + LAYOUT.metrics_value.packets, LITTLE);
    bytes += view.getBigUint64(at + LAYOUT.metrics_value.bytes, LITTLE);
  }
  return {
    reason: key[LAYOUT.metrics_key.reason] ?? 0,
    direction: key[LAYOUT.metrics_key.direction] === POLICY_EGRESS ? "egress" : "ingress",
    packets: Number(packets),
    bytes: Number(bytes),
  };
}
