/**
 * Addresses as the datapath stores them: 16 bytes, IPv4 mapped into ::ffff:0:0/96. Text in, bytes
 * out, and back. Text that is no address throws; bytes never do.
 */
import { isIPv4, isIPv6 } from "node:net";

export const ADDRESS_BYTES = 16;
export const IPV4_PREFIX_BITS = 96;

/** Writes an address into `bytes` at `offset`. */
export function writeAddress(bytes: Uint8Array, offset: number, text: string): void {
  if (isIPv4(text)) {
    bytes.fill(0, offset, offset + 10);
    bytes.fill(0xff, offset + 10, offset + 12);
    bytes.set(ipv4Bytes(text), offset + 12);
  } else if (isIPv6(text) && !text.includes("%")) {
    writeIpv6(bytes, offset, text);
  } else {
    throw new TypeError(`Cannot read address: ${JSON.stringify(text)} is not IPv4 or IPv6`);
  }
}

function ipv4Bytes(text: string): number[] {
  return text.split(".").map(Number);
}

function writeIpv6(bytes: Uint8Array, offset: number, text: string): void {
  const dotted = text.lastIndexOf(":") + 1;
  let groups = text;
  if (text.includes(".")) {
    const [a = 0, b = 0, c = 0, d = 0] = ipv4Bytes(text.slice(dotted));
    const [high, low] = [(a << 8) | b, (c << 8) | d];
    groups = `${text.slice(0, dotted)}${high.toString(16)}:${low.toString(16)}`;
  }
  const [head = "", tail] = groups.split("::");
  const left = head === "" ? [] : head.split(":");
  const right = tail === undefined || tail === "" ? [] : tail.split(":");
  const middle = new Array<string>(8 - left.length - right.length).fill("0");
  [...left, ...middle, ...right].forEach((group, index) => {
    const value = Number.parseInt(group, 16);
    bytes[offset + index * 2] = value >> 8;
    bytes[offset + index * 2 + 1] = value & 0xff;
  });
}

/** The text of the address at `offset`: dotted for mapped IPv4, else RFC 5952. */
export function readAddress(bytes: Uint8Array, offset: number): string {
  const at = (index: number): number => bytes[offset + index] ?? 0;
  if (isMapped(bytes, offset)) return `${at(12)}.${at(13)}.${at(14)}.${at(15)}`;
  const groups = Array.from({ length: 8 }, (_, index) => (at(index * 2) << 8) | at(index * 2 + 1));
  const { start, length } = longestZeroRun(groups);
  const text = groups.map((group) => group.toString(16));
  if (length < 2) return text.join(":");
  return `${text.slice(0, start).join(":")}::${text.slice(start + length).join(":")}`;
}

/** All 16 bytes zero: the datapath's way to say there is none. */
export function isUnspecified(bytes: Uint8Array, offset: number): boolean {
  return bytes.subarray(offset, offset + ADDRESS_BYTES).every((byte) => byte === 0);
}

function isMapped(bytes: Uint8Array, offset: number): boolean {
  for (let index = 0; index < 10; index++) if (bytes[offset + index] !== 0) return false;
  return bytes[offset + 10] === 0xff && bytes[offset + 11] === 0xff;
}

function longestZeroRun(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  let length = 0;
  groups.forEach((group, index) => {
    length = group === 0 ? length + 1 : 0;
    if (length > best.length) best = { start: index - length + 1, length };
  });
  return best;
}

/** `10.0.0.0/8`, `fd00::/8`, or an address for itself → address and prefix bits out of 128. */
export function parsePrefix(text: string): { address: string; bits: number } {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const offset = isIPv4(address) ? IPV4_PREFIX_BITS : 0;
  const bits = slash < 0 ? 128 - offset : Number(text.slice(slash + 1));
  if (!Number.isInteger(bits) || bits < 0 || bits + offset > 128 || text.endsWith("/"))
    throw new TypeError(`Cannot read prefix: ${JSON.stringify(text)} has no valid length`);
  return { address, bits: bits + offset };
}

/** The reverse of `parsePrefix`. */
export function formatPrefix(address: string, bits: number): string {
  return `${address}/${isIPv4(address) ? bits - IPV4_PREFIX_BITS : bits}`;
}

/** `02:00:00:00:00:01` at `offset`. */
export function writeMac(bytes: Uint8Array, offset: number, text: string): void {
  const parts = text.split(":");
  if (parts.length !== 6 || !parts.every((part) => /^[0-9a-fA-F]{2}$/.test(part)))
    throw new TypeError(`Cannot read MAC address: ${JSON.stringify(text)}`);
  parts.forEach((part, index) => {
    bytes[offset + index] = Number.parseInt(part, 16);
  });
}

export function readMac(bytes: Uint8Array, offset: number): string {
  return Array.from(bytes.subarray(offset, offset + 6), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join(":");
}
