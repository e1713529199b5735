/**
 * Where the host puts the parameters of a call (`cabi_realloc`): one block that every call uses
 * again from its start, so that `on-data` allocates nothing. What does not fit goes to blocks of
 * its own, which live until the next call begins; then the block grows to what that call needed.
 */
import type { Memory } from "./memory.ts";

const BLOCK_BYTES_START: i32 = 20480;

export class Parameters {
  private readonly memory: Memory;
  private block: i32;
  private blockBytes: i32 = BLOCK_BYTES_START;
  /** Bytes of the block in use; of all parameters of this call; whether a new call begins. */
  private used: i32 = 0;
  private needed: i32 = 0;
  private ended: bool = false;
  private readonly overflow: i32[] = [];

  constructor(memory: Memory) {
    this.memory = memory;
    this.block = memory.allocate(BLOCK_BYTES_START);
  }

  /** The call is over: its parameters stay readable until the next call's first allocation. */
  end(): void {
    this.ended = true;
  }

  /** The contract's realloc; `align` is a power of two of at most 8. */
  reallocate(old: i32, oldLength: i32, align: i32, length: i32): i32 {
    if (this.ended) this.begin();
    const at = (this.used + align - 1) & -align;
    this.needed += length + align;
    let to = 0;
    if (at + length <= this.blockBytes) {
      this.used = at + length;
      to = this.block + at;
    } else {
      to = this.memory.allocate(length);
      this.overflow.push(to);
    }
    if (oldLength > 0) this.memory.copy(to, old, oldLength < length ? oldLength : length);
    return to;
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
