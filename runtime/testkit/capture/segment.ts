/**
 * From a captured packet to a TCP segment: Ethernet with VLAN tags, Linux cooked, loopback and raw
 * links; IPv4 and IPv6 with its extension headers. What is none, or is a fragment, is undefined.
 */
import type { CapturedPacket } from "./capture-file.ts";

export interface Segment {
  /** `address:port` of both ends; IPv6 as groups of hexadecimal digits. */
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  sequence: number;
  syn: boolean;
  fin: boolean;
  rst: boolean;
  ack: boolean;
  payload: Uint8Array;
}

const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;
const VLAN_TAGS = [0x8100, 0x88a8];
const TCP = 6;
/** Hop-by-hop, routing, destination options: skipped. A fragment header is not. */
const EXTENSIONS = [0, 43, 60];

/** The segment in a packet, or undefined. */
export function segmentOf({ link, bytes }: CapturedPacket): Segment | undefined {
  try {
    const at = networkOffset(link, bytes);
    return at === undefined ? undefined : networkSegment(bytes.subarray(at));
  } catch (error) {
    // A header that is cut: DataView says so.
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function networkOffset(link: number, bytes: Uint8Array): number | undefined {
  const view = viewOf(bytes);
  if (link === 1) {
    let at = 12;
    while (VLAN_TAGS.includes(view.getUint16(at))) at += 4;
    const type = view.getUint16(at);
    return type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6 ? at + 2 : undefined;
  }
  return { 0: 4, 108: 4, 12: 0, 101: 0, 228: 0, 229: 0, 113: 16, 276: 20 }[link];
}

function networkSegment(bytes: Uint8Array): Segment | undefined {
  const view = viewOf(bytes);
  const version = view.getUint8(0) >> 4;
  if (version === 4) {
    const header = (view.getUint8(0) & 15) * 4;
    const length = view.getUint16(2);
    const fragment = view.getUint16(6) & 0x3fff;
    if (view.getUint8(9) !== TCP || fragment !== 0 || header < 20) return undefined;
    const source = Array.from(bytes.subarray(12, 16)).join(".");
    const destination = Array.from(bytes.subarray(16, 20)).join(".");
    // A length of 0 is what segmentation offload leaves behind.
    const end = length === 0 ? bytes.length : Math.min(length, bytes.length);
    return tcpSegment(bytes.subarray(header, end), source, destination);
  }
  if (version !== 6) return undefined;
  const length = view.getUint16(4);
  let next = view.getUint8(6);
  let at = 40;
  while (EXTENSIONS.includes(next)) {
    next = view.getUint8(at);
    at += (view.getUint8(at + 1) + 1) * 8;
  }
  if (next !== TCP) return undefined;
  const end = length === 0 ? bytes.length : Math.min(40 + length, bytes.length);
  return tcpSegment(bytes.subarray(at, end), groups(view, 8), groups(view, 24));
}

function groups(view: DataView, at: number): string {
  const parts = Array.from({ length: 8 }, (_, index) => view.getUint16(at + index * 2));
  return `[${parts.map((part) => part.toString(16)).join(":")}]`;
}

function tcpSegment(bytes: Uint8Array, from: string, to: string): Segment | undefined {
  const view = viewOf(bytes);
  const header = (view.getUint8(12) >> 4) * 4;
  if (header < 20 || header > bytes.length) return undefined;
  const flags = view.getUint8(13);
  const sourcePort = view.getUint16(0);
  const destinationPort = view.getUint16(2);
  return {
    source: `${from}:${sourcePort}`,
    destination: `${to}:${destinationPort}`,
    sourcePort,
    destinationPort,
    sequence: view.getUint32(4),
    fin: (flags & 1) !== 0,
    syn: (flags & 2) !== 0,
    rst: (flags & 4) !== 0,
    ack: (flags & 16) !== 0,
    payload: bytes.subarray(header),
  };
}
