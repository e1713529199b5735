/** Random lists and addresses on their edges, and the plainest oracle there is. */
import fc from "fast-check";
import { type Family, maskWord, type Prefix, WORDS } from "../prefix.ts";

/** Addresses that share long beginnings, so that prefixes nest and neighbours touch. */
export function addresses(family: Family): fc.Arbitrary<number[]> {
  const few = fc.constantFrom(0, 1, 0xff, 0x100, 0x0fffffff, 0xffffffff);
  const first = fc.constantFrom(0, 0x0a000000, 0x20010db8, 0xffffffff, 0x7fffffff, 0x80000000);
  return fc.tuple(first, few, few, few, fc.nat(4095)).map(([top, second, third, last, low]) => {
    if (family === 4) return [(top ^ low ^ (second & 0xfff00)) >>> 0];
    return [top, second, third, (last ^ low) >>> 0];
  });
}

export function prefixes(family: Family): fc.Arbitrary<Prefix> {
  const longest = WORDS[family] * 32;
  const lengths = fc.oneof(
    { weight: 4, arbitrary: fc.integer({ min: longest - 14, max: longest }) },
    { weight: 4, arbitrary: fc.integer({ min: 1, max: longest }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 8, 20, 24, longest) },
  );
  return fc.tuple(addresses(family), lengths).map(([words, bits]) => ({
    family,
    words: words.map((word, at) => maskWord(word, bits - at * 32)),
    bits,
  }));
}

/** The addresses at both ends of a prefix, and beside them. */
export function edges({ family, words, bits }: Prefix): number[][] {
  const width = BigInt(WORDS[family] * 32);
  const first = words.reduce((sum, word) => (sum << 32n) | BigInt(word), 0n);
  const behind = first + (1n << (width - BigInt(bits)));
  return [first, first - 1n, behind - 1n, behind].map((value) => {
    const address = BigInt.asUintN(Number(width), value);
    return words.map((_, at) => Number((address >> (width - 32n * BigInt(at + 1))) & 0xffffffffn));
  });
}

export function isDeniedPlainly(list: Iterable<Prefix>, address: readonly number[]): boolean {
  for (const { words, bits } of list) {
    if (words.every((word, at) => maskWord(address[at] ?? 0, bits - at * 32) === word)) return true;
  }
  return false;
}
