/**
 * Tells code, comments and strings apart in TypeScript and C, so that a rule about one of them is
 * not fooled by the others. Not a parser: what it must get right is where each of them ends.
 */

export interface Span {
  /** Offset of the first character, delimiter included. */
  readonly start: number;
  /** Without delimiters, escapes as written. */
  readonly text: string;
}

export interface Scan {
  /** The text with comments and the insides of strings blanked; offsets and lines are kept. */
  readonly code: string;
  readonly comments: readonly Span[];
  readonly strings: readonly Span[];
}

/** After these a `/` begins a regular expression; after anything else it divides. */
const BEFORE_REGEX =
  /(^|[(,=:[!&|?{;+\-*%<>~^]|\b(return|typeof|case|in|of|void|delete|await))\s*$/;
const BEFORE_REGEX_WINDOW_CHARACTERS = 80;

class Scanner {
  readonly #text: string;
  readonly #family: "ts" | "c";
  readonly comments: Span[] = [];
  readonly strings: Span[] = [];
  readonly #code: string[] = [];
  /** For each open `${`: how many braces are open inside it. */
  readonly #templates: number[] = [];
  #at = 0;

  constructor(text: string, family: "ts" | "c") {
    this.#text = text;
    this.#family = family;
  }

  run(): Scan {
    while (this.#at < this.#text.length) this.#step();
    return { code: this.#code.join(""), comments: this.comments, strings: this.strings };
  }

  #step(): void {
    const text = this.#text;
    const at = this.#at;
    const c = text[at];
    if (text.startsWith("//", at)) this.#comment(2, "\n", 0);
    else if (text.startsWith("/*", at)) this.#comment(2, "*/", 2);
    else if (at === 0 && text.startsWith("#!")) this.#comment(2, "\n", 0);
    else if (c === '"' || c === "'") this.#string(c);
    else if (this.#family === "ts" && c === "`") this.#template();
    else if (this.#family === "ts" && c === "/" && this.#regexMayBegin()) this.#regex();
    else if (this.#closesTemplate(c)) this.#template();
    else {
      this.#code.push(c ?? "");
      this.#at++;
    }
  }

  /** Keeps count of braces inside `${ }`; true at the one that ends the substitution. */
  #closesTemplate(c: string | undefined): boolean {
    const depth = this.#templates.at(-1);
    if (depth === undefined) return false;
    if (c === "{") this.#templates[this.#templates.length - 1] = depth + 1;
    if (c !== "}") return false;
    if (depth === 0) {
      this.#templates.pop();
      return true;
    }
    this.#templates[this.#templates.length - 1] = depth - 1;
    return false;
  }

  #comment(opening: number, closing: string, closingLength: number): void {
    const start = this.#at;
    const found = this.#text.indexOf(closing, start + opening);
    const inner = found === -1 ? this.#text.length : found;
    this.comments.push({ start, text: this.#text.slice(start + opening, inner) });
    this.#blankTo(Math.min(inner + closingLength, this.#text.length));
  }

  #string(quote: string): void {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== quote && this.#text[end] !== "\n") {
      end += this.#text[end] === "\\" ? 2 : 1;
    }
    end = Math.min(end, this.#text.length);
    this.strings.push({ start, text: this.#text.slice(start + 1, end) });
    this.#code.push(quote);
    this.#at = start + 1;
    this.#blankTo(end);
    if (this.#text[end] === quote) {
      this.#code.push(quote);
      this.#at = end + 1;
    }
  }

  /** From a backtick, or from the brace that ends a substitution, to the next of either. */
  #template(): void {
    const start = this.#at;
    let end = start + 1;
    while (end < this.#text.length && this.#text[end] !== "`") {
      if (this.#text.startsWith("${", end)) break;
      end += this.#text[end] === "\\" ? 2 : 1;
    }
    end = Math.min(end, this.#text.length);
    this.strings.push({ start, text: this.#text.slice(start + 1, end) });
    const substitutes = this.#text.startsWith("${", end);
    if (substitutes) this.#templates.push(0);
    this.#blankTo(Math.min(end + (substitutes ? 2 : 1), this.#text.length));
  }

  #regexMayBegin(): boolean {
    const window = this.#code.slice(-BEFORE_REGEX_WINDOW_CHARACTERS).join("");
    return BEFORE_REGEX.test(window);
  }

  #regex(): void {
    let inClass = false;
    let end = this.#at + 1;
    for (; end < this.#text.length && this.#text[end] !== "\n"; end++) {
      const c = this.#text[end];
      if (c === "\\") end++;
      else if (c === "[") inClass = true;
      else if (c === "]") inClass = false;
      else if (c === "/" && !inClass) break;
    }
    this.#blankTo(Math.min(end + 1, this.#text.length));
  }

  #blankTo(end: number): void {
    for (; this.#at < end; this.#at++) this.#code.push(this.#text[this.#at] === "\n" ? "\n" : " ");
  }
}

export function scan(text: string, family: "ts" | "c"): Scan {
  return new Scanner(text, family).run();
}
