/**
 * Code points to UTF-8: a set of code points becomes a tree of byte ranges, each path of which is
 * one to four bytes long (RFC 3629). Only well-formed UTF-8 is in it: overlong forms, surrogates
 * and stray bytes match no class, as in RE2.
 */
import type { CodePoints } from "./code-points.ts";

/** Inclusive byte range. */
export type ByteRange = readonly [low: number, high: number];

const LENGTH_LIMITS = [0x7f, 0x7ff, 0xffff, 0x10_ffff] as const;

/** Byte sequences that spell exactly the members of `set`, in order of their first code point. */
export function byteSequences(set: CodePoints): ByteRange[][] {
  const sequences: ByteRange[][] = [];
  for (let index = 0; index < set.length; index += 2) {
    let low = set[index] ?? 0;
    const high = set[index + 1] ?? 0;
    for (const limit of LENGTH_LIMITS) {
      if (low > limit || low > high) continue;
      splitRange(low, Math.min(high, limit), sequences);
      low = limit + 1;
    }
  }
  return sequences;
}

/** Splits where continuation bytes are not full, so that each byte's range is independent. */
function splitRange(low: number, high: number, into: ByteRange[][]): void {
  for (let bits = 6; bits <= 18 && high > 0x7f; bits += 6) {
    const mask = 2 ** bits - 1;
    if (low - (low % (mask + 1)) === high - (high % (mask + 1))) continue;
    if ((low & mask) !== 0) {
      splitRange(low, low | mask, into);
      splitRange((low | mask) + 1, high, into);
      return;
    }
    if ((high & mask) !== mask) {
      splitRange(low, high - (high & mask) - 1, into);
      splitRange(high - (high & mask), high, into);
      return;
    }
  }
  const first = encode(low);
  const last = encode(high);
  into.push(first.map((byte, index) => [byte, last[index] ?? byte] as const));
}

function encode(point: number): number[] {
  if (point <= 0x7f) return [point];
  if (point <= 0x7ff) return [0xc0 | (point >> 6), 0x80 | (point & 0x3f)];
  if (point <= 0xffff) {
    return [0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f)];
  }
  return [
    0xf0 | (point >> 18),
    0x80 | ((point >> 12) & 0x3f),
    0x80 | ((point >> 6) & 0x3f),
    0x80 | (point & 0x3f),
  ];
}
