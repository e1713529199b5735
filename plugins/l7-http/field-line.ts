/**
 * One line of a header or trailer section (RFC 9112, 5), strictly: a token, a colon at once, a
 * value without control characters, CR LF. What other parsers forgive (obs-fold, bare LF, space
 * before the colon) is refused, because two parsers that disagree on it see two different messages.
 */
import type { Memory } from "../../runtime/sdk/memory.ts";
import { type Charset, TOKEN } from "./charset.ts";

/** The line is not all there. */
export const LINE_PARTIAL: i32 = 0;
/** A field: name and value are set. */
export const LINE_FIELD: i32 = 1;
/** The empty line that ends the section. */
export const LINE_END: i32 = 2;
/** Not a field line, whatever may follow. */
export const LINE_BAD: i32 = 3;

const TAB: i32 = 9;
const LF: i32 = 10;
const CR: i32 = 13;
const SPACE: i32 = 32;
const COLON: i32 = 58;

export class FieldLine {
  name: i32 = 0;
  nameLength: i32 = 0;
  value: i32 = 0;
  valueLength: i32 = 0;
  /** Address behind the line. */
  next: i32 = 0;
  private readonly memory: Memory;
  private readonly flags: i32;

  constructor(charset: Charset) {
    this.memory = charset.memory;
    this.flags = charset.flags;
  }

  /** Parses the line at `from`. The same bytes are bad at every length of what follows them. */
  parse(from: i32, end: i32): i32 {
    const memory = this.memory;
    const flags = this.flags;
    let at = from;
    while (at < end && (memory.u8(flags + memory.u8(at)) & TOKEN) !== 0) at++;
    if (at === end) return LINE_PARTIAL;
    if (at === from) return this.emptyLine(from, end);
    if (memory.u8(at) !== COLON) return LINE_BAD;
    this.name = from;
    this.nameLength = at - from;
    at++;
    while (at < end && (memory.u8(at) === SPACE || memory.u8(at) === TAB)) at++;
    const value = at;
    at = memory.findControl(at, end);
    while (at < end && memory.u8(at) === TAB) at = memory.findControl(at + 1, end);
    if (at === end) return LINE_PARTIAL;
    if (memory.u8(at) !== CR) return LINE_BAD;
    if (at + 1 === end) return LINE_PARTIAL;
    if (memory.u8(at + 1) !== LF) return LINE_BAD;
    this.next = at + 2;
    while (at > value && (memory.u8(at - 1) === SPACE || memory.u8(at - 1) === TAB)) at--;
    this.value = value;
    this.valueLength = at - value;
    return LINE_FIELD;
  }

  private emptyLine(from: i32, end: i32): i32 {
    if (this.memory.u8(from) !== CR) return LINE_BAD;
    if (from + 1 === end) return LINE_PARTIAL;
    if (this.memory.u8(from + 1) !== LF) return LINE_BAD;
    this.next = from + 2;
    return LINE_END;
  }
}
