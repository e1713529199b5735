/**
 * A denied prefix: text in, numbers out, and back. An address is one 32-bit word for IPv4 and four
 * for IPv6, the first one the most significant.
 */
import { isIPv4 } from "node:net";
import { parsePrefix, readAddress, writeAddress } from "../datapath/address.ts";

export type Family = 4 | 6;

/** How many 32-bit words an address has. */
export const WORDS: Readonly<Record<Family, number>> = { 4: 1, 6: 4 };

export interface Prefix {
  family: Family;
  /** As many as the family has; bits behind the prefix are 0. */
  words: readonly number[];
  bits: number;
}

/** A text that is no prefix; `message` says what is wrong with it. */
export class PrefixError extends Error {
  override readonly name = "PrefixError";
  readonly status = 400;
}

const MAPPED_WORD = 0xffff;
const scratch = (): DataView => new DataView(new ArrayBuffer(16));

/**
 * `10.0.0.0/8`, `2001:db8::/32`, or an address for itself. Bits behind the prefix are cleared.
 * @throws PrefixError
 */
export function parseDenied(text: string): Prefix {
  if (!/^[0-9a-fA-F:.]+(\/\d{1,3})?$/.test(text)) {
    throw new PrefixError(`Cannot read prefix ${JSON.stringify(text)}: expected ADDRESS[/BITS]`);
  }
  const view = scratch();
  let bits: number;
  let family: Family;
  try {
    const prefix = parsePrefix(text);
    writeAddress(new Uint8Array(view.buffer), 0, prefix.address);
    family = isIPv4(prefix.address) ? 4 : 6;
    bits = family === 4 ? prefix.bits - 96 : prefix.bits;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new PrefixError(reason, { cause });
  }
  const from = family === 4 ? 12 : 0;
  const words = Array.from({ length: WORDS[family] }, (_, at) =>
    maskWord(view.getUint32(from + at * 4), bits - at * 32),
  );
  if (family === 6 && bits >= 96 && isMapped(words)) {
    throw new PrefixError(`Cannot deny ${text}: it is an IPv4 address; write it as one`);
  }
  return { family, words, bits };
}

/** The text that `parseDenied` reads, always with its length. */
export function formatDenied({ family, words, bits }: Prefix): string {
  return `${formatWords(family, (at) => words[at] ?? 0)}/${bits}`;
}

/** `wordAt` gives the address's words from the most significant on. */
export function formatWords(family: Family, wordAt: (at: number) => number): string {
  if (family === 4) {
    const word = wordAt(0);
    return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
  }
  const view = scratch();
  for (let at = 0; at < 4; at++) view.setUint32(at * 4, wordAt(at));
  return readAddress(new Uint8Array(view.buffer), 0);
}

/** The leading `bits` of a word (none below 1, all from 32 on). */
export function maskWord(word: number, bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? word >>> 0 : (word & (-1 << (32 - bits))) >>> 0;
}

/** Is every address of `inner` in `outer`? */
export function contains(outer: Prefix, inner: Prefix): boolean {
  if (outer.family !== inner.family || outer.bits > inner.bits) return false;
  return outer.words.every(
    (word, at) => maskWord(inner.words[at] ?? 0, outer.bits - at * 32) === word,
  );
}

const isMapped = ([a, b, c]: readonly number[]): boolean => a === 0 && b === 0 && c === MAPPED_WORD;
