/** Builds frames byte by byte, good and bad ones, and checks the sums of those that come back. */
import { isIPv6 } from "node:net";
import { readAddress, writeAddress } from "../address.ts";

const ETHERNET_BYTES = 14;
const FRAGMENT_HEADER = 44;
export const PROTOCOL = {
  icmp: 1,
  igmp: 2,
  ipip: 4,
  tcp: 6,
  udp: 17,
  ipv6: 41,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  ospf: 89,
  vrrp: 112,
  sctp: 132,
} as const;
export const FLAG = { fin: 1, syn: 2, rst: 4, ack: 16 } as const;

interface Extension {
  number: number;
  bytes: Uint8Array;
}

export interface FrameSpec {
  source: string;
  destination: string;
  protocol?: number;
  sourcePort?: number;
  destinationPort?: number;
  /** TCP. */
  flags?: number;
  sequence?: number;
  acknowledge?: number;
  /** ICMP; `sourcePort` is the identifier. */
  type?: number;
  code?: number;
  payload?: Uint8Array;
  hops?: number;
  /** A piece of a datagram: `offset` in bytes. What the piece holds is the transport as given. */
  fragment?: { offset: number; more: boolean; id: number };
  /** IPv6 extension headers in order, each with its number; the first 8 or more bytes of each. */
  extensions?: Extension[];
  ethertype?: number;
  /** Cuts the frame there. */
  length?: number;
}

function internetSum(...parts: Uint8Array[]): number {
  let sum = 0;
  for (const part of parts)
    for (let at = 0; at < part.length; at += 2) sum += ((part[at] ?? 0) << 8) | (part[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function transport(spec: FrameSpec, protocol: number): Uint8Array {
  const payload = spec.payload ?? new Uint8Array();
  const size = protocol === PROTOCOL.tcp ? 20 : 8;
  const bytes = new Uint8Array(size + payload.length);
  const view = new DataView(bytes.buffer);
  bytes.set(payload, size);
  if (protocol === PROTOCOL.icmp || protocol === PROTOCOL.icmpv6) {
    view.setUint8(0, spec.type ?? 0);
    view.setUint8(1, spec.code ?? 0);
    view.setUint16(4, spec.sourcePort ?? 0);
    return bytes;
  }
  view.setUint16(0, spec.sourcePort ?? 0);
  view.setUint16(2, spec.destinationPort ?? 0);
  if (protocol !== PROTOCOL.tcp) return bytes;
  view.setUint32(4, spec.sequence ?? 1);
  view.setUint32(8, spec.acknowledge ?? 0);
  view.setUint8(12, 5 << 4);
  view.setUint8(13, spec.flags ?? FLAG.syn);
  return bytes;
}

function addressBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  writeAddress(bytes, 0, text);
  return isIPv6(text) ? bytes : bytes.slice(12);
}

function ipv4Header(spec: FrameSpec, protocol: number, length: number): Uint8Array {
  const bytes = new Uint8Array(20);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 0x45);
  view.setUint16(2, 20 + length);
  if (spec.fragment !== undefined) {
    const { offset, more, id } = spec.fragment;
    view.setUint16(4, id);
    view.setUint16(6, (more ? 0x2000 : 0) | (offset >> 3));
  }
  view.setUint8(8, spec.hops ?? 64);
  view.setUint8(9, protocol);
  bytes.set(addressBytes(spec.source), 12);
  bytes.set(addressBytes(spec.destination), 16);
  view.setUint16(10, internetSum(bytes));
  return bytes;
}

function ipv6Header(spec: FrameSpec, next: number, length: number): Uint8Array {
  const bytes = new Uint8Array(40);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, 0x60);
  view.setUint16(4, length);
  view.setUint8(6, next);
  view.setUint8(7, spec.hops ?? 64);
  bytes.set(addressBytes(spec.source), 8);
  bytes.set(addressBytes(spec.destination), 24);
  return bytes;
}

function concat(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

function fragmentHeader({ offset, more, id }: NonNullable<FrameSpec["fragment"]>): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint16(2, offset | (more ? 1 : 0));
  view.setUint32(4, id);
  return bytes;
}

function extensionsOf({ extensions = [], fragment }: FrameSpec): Extension[] {
  const last = fragment && [{ number: FRAGMENT_HEADER, bytes: fragmentHeader(fragment) }];
  return [...extensions, ...(last ?? [])];
}

function extensionHeaders(headers: readonly Extension[], protocol: number): Uint8Array {
  return concat(
    ...headers.map(({ bytes }, index) => {
      const copy = bytes.slice();
      copy[0] = headers[index + 1]?.number ?? protocol;
      return copy;
    }),
  );
}

