/**
 * The part of the pattern parser that reads escapes and bracket classes into sets of code points:
 * \d \s \w, POSIX classes, \p{..}, ranges, negation and case folding. Syntax errors carry the
 * position in the source.
 */
import type { CodePoints } from "./code-points.ts";
import { negate, union, withoutSurrogates } from "./code-points.ts";
import { PatternError } from "./pattern-error.ts";
import type { UnicodeTables } from "./unicode.ts";

/** Different \p classes of one pattern; building each scans the code space. */
export const UNICODE_CLASSES_MAX = 16;

const DIGIT: CodePoints = [0x30, 0x39];
const SPACE: CodePoints = [0x09, 0x0a, 0x0c, 0x0d, 0x20, 0x20];
const WORD: CodePoints = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];

const POSIX = new Map<string, CodePoints>([
  ["alnum", [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a]],
  ["alpha", [0x41, 0x5a, 0x61, 0x7a]],
  ["ascii", [0x00, 0x7f]],
  ["blank", [0x09, 0x09, 0x20, 0x20]],
  ["cntrl", [0x00, 0x1f, 0x7f, 0x7f]],
  ["digit", DIGIT],
  ["graph", [0x21, 0x7e]],
  ["lower", [0x61, 0x7a]],
  ["print", [0x20, 0x7e]],
  ["punct", [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e]],
  ["space", [0x09, 0x0d, 0x20, 0x20]],
  ["upper", [0x41, 0x5a]],
  ["word", WORD],
  ["xdigit", [0x30, 0x39, 0x41, 0x46, 0x61, 0x66]],
]);

const CONTROL = new Map([
  ["a", 0x07],
  ["f", 0x0c],
  ["t", 0x09],
  ["n", 0x0a],
  ["r", 0x0d],
  ["v", 0x0b],
]);

export function isWordName(name: string): boolean {
  return /^[\p{L}\p{N}_]+$/u.test(name);
}

/** A cursor over the source with everything that reads characters and classes. */
export class ClassParser {
  readonly source: string;
  readonly unicode: UnicodeTables;
  position = 0;

  constructor(source: string, unicode: UnicodeTables) {
    this.source = source;
    this.unicode = unicode;
  }

  get done(): boolean {
    return this.position >= this.source.length;
  }

  error(state: string): PatternError {
    return new PatternError("syntax", this.position, state);
  }

  looking(text: string): boolean {
    return this.source.startsWith(text, this.position);
  }

  accept(text: string): boolean {
    if (!this.looking(text)) return false;
    this.position += text.length;
    return true;
  }

  expect(text: string): void {
    if (!this.accept(text)) throw this.error(`missing ${text}`);
  }

  /** The next code point. */
  next(): number {
    const point = this.source.codePointAt(this.position);
    if (point === undefined) throw this.error("unexpected end");
    if (point >= 0xd800 && point <= 0xdfff) throw this.error("lone surrogate");
    this.position += point > 0xffff ? 2 : 1;
    return point;
  }

  /** \d, \p{..} and the like at the cursor; undefined, and nothing read, when it is none. */
  classEscape(fold: boolean): CodePoints | undefined {
    const letter = this.source[this.position + 1] ?? "";
    if (!this.looking("\\")) return undefined;
    if (letter === "p" || letter === "P") return this.#unicodeClass(letter === "P", fold);
    const perl = { d: DIGIT, s: SPACE, w: WORD }[letter.toLowerCase()];
    if (perl === undefined) return undefined;
    this.position += 2;
    const set = fold ? this.unicode.fold(perl) : perl;
    return letter === letter.toLowerCase() ? set : negate(set);
  }

