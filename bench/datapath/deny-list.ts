/**
 * Lists like those people publish, and packets' sources for them: half inside a random prefix of
 * the list; of the others half next to one (its last bit turned), half anywhere.
 */
import { type Family, maskWord, type Prefix, WORDS } from "../../host/prefilter/prefix.ts";

const SEED = 7;

/** Length in bits and how many of a hundred prefixes have it. */
const LENGTHS: Readonly<Record<Family, readonly (readonly [bits: number, share: number])[]>> = {
  4: [
    ...([
      [32, 60],
      [24, 20],
      [22, 5],
      [20, 4],
      [28, 4],
      [30, 4],
      [16, 3],
    ] as const),
  ],
  6: [
    ...([
      [64, 40],
      [48, 30],
      [128, 12],
      [56, 8],
      [32, 5],
      [44, 3],
      [29, 2],
    ] as const),
  ],
};

/** Numbers from 0 up to, not including, 2^32; the same for the same seed. */
export type Words = () => number;

export function seededWords(seed = SEED): Words {
  let state = seed;
  return () => {
    // Mulberry32.
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (mixed ^ (mixed >>> 14)) >>> 0;
  };
}

export function denyList(family: Family, count: number, random: Words): Prefix[] {
  return Array.from({ length: count }, () => {
    const bits = lengthOf(family, random() % 100);
    const words = anywhere(family, random).map((word, at) => maskWord(word, bits - at * 32));
    return { family, words, bits };
  });
}

/** `denied`: all of them are inside a prefix of the list. */
export type SourceKind = "mixed" | "denied";

/** `list` is not empty. */
export function sourcesFor(
  kind: SourceKind,
  list: readonly Prefix[],
  count: number,
  random: Words,
): number[][] {
  return Array.from({ length: count }, () => {
    const roll = kind === "denied" ? 0 : random() % 4;
    const prefix = list[random() % list.length];
    const address = anywhere(prefix?.family ?? 4, random);
    if (roll === 3 || prefix === undefined) return address;
    const inside = address.map((word, at) => {
      const kept = prefix.bits - at * 32;
      return (((prefix.words[at] ?? 0) | (word & ~maskWord(0xffffffff, kept))) >>> 0) as number;
    });
    if (roll < 2) return inside;
    const last = prefix.bits - 1;
    return inside.map((word, at) =>
      at === last >>> 5 ? (word ^ (1 << (31 - (last & 31)))) >>> 0 : word,
    );
  });
}

/** An address of any network; of IPv6 in 2000::/3, which is all that is given out. */
function anywhere(family: Family, random: Words): number[] {
  return Array.from({ length: WORDS[family] }, (_, at) =>
    family === 6 && at === 0 ? ((random() >>> 3) | 0x20000000) >>> 0 : random(),
  );
}

function lengthOf(family: Family, roll: number): number {
  let left = roll;
  for (const [bits, share] of LENGTHS[family]) {
    if (left < share) return bits;
    left -= share;
  }
  return WORDS[family] * 32;
}
