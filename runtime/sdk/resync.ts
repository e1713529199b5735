/**
 * Finding a frame again where the stream is not understood: after bytes that were moved unseen,
 * behind a frame that is longer than a plugin wants to hold, or in the middle of a connection. The
 * protocol must have a marker, bytes with which every frame begins (a magic number) or ends.
 */
import type { Memory } from "./memory.ts";

export class Resync {
  /** Whether the last `before` ended at a whole marker. */
  found: bool = false;
  private readonly memory: Memory;
  private readonly marker: i32;
  private readonly length: i32;

  /** `marker`: one byte or more, as text of ASCII. */
  constructor(memory: Memory, marker: string) {
    this.memory = memory;
    this.length = memory.textBytes(marker);
    this.marker = memory.allocate(this.length);
    memory.setText(this.marker, marker);
  }

  /**
   * Bytes that certainly stand before the next marker: pass or drop them. With `found` false the
   * rest, shorter than a marker, may be its beginning: wait for more.
   */
  before(start: i32, end: i32): i32 {
    const memory = this.memory;
    const first = memory.u8(this.marker);
    this.found = false;
    let at = start;
    while (true) {
      at = memory.find(at, end, first);
      const left = end - at;
      if (left < this.length) {
        if (left === 0 || memory.equal(at, this.marker, left)) return at - start;
      } else if (memory.equal(at, this.marker, this.length)) {
        this.found = true;
        return at - start;
      }
      at++;
    }
  }

  /** Bytes of the marker. */
  markerBytes(): i32 {
    return this.length;
  }
}
