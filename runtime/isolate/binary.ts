/**
 * Reading and writing the primitives of the WebAssembly binary formats: LEB128 numbers, names,
 * vectors, sections. Every read is bounded; broken bytes become a PluginImageError that says where.
 */
import { PluginImageError } from "./errors.ts";

const decoder = new TextDecoder("utf-8", { fatal: true });
const encoder = new TextEncoder();

/** Bytes a name may have: far above what tools emit, far below what slows the messages. */
export const NAME_BYTES_MAX = 1024;

/** A cursor over `bytes[offset, end)`; `where` names the thing being read in messages. */
export class ByteReader {
  readonly bytes: Uint8Array;
  readonly end: number;
  offset: number;
  where: string;

  constructor(bytes: Uint8Array, where: string, offset = 0, end = bytes.length) {
    this.bytes = bytes;
    this.offset = offset;
    this.end = end;
    this.where = where;
  }

  get done(): boolean {
    return this.offset >= this.end;
  }

  malformed(state: string): PluginImageError {
    return new PluginImageError("malformed", `${this.where}, byte ${this.offset}`, state);
  }

  u8(): number {
    const byte = this.offset < this.end ? this.bytes[this.offset] : undefined;
    if (byte === undefined) throw this.malformed("unexpected end");
    this.offset += 1;
    return byte;
  }

  /** LEB128, at most 32 bits. */
  u32(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      if (shift === 28 && byte > 0x0f) throw this.malformed("number above 32 bits");
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw this.malformed("number above 32 bits");
  }

  /** Signed LEB128 of up to 33 bits (block types, value types, i32 constants). */
  s33(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return byte & 0x40 ? value - 2 ** (shift + 7) : value;
    }
    throw this.malformed("number above 33 bits");
  }

  /** Any LEB128 number of at most `bytesMax` bytes, its value not needed. */
  skipLeb(bytesMax: number): void {
    for (let index = 0; index < bytesMax; index += 1) if (this.u8() < 0x80) return;
    throw this.malformed("number too long");
  }

  skip(count: number): void {
    if (count > this.end - this.offset) throw this.malformed("unexpected end");
    this.offset += count;
  }

  name(): string {
    const length = this.u32();
    if (length > NAME_BYTES_MAX) throw this.malformed(`name above ${NAME_BYTES_MAX} bytes`);
    const start = this.offset;
    this.skip(length);
    try {
      return decoder.decode(this.bytes.subarray(start, this.offset));
    } catch {
      throw this.malformed("name is not UTF-8");
    }
  }

  /** A reader of the next `length` bytes; this one continues behind them. */
  slice(length: number, where: string): ByteReader {
    const start = this.offset;
    this.skip(length);
    return new ByteReader(this.bytes, where, start, this.offset);
  }

  /** A vector: its length, then that many items, of which each takes a byte or more. */
  vector<T>(item: (index: number) => T): T[] {
    const count = this.u32();
    if (count > this.end - this.offset) throw this.malformed("vector longer than its section");
    const items: T[] = [];
    for (let index = 0; index < count; index += 1) items.push(item(index));
    return items;
  }

  expectEnd(): void {
    if (!this.done) throw this.malformed("bytes left over");
  }
}

/** Grows as needed; `bytes()` is what was written. */
export class ByteWriter {
  #bytes: Uint8Array;
  length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  #reserve(count: number): void {
    if (this.length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.length + count));
    grown.set(this.#bytes.subarray(0, this.length));
    this.#bytes = grown;
  }

  u8(...values: number[]): this {
    this.#reserve(values.length);
    for (const value of values) {
      this.#bytes[this.length] = value;
      this.length += 1;
    }
    return this;
  }

  u32(value: number): this {
    let rest = value >>> 0;
    while (rest >= 0x80) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>>= 7;
    }
    return this.u8(rest);
  }

  s32(value: number): this {
    let rest = value | 0;
    while (rest < -64 || rest > 63) {
      this.u8((rest & 0x7f) | 0x80);
      rest >>= 7;
    }
    return this.u8(rest & 0x7f);
  }

  /** Signed 64-bit from a safe integer. */
  s64(value: number): this {
    let rest = BigInt(value);
    while (rest < -64n || rest > 63n) {
      this.u8(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    return this.u8(Number(rest & 0x7fn));
  }

  raw(bytes: Uint8Array, start = 0, end = bytes.length): this {
    this.#reserve(end - start);
    this.#bytes.set(bytes.subarray(start, end), this.length);
    this.length += end - start;
    return this;
  }

  name(text: string): this {
    const bytes = encoder.encode(text);
    return this.u32(bytes.length).raw(bytes);
  }

  /** A section or body: what `fill` writes, behind its length. */
  sized(fill: (writer: ByteWriter) => void): this {
    const inner = new ByteWriter();
    fill(inner);
    return this.u32(inner.length).raw(inner.bytes());
  }

  section(id: number, fill: (writer: ByteWriter) => void): this {
    return this.u8(id).sized(fill);
  }

  /** A view, valid until the next write. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }
}
