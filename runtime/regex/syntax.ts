/**
 * Parses RE2 syntax (https://github.com/google/re2/wiki/Syntax, as Go's regexp/syntax documents it
 * with Perl flags) into a tree. Greediness and captures do not change what a full match accepts, so
 * the tree does not keep them. Classes and escapes are class-syntax.ts's part.
 */
import { ClassParser, isWordName } from "./class-syntax.ts";
import type { CodePoints } from "./code-points.ts";
import { ANY, CODE_POINT_MAX } from "./code-points.ts";
import { PatternError } from "./pattern-error.ts";
import type { UnicodeTables } from "./unicode.ts";

/** UTF-16 units of a pattern's source. */
export const SOURCE_LENGTH_MAX = 65_536;
/** Groups within groups. */
export const NESTING_MAX = 250;
/** Largest count of {n,m}, and largest product of nested counts, as in RE2. */
export const REPEAT_MAX = 1_000;

export type Assertion = "textStart" | "textEnd" | "lineStart" | "lineEnd" | "word" | "notWord";

export type Tree =
  | { kind: "empty" }
  | { kind: "set"; set: CodePoints }
  | { kind: "assert"; what: Assertion }
  | { kind: "concat"; items: Tree[] }
  | { kind: "alternate"; items: Tree[] }
  /** `most` Infinity for an open end. */
  | { kind: "repeat"; item: Tree; least: number; most: number };

interface Flags {
  fold: boolean;
  dotAll: boolean;
  multiline: boolean;
}

const ALL_BUT_NEWLINE: CodePoints = [0, 9, 11, 0xd7ff, 0xe000, CODE_POINT_MAX];
const EMPTY: Tree = { kind: "empty" };

/** Parses `source`. Throws PatternError. */
export function parsePattern(source: string, unicode: UnicodeTables): Tree {
  if (source.length > SOURCE_LENGTH_MAX) {
    const state = `${source.length} characters, limit ${SOURCE_LENGTH_MAX}`;
    throw new PatternError("limit", SOURCE_LENGTH_MAX, state);
  }
  const tree = new Parser(source, unicode).parse();
  checkRepeats(tree, 1);
  return tree;
}

class Parser extends ClassParser {
  #flags: Flags = { fold: false, dotAll: false, multiline: false };
  #depth = 0;
  readonly #names = new Set<string>();

  parse(): Tree {
    const tree = this.#alternation();
    if (!this.done) throw this.error("unexpected )");
    return tree;
  }

  #alternation(): Tree {
    const items = [this.#sequence()];
    while (this.accept("|")) items.push(this.#sequence());
    return items.length === 1 ? (items[0] ?? EMPTY) : { kind: "alternate", items };
  }

  #sequence(): Tree {
    const items: Tree[] = [];
    while (!this.done && !this.looking("|") && !this.looking(")")) {
      if (this.accept("\\Q")) this.#quoted(items);
      else {
        const item = this.#atom();
        if (item !== undefined) items.push(item);
      }
      this.#repeatLast(items);
    }
    return items.length === 1 ? (items[0] ?? EMPTY) : { kind: "concat", items };
  }

