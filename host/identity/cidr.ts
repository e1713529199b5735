/**
 * Address prefixes: parsing as strict as Go's netip, canonical text (RFC 5952), containment, and
 * the labels of the identity behind a prefix. IPv4 and IPv6 are one type; addresses are bigints.
 */
import type { Label } from "../policy/types.ts";
import { reservedLabel, SOURCE_CIDR, SOURCE_RESERVED } from "./label.ts";

export interface Prefix {
  family: 4 | 6;
  /** Network address; bits behind `length` are zero. */
  address: bigint;
  length: number;
}

const BITS = { 4: 32, 6: 128 } as const;

export const WORLD = "world";
export const WORLD_OF_FAMILY = { 4: "world-ipv4", 6: "world-ipv6" } as const;

/** `address/length`, with host bits masked off; undefined if it is anything else. */
export function parsePrefix(text: string): Prefix | undefined {
  const match = /^([0-9a-fA-F.:]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const parsed = match?.[1] === undefined ? undefined : parseAddress(match[1]);
  if (!parsed || !match) return undefined;
  const length = Number(match[2]);
  if (length > BITS[parsed.family]) return undefined;
  return maskPrefix({ ...parsed, length });
}

/** An address is a prefix of full length. IPv4-mapped IPv6 is refused: it is an IPv4 address. */
export function parseAddress(text: string): Prefix | undefined {
  return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): Prefix | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let address = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    address = (address << 8n) | BigInt(part);
  }
  return { family: 4, address, length: 32 };
}

function parseIpv6(text: string): Prefix | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? "", halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? "", true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...new Array<number>(missing).fill(0), ...tail];
  let address = 0n;
  for (const group of groups) address = (address << 16n) | BigInt(group);
  if (address >> 32n === 0xffffn) return undefined;
  return { family: 6, address, length: 128 };
}

/** 16-bit groups; the last may be a dotted IPv4 address if it ends the text. */
function parseGroups(text: string, endsText: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (endsText && index === parts.length - 1 && part.includes(".")) {
      const embedded = parseIpv4(part);
      if (!embedded) return undefined;
      groups.push(Number(embedded.address >> 16n), Number(embedded.address & 0xffffn));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(Number.parseInt(part, 16));
    }
  }
  return groups;
}

/** The same with the bits behind its length set to zero. */
export function maskPrefix(prefix: Prefix): Prefix {
  const host = BigInt(BITS[prefix.family] - prefix.length);
  return { ...prefix, address: (prefix.address >> host) << host };
}

export function formatPrefix(prefix: Prefix): string {
  return `${formatAddress(prefix)}/${prefix.length}`;
}

function formatAddress(prefix: Prefix): string {
  if (prefix.family === 4) {
    return [24n, 16n, 8n, 0n].map((shift) => (prefix.address >> shift) & 0xffn).join(".");
  }
  const groups: string[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) {
    groups.push(((prefix.address >> shift) & 0xffffn).toString(16));
  }
  return compressZeros(groups);
}

/** The first longest run of two or more zero groups becomes `::` (RFC 5952, section 4.2). */
function compressZeros(groups: readonly string[]): string {
  let best = { start: 0, length: 1 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length < 2) return groups.join(":");
  const head = groups.slice(0, best.start).join(":");
  return `${head}::${groups.slice(best.start + best.length).join(":")}`;
}

/** Every address of `inner` is in `outer`. */
export function prefixContains(outer: Prefix, inner: Prefix): boolean {
  if (outer.family !== inner.family || outer.length > inner.length) return false;
  const shift = BigInt(BITS[outer.family] - outer.length);
  return outer.address >> shift === inner.address >> shift;
}

/**
 * Label key of a prefix. Label keys have no colons and neither start nor end with a dash, so
 * `::/0` is `0--0/0`.
 */
export function cidrLabelKey(prefix: Prefix): string {
  let address = formatAddress(prefix);
  if (address.startsWith(":")) address = `0${address}`;
  if (address.endsWith(":")) address = `${address}0`;
  return `${address.replaceAll(":", "-")}/${prefix.length}`;
}

/** Inverse of `cidrLabelKey`. */
export function parseCidrLabelKey(key: string): Prefix | undefined {
  return parsePrefix(key.replaceAll("-", ":"));
}

/**
 * Labels of the identity that stands for a prefix: the prefix itself and the world of its family.
 * Broader prefixes are not listed; selectors compare by containment, so an IPv6 address does not
 * carry 128 labels through every flow.
 */
export function cidrLabels(prefix: Prefix): Label[] {
  const world = reservedLabel(WORLD_OF_FAMILY[prefix.family]);
  if (prefix.length === 0) return [world];
  return [cidrLabel(prefix), world];
}

export function cidrLabel(prefix: Prefix): Label {
  return { source: SOURCE_CIDR, key: cidrLabelKey(prefix), value: "" };
}

export function isWorldLabel(label: Label): boolean {
  return (
    label.source === SOURCE_RESERVED &&
    (label.key === WORLD || label.key === WORLD_OF_FAMILY[4] || label.key === WORLD_OF_FAMILY[6])
  );
}
