/**
 * Bytes that live as long as one call: one block that every call uses again from its start, so that
 * the path of a message allocates nothing. The host's parameters (`cabi_realloc`) stand in one,
 * bytes that a plugin makes up to inject in another. What does not fit goes to blocks of its own,
 * which live until the next call begins; then the block grows to what that call needed.
 */
import type { Memory } from "./memory.ts";

export class CallBuffer {
  private readonly memory: Memory;
  private block: i32;
  private blockBytes: i32;
  /** Bytes of the block in use; bytes this call took; whether the next `take` begins a new call. */
  private used: i32 = 0;
  private needed: i32 = 0;
  private ended: bool = false;
  private readonly overflow: i32[] = [];

  /** `length`: bytes of the block at first. */
  constructor(memory: Memory, length: i32) {
    this.memory = memory;
    this.blockBytes = length;
    this.block = memory.allocate(length);
  }

  /** The call is over: what was taken stays readable until the next call takes its first bytes. */
  end(): void {
    this.ended = true;
  }

  /** `length` bytes, not cleared; `align` is a power of two of at most 8. */
  take(length: i32, align: i32): i32 {
    if (this.ended) this.begin();
    const at = (this.used + align - 1) & -align;
    this.needed += length + align;
    if (at + length <= this.blockBytes) {
      this.used = at + length;
      return this.block + at;
    }
    const block = this.memory.allocate(length);
    this.overflow.push(block);
    return block;
  }

  private begin(): void {
    if (this.overflow.length > 0) this.grow();
    this.ended = false;
    this.used = 0;
    this.needed = 0;
  }

  private grow(): void {
    while (this.overflow.length > 0) this.memory.release(this.overflow.pop() as i32);
    this.memory.release(this.block);
    while (this.blockBytes < this.needed) this.blockBytes *= 2;
    this.block = this.memory.allocate(this.blockBytes);
  }
}
