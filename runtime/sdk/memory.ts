/// <reference path="./portable.d.ts" />
/**
 * The linear memory a plugin works in, run natively: addresses into one growable buffer. In the
 * sandbox the build replaces this file by runtime/build/assembly/memory.as, whose methods are
 * single machine instructions. Reads and writes outside the memory throw here as they trap there.
 */

const MEMORY_BYTES_START = 1 << 16;
const MEMORY_BYTES_MAX = 1 << 28;
/** Every block is preceded by its size class, so that `release` knows it. */
const HEADER_BYTES = 16;
const CLASS_BYTES_MIN = 32;

export class Memory {
  /** The whole memory. Replaced when it grows: never keep it across an `allocate`. */
  bytes: Uint8Array<ArrayBuffer> = new Uint8Array(MEMORY_BYTES_START);
  private view: DataView = new DataView(this.bytes.buffer);
  private top: i32 = 1024;
  private readonly free: Map<i32, i32[]> = new Map();
  private readonly decoder: TextDecoder = new TextDecoder();
  private readonly encoder: TextEncoder = new TextEncoder();

  /** The byte at an address, 0..255. */
  u8(at: i32): i32 {
    return this.view.getUint8(at);
  }

  /** Two bytes, little-endian, 0..65535. */
  u16(at: i32): i32 {
    return this.view.getUint16(at, true);
  }

  /** Four bytes, little-endian; values of 2^31 and more are negative. */
  i32(at: i32): i32 {
    return this.view.getInt32(at, true);
  }

  /** Stores the low 8 bits. */
  setU8(at: i32, value: i32): void {
    this.view.setUint8(at, value);
  }

  /** Stores the low 16 bits, little-endian. */
  setU16(at: i32, value: i32): void {
    this.view.setUint16(at, value, true);
  }

  /** Stores 32 bits, little-endian. */
  setI32(at: i32, value: i32): void {
    this.view.setInt32(at, value, true);
  }

  /** Stores an integer of 0..2^53 as 64 bits, little-endian. */
  setU64(at: i32, value: f64): void {
    this.view.setUint32(at, value % 4294967296, true);
    this.view.setUint32(at + 4, Math.floor(value / 4294967296), true);
  }

  /** Copies `length` bytes; the ranges may overlap. */
  copy(to: i32, from: i32, length: i32): void {
    this.bytes.copyWithin(to, from, from + length);
  }

  /** Sets `length` bytes to one value. */
  fill(at: i32, value: i32, length: i32): void {
    this.bytes.fill(value, at, at + length);
  }

  /** Whether two ranges hold the same bytes. */
  equal(a: i32, b: i32, length: i32): bool {
    for (let i = 0; i < length; i++) {
      if (this.view.getUint8(a + i) !== this.view.getUint8(b + i)) return false;
    }
    return true;
  }

  /** Address of the first `byte` in `from`..`end`-1; `end` when there is none. */
  find(from: i32, end: i32, byte: i32): i32 {
    if (from >= end) return from;
    // Reads what it must not, as a loop would, so that it throws.
    this.view.getUint8(end - 1);
    const found = this.bytes.subarray(from, end).indexOf(byte & 0xff);
    return found < 0 ? end : from + found;
  }

  /** Address of the first control character (0..31 or 127) in `from`..`end`-1, else `end`. */
  findControl(from: i32, end: i32): i32 {
    let at = from;
    while (at < end) {
      const byte = this.view.getUint8(at);
      if (byte < 32 || byte === 127) return at;
      at++;
    }
    return end;
  }

  /** A block of its own, not cleared, aligned to 8. Give it back with `release`. */
  allocate(length: i32): i32 {
    const size = this.classOf(length);
    const list = this.free.get(size);
    const reused = list === undefined ? undefined : list.pop();
    if (reused !== undefined) return reused;
    while (this.top + HEADER_BYTES + size > this.bytes.length) this.grow();
    const at = this.top + HEADER_BYTES;
    this.setI32(this.top, size);
    this.top = at + size;
    return at;
  }

  /** Ends a block that `allocate` gave. */
  release(at: i32): void {
    const size = this.i32(at - HEADER_BYTES);
    const list = this.free.get(size);
    if (list === undefined) this.free.set(size, [at]);
    else list.push(at);
  }

  /** Decodes UTF-8. */
  text(at: i32, length: i32): string {
    return this.decoder.decode(this.bytes.subarray(at, at + length));
  }

  /** Bytes that `text` takes as UTF-8. */
  textBytes(text: string): i32 {
    return this.encoder.encode(text).length;
  }

  /** Writes `text` as UTF-8 (`textBytes` of it). */
  setText(at: i32, text: string): void {
    this.bytes.set(this.encoder.encode(text), at);
  }

  /**
   * In the sandbox: collects garbage when enough was allocated. Only with no object on the stack.
   */
  settle(): void {}

  private classOf(length: i32): i32 {
    let size = CLASS_BYTES_MIN;
    while (size < length) size *= 2;
    return size;
  }

  private grow(): void {
    if (this.bytes.length * 2 > MEMORY_BYTES_MAX) {
      throw new Error("Cannot allocate plugin memory: the limit is reached");
    }
    const grown = new Uint8Array(this.bytes.length * 2);
    grown.set(this.bytes);
    this.bytes = grown;
    this.view = new DataView(grown.buffer);
  }
}
