/**
 * A sticky reader for binary protocols: reads one field after the other, and once something did not
 * fit, `ok` stays false and every further read gives 0. So a parser reads a whole header and checks
 * once. It never reads outside its range.
 */
import type { Memory } from "./memory.ts";

/** Beyond it a double is not exact any more. */
const INTEGER_MAX: f64 = 9007199254740991;
const TWO_TO_32: f64 = 4294967296;

export class Reader {
  /** False once a read went beyond the end or found what is none of its kind. */
  ok: bool = true;
  /** With `ok` false: whether bytes were missing (ask for more), not wrong (refuse). */
  short: bool = false;
  /** Bytes of the last `take` or `until`, without the delimiter. */
  length: i32 = 0;
  /** Address of the next byte. */
  at: i32;
  /** Address behind the last byte. */
  end: i32;
  private readonly memory: Memory;

  constructor(memory: Memory, start: i32, end: i32) {
    this.memory = memory;
    this.at = start;
    this.end = end;
  }

  /** Begins anew, on another range: one reader of the plugin's serves every message. */
  reset(start: i32, end: i32): void {
    this.at = start;
    this.end = end;
    this.ok = true;
    this.short = false;
    this.length = 0;
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

  /** Four bytes, big-endian, 0..2^32-1. */
  u32(): f64 {
    return unsigned(this.i32());
  }

  /** Four bytes, little-endian, 0..2^32-1. */
  u32le(): f64 {
    return unsigned(this.i32le());
  }

  /** Eight bytes, big-endian; more than 2^53-1 is an error. */
  u64(): f64 {
    const high = this.u32();
    return this.exact(high * TWO_TO_32 + this.u32());
  }

  /** Eight bytes, little-endian; more than 2^53-1 is an error. */
  u64le(): f64 {
    const low = this.u32le();
    return this.exact(this.u32le() * TWO_TO_32 + low);
  }

  /**
   * LEB128: seven bits a byte, the lowest first, the top bit says that more follow (protobuf,
   * Kafka, MQTT). At most `bytesMax` bytes; a longer one, or more than 2^53-1, is an error.
   */
  varint(bytesMax: i32): f64 {
    let value: f64 = 0;
    let scale: f64 = 1;
    for (let i = 0; i < bytesMax; i++) {
      const byte = this.u8();
      if (!this.ok) return 0;
      value += ((byte & 127) as f64) * scale;
      if (byte < 128) return this.exact(value);
      scale *= 128;
    }
    this.ok = false;
    return 0;
  }

  /** A signed varint, zigzag: 0, -1, 1, -2, … */
  zigzag(bytesMax: i32): f64 {
    const value = this.varint(bytesMax);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** Skips `length` bytes and gives the address of the first of them, or -1. */
  take(length: i32): i32 {
    this.length = 0;
    if (!this.ok) return -1;
    if (length < 0 || length > this.end - this.at) {
      this.ok = false;
      this.short = length >= 0;
      return -1;
    }
    const at = this.at;
    this.at += length;
    this.length = length;
    return at;
  }

  /** Skips up to and with the first `byte`; gives the address where that began, or -1. */
  until(byte: i32): i32 {
    this.length = 0;
    if (!this.ok) return -1;
    const at = this.at;
    const found = this.memory.find(at, this.end, byte);
    if (found === this.end) {
      this.ok = false;
      this.short = true;
      return -1;
    }
    this.length = found - at;
    this.at = found + 1;
    return at;
  }

  private exact(value: f64): f64 {
    if (this.ok && value <= INTEGER_MAX) return value;
    this.ok = false;
    return 0;
  }
}

function unsigned(value: i32): f64 {
  return value < 0 ? (value as f64) + TWO_TO_32 : (value as f64);
}
