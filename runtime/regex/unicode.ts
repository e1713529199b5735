/**
 * Unicode as RE2 sees it, derived from the engine's own tables: ranges of a general category or
 * script, and simple case folding (CaseFolding.txt, status C and S), which is what the `iu` flags
 * of a JavaScript RegExp compare by. Tables are built per compilation, when a pattern needs them.
 * The engine's Unicode version counts (17 in Node 26), where RE2 pins its own.
 */
import type { CodePoints } from "./code-points.ts";
import { contains, normalise, union, withoutSurrogates } from "./code-points.ts";

/** General categories of RE2: one or two letters; it has no Cn. */
const CATEGORY = /^(?:C[cfos]|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?)$/;
const SCRIPT = /^[A-Z][A-Za-z]*(?:_[A-Z][A-Za-z]*)*$/;
/** Nothing but private use (Co) is assigned between planes 4 and 13, nor in 15 and 16. */
const SCANNED: readonly [number, number][] = [
  [0, 0x3_ffff],
  [0xe_0000, 0xe_0fff],
];
const PRIVATE_PLANES = [0xf_0000, 0xf_fffd, 0x10_0000, 0x10_fffd];
/** Nothing above is folded (Adlam ends at 1E943). */
const FOLDED_MAX = 0x1_ffff;

/** ASCII members of folding orbits with more than the two letters. */
const ASCII_ORBITS = new Map([
  ["k", [0x4b, 0x6b, 0x212a]],
  ["s", [0x53, 0x73, 0x17f]],
]);

/** Unicode tables for one compilation; each is built once, on first use. */
export class UnicodeTables {
  readonly #classes = new Map<string, CodePoints>();
  #orbits: readonly (readonly number[])[] | undefined;
  #orbitOf: Map<number, readonly number[]> | undefined;

  /** Classes built so far: each costs a scan of about 10 ms, so the parser bounds them. */
  get size(): number {
    return this.#classes.size;
  }

  /** Code points of a general category, a script or Any; undefined when there is none so named. */
  named(name: string): CodePoints | undefined {
    const known = this.#classes.get(name);
    if (known !== undefined) return known;
    const set = this.#build(name);
    if (set !== undefined) this.#classes.set(name, set);
    return set;
  }

  #build(name: string): CodePoints | undefined {
    if (name === "Any") return [0, 0xd7ff, 0xe000, 0x10_ffff];
    if (name === "C") {
      return union(...["Cc", "Cf", "Co"].map((category) => this.named(category) ?? []));
    }
    if (name === "Cs") return [];
    if (CATEGORY.test(name)) return scan(new RegExp(`^\\p{gc=${name}}$`, "u"), name === "Co");
    if (!SCRIPT.test(name)) return undefined;
    try {
      return scan(new RegExp(`^\\p{sc=${name}}$`, "u"), false);
    } catch {
      return undefined;
    }
  }

  /** Everything that folds to the same as `point`, itself included. */
  orbit(point: number): readonly number[] {
    if (point < 0x80) {
      const lower = String.fromCharCode(point).toLowerCase();
      if (lower < "a" || lower > "z") return [point];
      const upper = lower.charCodeAt(0) - 32;
      return ASCII_ORBITS.get(lower) ?? [upper, upper + 32];
    }
    return this.#foldOrbits().get(point) ?? [point];
  }

  /** `set` with everything that folds to one of its members. */
  fold(set: CodePoints): CodePoints {
    this.#foldOrbits();
    const added: number[] = [];
    for (const orbit of this.#orbits ?? []) {
      if (!orbit.some((point) => contains(set, point))) continue;
      for (const point of orbit) added.push(point, point);
    }
    return normalise([...set, ...added]);
  }

  #foldOrbits(): Map<number, readonly number[]> {
    if (this.#orbitOf === undefined) {
      this.#orbits = buildOrbits();
      this.#orbitOf = new Map(this.#orbits.flatMap((orbit) => orbit.map((at) => [at, orbit])));
    }
    return this.#orbitOf;
  }
}

function scan(test: RegExp, privateUse: boolean): CodePoints {
  const ranges: number[] = privateUse ? [...PRIVATE_PLANES] : [];
  for (const [first, last] of SCANNED) {
    let start = -1;
    for (let point = first; point <= last + 1; point += 1) {
      const inside = point <= last && test.test(String.fromCodePoint(point));
      if (inside && start < 0) start = point;
      if (!inside && start >= 0) {
        ranges.push(start, point - 1);
        start = -1;
      }
    }
  }
  return withoutSurrogates(normalise(ranges));
}

/** Groups code points by simple folding: candidates from case mapping, kept if RegExp agrees. */
function buildOrbits(): (readonly number[])[] {
  const orbitOf = new Map<number, Set<number>>();
  const join = (a: number, b: number): void => {
    const merged = new Set([...(orbitOf.get(a) ?? [a]), ...(orbitOf.get(b) ?? [b])]);
    for (const point of merged) orbitOf.set(point, merged);
  };
  for (let point = 0x41; point <= FOLDED_MAX; point += 1) {
    if (point === 0xd800) point = 0xe000;
    const text = String.fromCodePoint(point);
    for (const mapped of [text.toLowerCase(), text.toUpperCase()]) {
      const other = mapped.codePointAt(0) ?? point;
      if (other === point || String.fromCodePoint(other) !== mapped) continue;
      const escaped = `^\\u{${other.toString(16)}}$`;
      if (new RegExp(escaped, "iu").test(text)) join(point, other);
    }
  }
  return [...new Set(orbitOf.values())].map((orbit) => [...orbit].sort((a, b) => a - b));
}
