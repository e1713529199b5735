/**
 * Follows a chunked body (RFC 9112, 7.1) without keeping it: sizes and the end of every chunk are
 * looked at, data may be moved unseen. Strict where others are lenient: only hexadecimal digits in
 * a size, CR LF everywhere, no framing field in the trailer.
 */
import { hexDigit } from "../../runtime/sdk/ascii.ts";
import type { Memory } from "../../runtime/sdk/memory.ts";
import { type FieldLine, LINE_BAD, LINE_END, LINE_PARTIAL } from "./field-line.ts";
import { FIELDS_MAX, type FramingWords, is } from "./framing.ts";
import type { HeadTools } from "./request-head.ts";

/** Bytes of a chunk-size line at most, extensions included. */
export const CHUNK_LINE_BYTES_MAX: i32 = 1024;
/** Bytes of a trailer line at most. */
export const TRAILER_LINE_BYTES_MAX: i32 = 8192;

/** The body goes on: all before `at` is consumed, and `beyond` bytes that are not here yet. */
export const CHUNKS_OPEN: i32 = 0;
/** The body ends at `at`. */
export const CHUNKS_DONE: i32 = 1;
/** The bytes at `at` are not a chunked body. */
export const CHUNKS_BAD: i32 = 2;

const STATE_SIZE: i32 = 0;
const STATE_DATA_END: i32 = 1;
const STATE_TRAILER: i32 = 2;

const SIZE_DIGITS_MAX: i32 = 13;
const TAB: i32 = 9;
const LF: i32 = 10;
const CR: i32 = 13;
const SEMICOLON: i32 = 59;

export class Chunks {
  at: i32 = 0;
  beyond: f64 = 0;
  private state: i32 = STATE_SIZE;
  private trailers: i32 = 0;
  private size: f64 = 0;
  private readonly memory: Memory;
  private readonly line: FieldLine;
  private readonly words: FramingWords;

  constructor(tools: HeadTools) {
    this.memory = tools.memory;
    this.line = tools.line;
    this.words = tools.words;
  }

  /** A new body. */
  reset(): void {
    this.state = STATE_SIZE;
    this.trailers = 0;
  }

  /** Follows the body from `at`. CHUNKS_OPEN, CHUNKS_DONE or CHUNKS_BAD. */
  parse(at: i32, end: i32): i32 {
    this.at = at;
    this.beyond = 0;
    while (this.at < end) {
      const from = this.at;
      let result = CHUNKS_OPEN;
      if (this.state === STATE_SIZE) result = this.parseSize(end);
      else if (this.state === STATE_DATA_END) result = this.parseDataEnd(end);
      else result = this.parseTrailer(end);
      if (result !== CHUNKS_OPEN) return result;
      if (this.at === from) break;
    }
    return CHUNKS_OPEN;
  }

  private parseSize(end: i32): i32 {
    const memory = this.memory;
    let at = this.at;
    let digits = 0;
    this.size = 0;
    while (at < end) {
      const digit = hexDigit(memory.u8(at));
      if (digit < 0) break;
      this.size = this.size * 16 + (digit as f64);
      digits++;
      if (digits > SIZE_DIGITS_MAX) return CHUNKS_BAD;
      at++;
    }
    if (at === end) return CHUNKS_OPEN;
    if (digits === 0) return CHUNKS_BAD;
    if (memory.u8(at) === SEMICOLON) {
      at = memory.findControl(at, end);
      while (at < end && memory.u8(at) === TAB) at = memory.findControl(at + 1, end);
    }
    if (at - this.at > CHUNK_LINE_BYTES_MAX) return CHUNKS_BAD;
    if (at === end) return CHUNKS_OPEN;
    if (memory.u8(at) !== CR) return CHUNKS_BAD;
    if (at + 1 === end) return CHUNKS_OPEN;
    if (memory.u8(at + 1) !== LF) return CHUNKS_BAD;
    at += 2;
    if (this.size === 0) {
      this.state = STATE_TRAILER;
      this.at = at;
      return CHUNKS_OPEN;
    }
    this.state = STATE_DATA_END;
    const available = (end - at) as f64;
    if (this.size <= available) {
      this.at = at + (this.size as i32);
    } else {
      this.beyond = this.size - available;
      this.at = end;
    }
    return CHUNKS_OPEN;
  }

  private parseDataEnd(end: i32): i32 {
    if (this.memory.u8(this.at) !== CR) return CHUNKS_BAD;
    if (this.at + 1 === end) return CHUNKS_OPEN;
    if (this.memory.u8(this.at + 1) !== LF) return CHUNKS_BAD;
    this.at += 2;
    this.state = STATE_SIZE;
    return CHUNKS_OPEN;
  }

  private parseTrailer(end: i32): i32 {
    const line = this.line;
    const kind = line.parse(this.at, end);
    if (kind === LINE_BAD) return CHUNKS_BAD;
    if (kind === LINE_PARTIAL) {
      return end - this.at > TRAILER_LINE_BYTES_MAX ? CHUNKS_BAD : CHUNKS_OPEN;
    }
    if (line.next - this.at > TRAILER_LINE_BYTES_MAX) return CHUNKS_BAD;
    this.trailers++;
    if (this.trailers > FIELDS_MAX) return CHUNKS_BAD;
    if (kind === LINE_END) {
      this.at = line.next;
      return CHUNKS_DONE;
    }
    const words = this.words;
    if (is(this.memory, line, words.contentLength)) return CHUNKS_BAD;
    if (is(this.memory, line, words.transferEncoding)) return CHUNKS_BAD;
    if (is(this.memory, line, words.host)) return CHUNKS_BAD;
    this.at = line.next;
    return CHUNKS_OPEN;
  }
}
