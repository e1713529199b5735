/**
 * What the fields of a message say about its body and its connection (RFC 9112, 6 and 9), gathered
 * line by line, requests and responses alike. Anything that two parsers could frame differently is
 * refused: both Content-Length and Transfer-Encoding, lengths that differ, a coding that is not
 * `chunked` alone, Transfer-Encoding in HTTP/1.0.
 */
import { decimal, equalIgnoringCase, NOT_A_NUMBER } from "../../runtime/sdk/ascii.ts";
import type { Memory } from "../../runtime/sdk/memory.ts";
import { Word } from "./charset.ts";
import type { FieldLine } from "./field-line.ts";

/** No Content-Length. */
export const LENGTH_NONE: f64 = -1;

/** Fields of one section at most. */
export const FIELDS_MAX: i32 = 128;
/** Bytes of one header section, with its first line. */
export const HEAD_BYTES_MAX: i32 = 65536;

const TAB: i32 = 9;
const SPACE: i32 = 32;
const COMMA: i32 = 44;

/** The words of the framing fields; one object serves an instance. */
export class FramingWords {
  readonly contentLength: Word;
  readonly transferEncoding: Word;
  readonly connection: Word;
  readonly upgrade: Word;
  readonly host: Word;
  readonly expect: Word;
  readonly chunked: Word;
  readonly close: Word;
  readonly keepAlive: Word;
  readonly h2c: Word;
  readonly traceparent: Word;

  constructor(memory: Memory) {
    this.contentLength = new Word(memory, "content-length");
    this.transferEncoding = new Word(memory, "transfer-encoding");
    this.connection = new Word(memory, "connection");
    this.upgrade = new Word(memory, "upgrade");
    this.host = new Word(memory, "host");
    this.expect = new Word(memory, "expect");
    this.chunked = new Word(memory, "chunked");
    this.close = new Word(memory, "close");
    this.keepAlive = new Word(memory, "keep-alive");
    this.h2c = new Word(memory, "h2c");
    this.traceparent = new Word(memory, "traceparent");
  }
}

export class Framing {
  /** Value of Content-Length, or LENGTH_NONE. */
  contentLength: f64 = LENGTH_NONE;
  chunked: bool = false;
  /** Tokens of Connection. */
  close: bool = false;
  keepAlive: bool = false;
  upgradeToken: bool = false;
  private fields: i32 = 0;
  private readonly memory: Memory;
  private readonly words: FramingWords;

  constructor(memory: Memory, words: FramingWords) {
    this.memory = memory;
    this.words = words;
  }

  /** A new message. */
  reset(): void {
    this.contentLength = LENGTH_NONE;
    this.chunked = false;
    this.close = false;
    this.keepAlive = false;
    this.upgradeToken = false;
    this.fields = 0;
  }

  /** Whether the connection goes on after the message. */
  persistent(minor: i32): bool {
    return !this.close && (minor === 1 || this.keepAlive);
  }

  /** Takes one field; false when the message must be refused. */
  take(line: FieldLine): bool {
    this.fields++;
    if (this.fields > FIELDS_MAX) return false;
    const words = this.words;
    if (line.nameLength === words.connection.length) {
      if (is(this.memory, line, words.connection)) this.takeConnection(line);
    } else if (line.nameLength === words.contentLength.length) {
      if (is(this.memory, line, words.contentLength)) return this.takeLength(line);
    } else if (line.nameLength === words.transferEncoding.length) {
      if (is(this.memory, line, words.transferEncoding)) return this.takeCoding(line);
    }
    return true;
  }

  /** Whether the fields fit together; asked at the end of the section. */
  consistent(minor: i32): bool {
    return !this.chunked || (this.contentLength === LENGTH_NONE && minor === 1);
  }

  private takeLength(line: FieldLine): bool {
    const value = decimal(this.memory, line.value, line.valueLength);
    if (value === NOT_A_NUMBER) return false;
    const known = this.contentLength;
    this.contentLength = value;
    return known === LENGTH_NONE || known === value;
  }

  private takeCoding(line: FieldLine): bool {
    const word = this.words.chunked;
    if (this.chunked || line.valueLength !== word.length) return false;
    this.chunked = true;
    return equalIgnoringCase(this.memory, line.value, word.at, word.length);
  }

  private takeConnection(line: FieldLine): void {
    const words = this.words;
    if (hasToken(this.memory, line, words.close)) this.close = true;
    if (hasToken(this.memory, line, words.keepAlive)) this.keepAlive = true;
    if (hasToken(this.memory, line, words.upgrade)) this.upgradeToken = true;
  }
}

/** Whether the line's name is this word. */
export function is(memory: Memory, line: FieldLine, word: Word): bool {
  return (
    line.nameLength === word.length && equalIgnoringCase(memory, line.name, word.at, word.length)
  );
}

/** Whether the comma-separated value holds this word (RFC 9110, 5.6.1). */
export function hasToken(memory: Memory, line: FieldLine, word: Word): bool {
  const end = line.value + line.valueLength;
  let at = line.value;
  while (at < end) {
    const comma = memory.find(at, end, COMMA);
    let from = at;
    let to = comma;
    while (from < to && (memory.u8(from) === SPACE || memory.u8(from) === TAB)) from++;
    while (to > from && (memory.u8(to - 1) === SPACE || memory.u8(to - 1) === TAB)) to--;
    if (to - from === word.length && equalIgnoringCase(memory, from, word.at, word.length)) {
      return true;
    }
    at = comma + 1;
  }
  return false;
}
