/**
 * Delimiter framing, for protocols of lines: given the bytes that end a frame and how long one may
 * be, says how long the first frame is. frame.ts does it for frames that begin with a length.
 */
import { FRAME_INVALID } from "./frame.ts";
import type { Memory } from "./memory.ts";

/** The delimiter is not there yet, and the frame may still become a valid one. */
export const FRAME_PARTIAL: i32 = 0;

export class Delimiter {
  /** Longest whole frame, with its delimiter. */
  readonly frameBytesMax: i32;
  private readonly memory: Memory;
  private readonly text: i32;
  private readonly length: i32;

  /**
   * `delimiter`: ASCII, one byte or more ("\r\n"). Where servers accept a bare LF as well, refuse
   * or rewrite it: what ends a line here and not there lets a second command through unseen.
   */
  constructor(memory: Memory, delimiter: string, frameBytesMax: i32) {
    this.memory = memory;
    this.frameBytesMax = frameBytesMax;
    this.length = memory.textBytes(delimiter);
    this.text = memory.allocate(this.length);
    memory.setText(this.text, delimiter);
  }

  /**
   * Bytes of the frame at `start` with its delimiter, FRAME_PARTIAL, or FRAME_INVALID when it is,
   * or is bound to become, longer than allowed. The answer does not depend on how bytes were cut.
   */
  frameBytes(start: i32, end: i32): i32 {
    const memory = this.memory;
    const limit = end - start > this.frameBytesMax ? start + this.frameBytesMax : end;
    const first = memory.u8(this.text);
    let at = start;
    while (at < limit) {
      at = memory.find(at, limit, first);
      if (at + this.length > limit) break;
      if (memory.equal(at, this.text, this.length)) return at + this.length - start;
      at++;
    }
    return end - start >= this.frameBytesMax ? FRAME_INVALID : FRAME_PARTIAL;
  }

  /** Bytes of a frame without its delimiter. */
  contentBytes(frameBytes: i32): i32 {
    return frameBytes - this.length;
  }
}