  /** One atom; undefined for what matches by itself nothing, such as a change of flags. */
  #atom(): Tree | undefined {
    const start = this.position;
    if (this.accept("(")) return this.#group(start);
    if (this.accept("[")) return { kind: "set", set: this.bracket(start, this.#flags.fold) };
    if (this.accept(".")) return { kind: "set", set: this.#flags.dotAll ? ANY : ALL_BUT_NEWLINE };
    if (this.accept("^")) {
      return { kind: "assert", what: this.#flags.multiline ? "lineStart" : "textStart" };
    }
    if (this.accept("$")) {
      return { kind: "assert", what: this.#flags.multiline ? "lineEnd" : "textEnd" };
    }
    if (this.looking("\\")) return this.#escape();
    if (this.#operator() !== undefined) {
      this.position = start;
      throw this.error("missing argument to repetition");
    }
    return this.#literal(this.next());
  }

  #literal(point: number): Tree {
    const set = this.#flags.fold
      ? this.unicode.orbit(point).flatMap((at) => [at, at])
      : [point, point];
    return { kind: "set", set };
  }

  #escape(): Tree | undefined {
    if (this.accept("\\A")) return { kind: "assert", what: "textStart" };
    if (this.accept("\\z")) return { kind: "assert", what: "textEnd" };
    if (this.accept("\\b")) return { kind: "assert", what: "word" };
    if (this.accept("\\B")) return { kind: "assert", what: "notWord" };
    const set = this.classEscape(this.#flags.fold);
    if (set !== undefined) return { kind: "set", set };
    return this.#literal(this.literalEscape());
  }

  /** Up to \E, a literal each: a repetition behind it binds to the last, as in RE2. */
  #quoted(items: Tree[]): void {
    while (!this.done && !this.accept("\\E")) items.push(this.#literal(this.next()));
  }

  #group(start: number): Tree | undefined {
    const outer = this.#flags;
    if (this.accept("?P<") || this.accept("?<")) this.#name(start);
    else if (this.accept("?")) {
      this.#flags = this.#readFlags(start);
      if (this.accept(")")) return undefined;
      this.expect(":");
    }
    this.#depth += 1;
    if (this.#depth > NESTING_MAX) {
      throw new PatternError("limit", start, `more than ${NESTING_MAX} nested groups`);
    }
    const tree = this.#alternation();
    this.#depth -= 1;
    if (!this.accept(")")) throw new PatternError("syntax", start, "missing )");
    this.#flags = outer;
    return tree;
  }

  #name(start: number): void {
    const end = this.source.indexOf(">", this.position);
    const name = end < 0 ? "" : this.source.slice(this.position, end);
    if (!isWordName(name)) throw new PatternError("syntax", start, "invalid group name");
    if (this.#names.has(name)) throw new PatternError("syntax", start, "duplicate group name");
    this.#names.add(name);
    this.position = end + 1;
  }

  #readFlags(start: number): Flags {
    const flags = { ...this.#flags };
    let value = true;
    let seen = false;
    while (!this.looking(")") && !this.looking(":")) {
      seen = true;
      if (this.accept("i")) flags.fold = value;
      else if (this.accept("m")) flags.multiline = value;
      else if (this.accept("s")) flags.dotAll = value;
      else if (this.accept("-") && value) {
        value = false;
        seen = false;
      } else if (!this.accept("U")) {
        throw new PatternError("syntax", start, "unknown group or flag (RE2 has no lookaround)");
      }
    }
    if (!value && !seen) throw new PatternError("syntax", start, "missing flag behind -");
    return flags;
  }

  /** Applies the repetition at the cursor, of which RE2 allows one, to the item before it. */
  #repeatLast(items: Tree[]): void {
    const start = this.position;
    const counts = this.#operator();
    if (counts === undefined) return;
    this.accept("?");
    const nested = this.position;
    if (this.#operator() !== undefined) {
      throw new PatternError("syntax", nested, "nested repetition operator");
    }
    const item = items.pop();
    if (item === undefined) {
      throw new PatternError("syntax", start, "missing argument to repetition");
    }
    items.push({ kind: "repeat", item, least: counts[0], most: counts[1] });
  }

  #operator(): [number, number] | undefined {
    if (this.accept("*")) return [0, Number.POSITIVE_INFINITY];
    if (this.accept("+")) return [1, Number.POSITIVE_INFINITY];
    if (this.accept("?")) return [0, 1];
    if (!this.looking("{")) return undefined;
    const counts = /^\{(\d+)(,?)(\d*)\}/.exec(this.source.slice(this.position, this.position + 32));
    if (counts === null || (counts[2] === "" && counts[3] !== "")) return undefined;
    const least = count(counts[1]);
    let most = least;
    if (counts[2] === ",") most = counts[3] === "" ? Number.POSITIVE_INFINITY : count(counts[3]);
    if (Number.isNaN(least) || Number.isNaN(most)) return undefined;
    const largest = Number.isFinite(most) ? most : least;
    if (largest > REPEAT_MAX || least > largest) {
      throw this.error(`repeat count must be ordered and at most ${REPEAT_MAX}`);
    }
    this.position += counts[0].length;
    return [least, most];
  }
}

/** A decimal without leading zeros; NaN makes the brace a literal, as in RE2. */
function count(digits: string | undefined): number {
  if (digits === undefined || (digits.length > 1 && digits.startsWith("0"))) return Number.NaN;
  return Number(digits);
}

function checkRepeats(tree: Tree, product: number): void {
  if (tree.kind === "concat" || tree.kind === "alternate") {
    for (const item of tree.items) checkRepeats(item, product);
  } else if (tree.kind === "repeat") {
    const largest = Number.isFinite(tree.most) ? tree.most : tree.least;
    const inner = product * Math.max(largest, 1);
    if (inner > REPEAT_MAX) {
      throw new PatternError("limit", 0, `nested repeat counts above ${REPEAT_MAX}`);
    }
    checkRepeats(tree.item, inner);
  }
}
