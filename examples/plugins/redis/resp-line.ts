/**
 * The lines that RESP is made of: a byte that says what it is, a number or text, CR LF. Numbers are
 * taken as strictly as Redis does: no plus, no leading zeros, nothing else on the line.
 */
import { decimal, NOT_A_NUMBER } from "imker/sdk/ascii.ts";
import { Delimiter } from "imker/sdk/delimiter.ts";
import type { Memory } from "imker/sdk/memory.ts";

/** Longest line that holds only a length. */
const HEADER_BYTES_MAX: i32 = 32;
/** Longest line of text: simple strings, errors, big numbers. */
const TEXT_BYTES_MAX: i32 = 65536;

export class RespLine {
  /** What `header` read: a number of 0 or more, or NOT_A_NUMBER; whether it was exactly -1. */
  number: f64 = 0;
  nil: bool = false;
  private readonly memory: Memory;
  private readonly headers: Delimiter;
  private readonly texts: Delimiter;

  constructor(memory: Memory) {
    this.memory = memory;
    this.headers = new Delimiter(memory, "\r\n", HEADER_BYTES_MAX);
    this.texts = new Delimiter(memory, "\r\n", TEXT_BYTES_MAX);
  }

  /** Bytes of the line of a length at `at`, or FRAME_PARTIAL or FRAME_INVALID. */
  header(at: i32, end: i32): i32 {
    const bytes = this.headers.frameBytes(at, end);
    if (bytes <= 0) return bytes;
    const digits = this.headers.contentBytes(bytes) - 1;
    this.nil = false;
    this.number = NOT_A_NUMBER;
    if (digits < 1) return bytes;
    const first = this.memory.u8(at + 1);
    this.nil = first === 45 && digits === 2 && this.memory.u8(at + 2) === 49;
    if (first !== 48 || digits === 1) this.number = decimal(this.memory, at + 1, digits);
    return bytes;
  }

  /** Bytes of a line of text at `at`, or FRAME_PARTIAL or FRAME_INVALID. */
  text(at: i32, end: i32): i32 {
    return this.texts.frameBytes(at, end);
  }

  /** Whether CR LF stands at `at`. */
  crlf(at: i32): bool {
    return this.memory.u8(at) === 13 && this.memory.u8(at + 1) === 10;
  }
}
