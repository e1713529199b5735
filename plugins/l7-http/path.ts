/**
 * Normalises a path as RFC 3986, 6.2.2 says: percent-encoded unreserved characters are decoded, dot
 * segments removed; and repeated slashes become one. The query is left alone. What rules match and
 * what upstream receives is the normalised path, so no spelling of a path gets round a rule.
 */
import { hexDigit } from "../../runtime/sdk/ascii.ts";
import type { Memory } from "../../runtime/sdk/memory.ts";
import { type Charset, UNRESERVED } from "./charset.ts";

/** The path is as it should be. */
export const PATH_SAME: i32 = 0;
/** The normalised path stands at `at`. */
export const PATH_CHANGED: i32 = 1;
/** A percent sign without two hexadecimal digits, or %00. */
export const PATH_BAD: i32 = 2;

const PERCENT: i32 = 37;
const DOT: i32 = 46;
const SLASH: i32 = 47;
const QUESTION: i32 = 63;
const BACKSLASH: i32 = 92;

export class PathNormalizer {
  /** Address and length of the last result, with the query. */
  at: i32 = 0;
  length: i32 = 0;
  /** Whether the path holds an encoded slash or backslash. */
  escapedSlash: bool = false;
  private readonly memory: Memory;
  private readonly flags: i32;

  constructor(charset: Charset) {
    this.memory = charset.memory;
    this.flags = charset.flags;
  }

  /**
   * Normalises `length` bytes at `path` into `to`, which has room for `length` + 1. With
   * `slashes`, encoded slashes and backslashes become slashes first.
   */
  normalize(path: i32, length: i32, to: i32, slashes: bool): i32 {
    const memory = this.memory;
    const query = memory.find(path, path + length, QUESTION);
    this.escapedSlash = false;
    this.at = to;
    const decoded = this.decode(path, query, to, slashes);
    if (decoded < 0) return PATH_BAD;
    let end = this.removeDots(to, to + decoded);
    memory.copy(end, query, path + length - query);
    end += path + length - query;
    this.length = end - to;
    return this.length === length && memory.equal(path, to, length) ? PATH_SAME : PATH_CHANGED;
  }

  /** Returns the bytes written, -1 for a bad encoding. */
  private decode(from: i32, end: i32, to: i32, slashes: bool): i32 {
    const memory = this.memory;
    let out = to;
    let at = from;
    while (at < end) {
      const byte = memory.u8(at);
      if (byte !== PERCENT) {
        memory.setU8(out++, byte);
        at++;
        continue;
      }
      const value =
        at + 2 < end ? hexDigit(memory.u8(at + 1)) * 16 + hexDigit(memory.u8(at + 2)) : -1;
      if (value <= 0 || hexDigit(memory.u8(at + 1)) < 0 || hexDigit(memory.u8(at + 2)) < 0)
        return -1;
      const isSlash = value === SLASH || value === BACKSLASH;
      if (isSlash) this.escapedSlash = true;
      if (isSlash && slashes) {
        memory.setU8(out++, SLASH);
      } else if ((memory.u8(this.flags + value) & UNRESERVED) !== 0) {
        memory.setU8(out++, value);
      } else {
        memory.copy(out, at, 3);
        out += 3;
      }
      at += 3;
    }
    return out - to;
  }

  /** RFC 3986, 5.2.4, in place; returns the new end. The result begins with a slash. */
  private removeDots(from: i32, end: i32): i32 {
    const memory = this.memory;
    let out = from;
    let at = from;
    let open = true;
    while (at < end) {
      while (at < end && memory.u8(at) === SLASH) at++;
      const segment = at;
      at = memory.find(at, end, SLASH);
      const length = at - segment;
      open = at < end || length === 0;
      if (length === 1 && memory.u8(segment) === DOT) {
        open = true;
      } else if (length === 2 && memory.u8(segment) === DOT && memory.u8(segment + 1) === DOT) {
        open = true;
        while (out > from && memory.u8(out - 1) !== SLASH) out--;
        if (out > from) out--;
      } else if (length > 0) {
        memory.copy(out + 1, segment, length);
        memory.setU8(out, SLASH);
        out += length + 1;
      }
    }
    if (open) memory.setU8(out++, SLASH);
    return out;
  }
}
