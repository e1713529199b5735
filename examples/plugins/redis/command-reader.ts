/**
 * Reads a command's arguments: an array of bulk strings, or an inline command, which is a line of
 * words. It looks at the first 64 KiB, which hold the name and the keys; what stands behind them (a
 * large value) is not waited for. The answer does not depend on how bytes were cut.
 */
import { NOT_A_NUMBER, printable } from "imker/sdk/ascii.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { RespLine } from "./resp-line.ts";

/** Bytes of a command that are looked at. */
const HEAD_BYTES_MAX: i32 = 65536;
/** The shortest argument takes six bytes. */
const HEAD_ARGUMENTS_MAX: i32 = 10922;
/** As Redis: arguments of a command, and bytes of one (proto-max-bulk-len). */
const ARGUMENTS_MAX: f64 = 1048576;
export const BULK_BYTES_MAX: f64 = 536870912;
/** A longer inline command closes the connection. */
const INLINE_BYTES_MAX: i32 = 4096;

/** The command is read as far as it must be. */
export const READ_DONE: i32 = 0;
/** More bytes are needed: `missing`. */
export const READ_PARTIAL: i32 = 1;
/** These bytes are no command. */
export const READ_INVALID: i32 = 2;

export class CommandReader {
  /** Arguments of the command, its name among them, and how many of them were read. */
  count: i32 = 0;
  read: i32 = 0;
  /** Address behind what was read. */
  end: i32 = 0;
  /** With READ_PARTIAL: bytes that are certainly missing. */
  missing: i32 = 0;
  private readonly memory: Memory;
  private readonly line: RespLine;
  /** Address and length of each argument. */
  private readonly places: i32;

  constructor(memory: Memory) {
    this.memory = memory;
    this.line = new RespLine(memory);
    this.places = memory.allocate(HEAD_ARGUMENTS_MAX * 8);
  }

  /** Address of an argument that was read. */
  start(index: i32): i32 {
    return this.memory.i32(this.places + index * 8);
  }

  /** Bytes of an argument that was read. */
  length(index: i32): i32 {
    return this.memory.i32(this.places + index * 8 + 4);
  }

  /** Whether arguments stand behind those that were read. */
  truncated(): bool {
    return this.read < this.count;
  }

  /** Reads the command at `at`; READ_DONE, READ_PARTIAL or READ_INVALID. */
  readCommand(at: i32, end: i32): i32 {
    this.count = 0;
    this.read = 0;
    this.end = at;
    return this.memory.u8(at) === 42 ? this.readArray(at, end) : this.readInline(at, end);
  }

  private readArray(at: i32, end: i32): i32 {
    const header = this.line.header(at, end);
    if (header <= 0) return this.noLine(header);
    const count = this.line.number;
    if (count === NOT_A_NUMBER || count > ARGUMENTS_MAX) return READ_INVALID;
    this.count = count as i32;
    this.end = at + header;
    while (this.read < this.count) {
      const length = this.line.header(this.end, end);
      if (length <= 0) return this.noLine(length);
      if (this.memory.u8(this.end) !== 36) return READ_INVALID;
      const bytes = this.line.number;
      if (bytes === NOT_A_NUMBER || bytes > BULK_BYTES_MAX) return READ_INVALID;
      const start = this.end + length;
      if (bytes > ((at + HEAD_BYTES_MAX - 2 - start) as f64)) {
        // A name or a first key cannot be that long.
        return this.read === 0 ? READ_INVALID : READ_DONE;
      }
      const behind = start + (bytes as i32);
      if (end < behind + 2) {
        this.missing = behind + 2 - end;
        return READ_PARTIAL;
      }
      if (!this.line.crlf(behind)) return READ_INVALID;
      this.add(start, bytes as i32);
      this.end = behind + 2;
    }
    return READ_DONE;
  }

  /** As Redis: up to the line feed, a carriage return before it is no part. But no quoting. */
  private readInline(at: i32, end: i32): i32 {
    const memory = this.memory;
    const limit = end - at > INLINE_BYTES_MAX ? at + INLINE_BYTES_MAX : end;
    const feed = memory.find(at, limit, 10);
    if (feed === limit) {
      this.missing = 1;
      return end - at >= INLINE_BYTES_MAX ? READ_INVALID : READ_PARTIAL;
    }
    const content = feed > at && memory.u8(feed - 1) === 13 ? feed - 1 : feed;
    if (!printable(memory, at, content - at)) return READ_INVALID;
    let word = at;
    for (let i = at; i <= content; i++) {
      const byte = i < content ? memory.u8(i) : 32;
      if (byte === 34 || byte === 39) return READ_INVALID;
      if (byte !== 32) continue;
      if (i > word) this.add(word, i - word);
      word = i + 1;
    }
    this.count = this.read;
    this.end = feed + 1;
    return READ_DONE;
  }

  private noLine(header: i32): i32 {
    this.missing = 1;
    return header === 0 ? READ_PARTIAL : READ_INVALID;
  }

  private add(start: i32, length: i32): void {
    this.memory.setI32(this.places + this.read * 8, start);
    this.memory.setI32(this.places + this.read * 8 + 4, length);
    this.read++;
  }
}
