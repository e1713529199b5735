/**
 * Cuts SQL into tokens as PostgreSQL's scanner does: comments (nested), strings with and without
 * escapes, dollar quotes, quoted names. Where a setting of the session decides how the server reads
 * (backslashes before a quote, encodings whose characters end in a backslash), the token is BAD:
 * a text that could be read in two ways is not read at all.
 */
import type { Memory } from "imker/sdk/memory.ts";
import { WORD_NAME, type Words } from "./words.ts";

export const TOKEN_END: i32 = 0;
export const TOKEN_WORD: i32 = 1;
export const TOKEN_QUOTED: i32 = 2;
/** A string, number or parameter. */
export const TOKEN_VALUE: i32 = 3;
/** One character, see `mark`. */
export const TOKEN_MARK: i32 = 4;
export const TOKEN_BAD: i32 = 5;

const QUOTE: i32 = 39;
const DOUBLE_QUOTE: i32 = 34;
const BACKSLASH: i32 = 92;
const DOLLAR: i32 = 36;
const DASH: i32 = 45;
const SLASH: i32 = 47;
const STAR: i32 = 42;
const DOT: i32 = 46;

export class Lexer {
  kind: i32 = TOKEN_END;
  /** Where the token's text stands: of a quoted name, without its quotes. */
  start: i32 = 0;
  length: i32 = 0;
  /** Of a word: what words.ts knows it as. */
  code: i32 = 0;
  /** Of a mark: its character. */
  mark: i32 = 0;
  private at: i32 = 0;
  private end: i32 = 0;
  private readonly memory: Memory;
  private readonly words: Words;

  constructor(memory: Memory, words: Words) {
    this.memory = memory;
    this.words = words;
  }

  reset(at: i32, end: i32): void {
    this.at = at;
    this.end = end;
  }

  /** Reads the next token. After BAD or END do not go on. */
  next(): void {
    this.code = WORD_NAME;
    this.mark = 0;
    if (!this.skip()) {
      this.kind = TOKEN_BAD;
      return;
    }
    this.start = this.at;
    if (this.at === this.end) {
      this.kind = TOKEN_END;
      return;
    }
    const byte = this.memory.u8(this.at);
    if (letter(byte)) this.word(byte);
    else if (digit(byte)) this.number();
    else if (byte === QUOTE) this.string(false);
    else if (byte === DOUBLE_QUOTE) this.quotedName();
    else if (byte === DOLLAR) this.dollar();
    else if (byte === BACKSLASH || byte < 32 || byte === 127) this.kind = TOKEN_BAD;
    else {
      this.kind = TOKEN_MARK;
      this.mark = byte;
      this.at++;
    }
  }

  private peek(offset: i32): i32 {
    return this.at + offset < this.end ? this.memory.u8(this.at + offset) : 0;
  }

  /** Skips space and comments; false when a comment does not end. */
  private skip(): bool {
    while (this.at < this.end) {
      const byte = this.memory.u8(this.at);
      if (byte === 32 || (byte >= 9 && byte <= 13)) this.at++;
      else if (byte === DASH && this.peek(1) === DASH) this.lineComment();
      else if (byte === SLASH && this.peek(1) === STAR) {
        if (!this.blockComment()) return false;
      } else return true;
    }
    return true;
  }

  private lineComment(): void {
    while (this.at < this.end) {
      const byte = this.memory.u8(this.at);
      if (byte === 10 || byte === 13) return;
      this.at++;
    }
  }

  private blockComment(): bool {
    let depth = 0;
    while (this.at < this.end) {
      const byte = this.memory.u8(this.at);
      if (byte === SLASH && this.peek(1) === STAR) {
        depth++;
        this.at += 2;
      } else if (byte === STAR && this.peek(1) === SLASH) {
        depth--;
        this.at += 2;
        if (depth === 0) return true;
      } else this.at++;
    }
    return false;
  }

  private word(first: i32): void {
    const next = this.peek(1);
    if (next === QUOTE) {
      const prefix = first | 32;
      // e'…' has escapes; b'…', x'…', n'…' have none.
      if (prefix === 101 || prefix === 98 || prefix === 120 || prefix === 110) {
        this.at++;
        this.string(prefix === 101);
        return;
      }
    }
    if ((first | 32) === 117 && next === 38) {
      // u&'…' is a string; u&"…" hides a name behind escapes.
      const quote = this.peek(2);
      if (quote === QUOTE) {
        this.at += 2;
        this.string(false);
        return;
      }
      if (quote === DOUBLE_QUOTE) {
        this.kind = TOKEN_BAD;
        return;
      }
    }
    while (this.at < this.end) {
      const byte = this.memory.u8(this.at);
      if (!letter(byte) && !digit(byte) && byte !== DOLLAR) break;
      this.at++;
    }
    this.kind = TOKEN_WORD;
    this.length = this.at - this.start;
    this.code = this.words.code(this.start, this.length);
  }

  /** The point belongs to the number: what follows it is not the field of something. */
  private number(): void {
    this.digits();
    if (this.peek(0) === DOT) {
      this.at++;
      this.digits();
    }
    this.kind = TOKEN_VALUE;
  }

  private digits(): void {
    while (this.at < this.end && digit(this.memory.u8(this.at))) this.at++;
  }

  /** At the quote. */
  private string(escapes: bool): void {
    this.kind = TOKEN_BAD;
    this.at++;
    let before = 0;
    while (this.at < this.end) {
      const byte = this.memory.u8(this.at);
      if (byte === BACKSLASH && before >= 128) return;
      if (byte === BACKSLASH && escapes) {
        // The escaped character may be one of several bytes; only its first is skipped.
        this.at += 2;
        before = 0;
        continue;
      }
      if (byte === QUOTE) {
        if (before === BACKSLASH) return;
        if (this.peek(1) !== QUOTE) {
          this.at++;
          this.kind = TOKEN_VALUE;
          return;
        }
        this.at++;
      }
      before = byte;
      this.at++;
    }
  }

  private quotedName(): void {
    this.at++;
    const start = this.at;
    while (this.at < this.end) {
      const byte = this.memory.u8(this.at);
      if (byte === DOUBLE_QUOTE && this.peek(1) === DOUBLE_QUOTE) this.at++;
      else if (byte === DOUBLE_QUOTE) {
        this.kind = TOKEN_QUOTED;
        this.start = start;
        this.length = this.at - start;
        this.at++;
        return;
      }
      this.at++;
    }
    this.kind = TOKEN_BAD;
  }

  /** $1, or $tag$…$tag$. */
  private dollar(): void {
    this.at++;
    if (digit(this.peek(0))) {
      this.digits();
      this.kind = TOKEN_VALUE;
      return;
    }
    while (letter(this.peek(0)) || digit(this.peek(0))) this.at++;
    this.kind = TOKEN_BAD;
    if (this.peek(0) !== DOLLAR) return;
    this.at++;
    const tag = this.at - this.start;
    while (this.at + tag <= this.end) {
      this.at = this.memory.find(this.at, this.end, DOLLAR);
      if (this.at + tag > this.end) return;
      if (this.memory.equal(this.at, this.start, tag)) {
        this.at += tag;
        this.kind = TOKEN_VALUE;
        return;
      }
      this.at++;
    }
  }
}

/** What a name may begin with; bytes of other characters than ASCII are letters. */
function letter(byte: i32): bool {
  const small = byte | 32;
  return (small >= 97 && small <= 122) || byte === 95 || byte >= 128;
}

function digit(byte: i32): bool {
  return byte >= 48 && byte <= 57;
}
