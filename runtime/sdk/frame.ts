/**
 * Length-prefixed framing, the other half of binary protocols: given where the length stands and
 * what it counts, says how long the first frame is, or how many bytes are missing to know.
 */
import type { Memory } from "./memory.ts";

/** The length field says more than the protocol allows, or less than its own header. */
export const FRAME_INVALID: i32 = -1;

export class LengthPrefix {
  /** Offset of the length field from the start of a frame. */
  readonly offset: i32;
  /** Bytes of the length field, 1 to 4. */
  readonly width: i32;
  readonly bigEndian: bool;
  /** Bytes of a frame that the length does not count (4 for a Kafka request). */
  readonly uncounted: i32;
  /** Longest whole frame. */
  readonly frameBytesMax: i32;

  constructor(offset: i32, width: i32, bigEndian: bool, uncounted: i32, frameBytesMax: i32) {
    this.offset = offset;
    this.width = width;
    this.bigEndian = bigEndian;
    this.uncounted = uncounted;
    this.frameBytesMax = frameBytesMax;
  }

  /** Bytes that must be there to know a frame's length. */
  headerBytes(): i32 {
    return this.offset + this.width;
  }

  /**
   * Bytes of the whole frame at `start` (at least `headerBytes` must be there), or FRAME_INVALID.
   * The frame itself may be incomplete: `output.pass` may reach beyond the input.
   */
  frameBytes(memory: Memory, start: i32): i32 {
    const at = start + this.offset;
    let counted: f64 = 0;
    for (let i = 0; i < this.width; i++) {
      const byte = memory.u8(at + (this.bigEndian ? i : this.width - 1 - i));
      counted = counted * 256 + (byte as f64);
    }
    const bytes = counted + (this.uncounted as f64);
    if (bytes > (this.frameBytesMax as f64) || bytes < (this.headerBytes() as f64)) {
      return FRAME_INVALID;
    }
    return bytes as i32;
  }
}