/** The packet from its IP header on. */
export function buildPacket(spec: FrameSpec): Uint8Array {
  const protocol = spec.protocol ?? PROTOCOL.tcp;
  const body = transport(spec, protocol);
  if (!isIPv6(spec.source)) return concat(ipv4Header(spec, protocol, body.length), body);
  const headers = extensionsOf(spec);
  const extensions = extensionHeaders(headers, protocol);
  const first = headers[0]?.number ?? protocol;
  return concat(ipv6Header(spec, first, extensions.length + body.length), extensions, body);
}

export function buildFrame(spec: FrameSpec): Uint8Array {
  const ethernet = new Uint8Array(ETHERNET_BYTES);
  ethernet.set([2, 0, 0, 0, 0, 0xbb, 2, 0, 0, 0, 0, 0xaa]);
  const ethertype = spec.ethertype ?? (isIPv6(spec.source) ? 0x86dd : 0x0800);
  new DataView(ethernet.buffer).setUint16(12, ethertype);
  return concat(ethernet, buildPacket(spec)).slice(0, spec.length);
}

export interface ParsedFrame {
  destinationMac: string;
  sourceMac: string;
  source: string;
  destination: string;
  hops: number;
  sourcePort: number;
  destinationPort: number;
  flags: number;
  sequence: number;
  acknowledge: number;
  bytes: number;
  sumsAreRight: boolean;
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

/** A frame that came out of a program: TCP without extension headers. */
export function parseFrame(frame: Uint8Array): ParsedFrame {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const v6 = view.getUint16(12) === 0x86dd;
  const ip = frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + (v6 ? 40 : 20));
  const addresses = ip.subarray(v6 ? 8 : 12);
  const tcp = frame.subarray(ETHERNET_BYTES + ip.length);
  const at = ETHERNET_BYTES + ip.length;
  const size = v6 ? 16 : 4;
  const mapped = (bytes: Uint8Array): string =>
    readAddress(concat(v6 ? new Uint8Array() : MAPPED, bytes), 0);
  const pseudo = new Uint8Array([0, 0, tcp.length >> 8, tcp.length & 0xff, 0, 0, 0, PROTOCOL.tcp]);
  return {
    destinationMac: hex(frame.subarray(0, 6)),
    sourceMac: hex(frame.subarray(6, 12)),
    source: mapped(addresses.subarray(0, size)),
    destination: mapped(addresses.subarray(size, 2 * size)),
    hops: ip[v6 ? 7 : 8] ?? 0,
    sourcePort: view.getUint16(at),
    destinationPort: view.getUint16(at + 2),
    sequence: view.getUint32(at + 4),
    acknowledge: view.getUint32(at + 8),
    flags: view.getUint8(at + 13),
    bytes: frame.length,
    sumsAreRight: (v6 || internetSum(ip) === 0) && internetSum(addresses, pseudo, tcp) === 0,
  };
}

export interface ParsedIcmp
  extends Pick<ParsedFrame, "destinationMac" | "sourceMac" | "source" | "destination" | "bytes"> {
  protocol: number;
  type: number;
  code: number;
  /** What stands behind its header. */
  quoted: Uint8Array;
  sumsAreRight: boolean;
}

/** A frame that came out of a program: ICMP without extension headers. */
export function parseIcmp(frame: Uint8Array): ParsedIcmp {
  const { destinationMac, sourceMac, source, destination, bytes } = parseFrame(frame);
  const v6 = isIPv6(source);
  const ip = frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + (v6 ? 40 : 20));
  const icmp = frame.subarray(ETHERNET_BYTES + ip.length);
  const pseudo = new Uint8Array([0, 0, 0, icmp.length, 0, 0, 0, PROTOCOL.icmpv6]);
  const sum = v6 ? internetSum(ip.subarray(8), pseudo, icmp) : internetSum(icmp);
  return {
    ...{ destinationMac, sourceMac, source, destination, bytes },
    ...{ protocol: ip[v6 ? 6 : 9] ?? 0, type: icmp[0] ?? 0, code: icmp[1] ?? 0 },
    quoted: icmp.subarray(8),
    sumsAreRight: sum === 0 && (v6 || internetSum(ip) === 0),
  };
}

/** Is the IPv4 header's sum right? */
export function headerSumIsRight(frame: Uint8Array): boolean {
  return internetSum(frame.subarray(ETHERNET_BYTES, ETHERNET_BYTES + 20)) === 0;
}

const MAPPED = new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
