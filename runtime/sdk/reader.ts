/**
 * A sticky reader for binary protocols: reads one field after the other, and once something did not
 * fit, `ok` stays false and every further read gives 0. So a parser reads a whole header and checks
 * once. It never reads outside its range.
 */
import type { Memory } from "./memory.ts";

export class Reader {
  /** False once a read went beyond the end. */
  ok: bool = true;
  /** Address of the next byte. */
  at: i32;
  /** Address behind the last byte. */
  readonly end: i32;
  private readonly memory: Memory;

  constructor(memory: Memory, start: i32, end: i32) {
    this.memory = memory;
    this.at = start;
    this.end = end;
  }

  /** Bytes left. */
  left(): i32 {
    return this.end - this.at;
  }

  /** One byte. */
  u8(): i32 {
    const at = this.take(1);
    return at < 0 ? 0 : this.memory.u8(at);
  }

  /** Two bytes, big-endian. */
  u16(): i32 {
    const at = this.take(2);
    return at < 0 ? 0 : (this.memory.u8(at) << 8) | this.memory.u8(at + 1);
  }

  /** Two bytes, little-endian. */
  u16le(): i32 {
    const at = this.take(2);
    return at < 0 ? 0 : this.memory.u16(at);
  }

  /** Three bytes, big-endian. */
  u24(): i32 {
    const at = this.take(3);
    if (at < 0) return 0;
    return (this.memory.u8(at) << 16) | (this.memory.u8(at + 1) << 8) | this.memory.u8(at + 2);
  }

  /** Four bytes, big-endian, signed. */
  i32(): i32 {
    const at = this.take(4);
    if (at < 0) return 0;
    const high = (this.memory.u8(at) << 24) | (this.memory.u8(at + 1) << 16);
    return high | (this.memory.u8(at + 2) << 8) | this.memory.u8(at + 3);
  }

  /** Four bytes, little-endian, signed. */
  i32le(): i32 {
    const at = this.take(4);
    return at < 0 ? 0 : this.memory.i32(at);
  }

  /** Skips `length` bytes and gives the address of the first of them, or -1. */
  take(length: i32): i32 {
    if (!this.ok || length < 0 || length > this.end - this.at) {
      this.ok = false;
      return -1;
    }
    const at = this.at;
    this.at += length;
    return at;
  }
}