  #unicodeClass(upper: boolean, fold: boolean): CodePoints {
    const start = this.position;
    this.position += 2;
    let name = String.fromCodePoint(this.next());
    if (name === "{") {
      const end = this.source.indexOf("}", this.position);
      if (end < 0) throw new PatternError("syntax", start, "missing } of \\p");
      name = this.source.slice(this.position, end);
      this.position = end + 1;
    }
    const negated = name.startsWith("^");
    const set = this.unicode.named(negated ? name.slice(1) : name);
    if (set === undefined) throw new PatternError("syntax", start, "unknown Unicode class");
    if (this.unicode.size > UNICODE_CLASSES_MAX) {
      throw new PatternError("limit", start, `more than ${UNICODE_CLASSES_MAX} Unicode classes`);
    }
    const folded = fold ? this.unicode.fold(set) : set;
    return upper === negated ? folded : negate(folded);
  }

  /** An escaped single character at the cursor. */
  literalEscape(): number {
    const start = this.position;
    this.expect("\\");
    if (this.done) throw new PatternError("syntax", start, "trailing \\");
    const point = this.next();
    const letter = String.fromCodePoint(point);
    const control = CONTROL.get(letter);
    if (control !== undefined) return control;
    if (letter === "x") return this.#hexadecimal(start);
    if (letter >= "0" && letter <= "7") return this.#octal(start, letter);
    if (point < 0x80 && !/[0-9A-Za-z]/.test(letter)) return point;
    throw new PatternError("syntax", start, `escape \\${letter} (RE2 has no backreferences)`);
  }

  #octal(start: number, first: string): number {
    let digits = first;
    while (digits.length < 3 && /^[0-7]$/.test(this.source[this.position] ?? "")) {
      digits += this.source[this.position];
      this.position += 1;
    }
    if (first !== "0" && digits.length === 1) {
      throw new PatternError("syntax", start, "backreference, which RE2 does not have");
    }
    return Number.parseInt(digits, 8);
  }

  #hexadecimal(start: number): number {
    const rest = this.source.slice(this.position, this.position + 10);
    const found = /^(?:\{([0-9A-Fa-f]{1,8})\}|([0-9A-Fa-f]{2}))/.exec(rest);
    const point = Number.parseInt(found?.[1] ?? found?.[2] ?? "", 16);
    if (found === null || point > 0x10_ffff) {
      throw new PatternError("syntax", start, "invalid \\x escape");
    }
    this.position += found[0].length;
    return point;
  }

  /** A class, the cursor behind its `[`. */
  bracket(start: number, fold: boolean): CodePoints {
    const negated = this.accept("^");
    const parts: CodePoints[] = [];
    for (let first = true; first || !this.looking("]"); first = false) {
      if (this.done) throw new PatternError("syntax", start, "missing ]");
      const posix = this.#posix(fold) ?? this.classEscape(fold);
      if (posix !== undefined) parts.push(posix);
      else parts.push(this.#range(start));
    }
    this.expect("]");
    // The other parts are closed under folding already, so folding the union folds the ranges only.
    const set = fold ? this.unicode.fold(union(...parts)) : union(...parts);
    return negated ? negate(set) : withoutSurrogates(set);
  }

  #posix(fold: boolean): CodePoints | undefined {
    if (!this.looking("[:")) return undefined;
    const end = this.source.indexOf(":]", this.position + 2);
    if (end < 0) return undefined;
    const name = this.source.slice(this.position + 2, end);
    const negated = name.startsWith("^");
    const set = POSIX.get(negated ? name.slice(1) : name);
    if (set === undefined) throw this.error(`unknown class [:${name}:]`);
    this.position = end + 2;
    const folded = fold ? this.unicode.fold(set) : set;
    return negated ? negate(folded) : folded;
  }

  #range(start: number): CodePoints {
    const low = this.#classCharacter(start);
    let high = low;
    if (this.looking("-") && !this.looking("-]") && this.position + 1 < this.source.length) {
      this.position += 1;
      high = this.#classCharacter(start);
    }
    if (high < low) throw this.error("range out of order");
    return [low, high];
  }

  #classCharacter(start: number): number {
    if (this.done) throw new PatternError("syntax", start, "missing ]");
    return this.looking("\\") ? this.literalEscape() : this.next();
  }
}
