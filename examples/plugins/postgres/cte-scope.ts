/**
 * The names that WITH clauses define, and where they count: in the frame of their clause and all
 * frames within, once they are complete. Elsewhere the same name is a table.
 */
import type { Memory } from "imker/sdk/memory.ts";
import type { NameChain } from "./name-chain.ts";

const NAMES_MAX: i32 = 32;
const NAME_BYTES_MAX: i32 = 64;

export class CteScope {
  private readonly memory: Memory;
  private readonly block: i32;
  private readonly lengths: i32[] = [];
  private readonly depths: i32[] = [];
  private readonly visible: bool[] = [];
  private count: i32 = 0;

  constructor(memory: Memory) {
    this.memory = memory;
    this.block = memory.allocate(NAMES_MAX * NAME_BYTES_MAX);
    for (let i = 0; i < NAMES_MAX; i++) {
      this.lengths.push(0);
      this.depths.push(0);
      this.visible.push(false);
    }
  }

  clear(): void {
    this.count = 0;
  }

  /** Adds a name that is not visible yet; its number, or -1 when there are too many. */
  add(name: NameChain, depth: i32): i32 {
    if (this.count === NAMES_MAX || name.bad || name.length > NAME_BYTES_MAX) return -1;
    this.memory.copy(this.block + this.count * NAME_BYTES_MAX, name.at, name.length);
    this.lengths[this.count] = name.length;
    this.depths[this.count] = depth;
    this.visible[this.count] = false;
    return this.count++;
  }

  show(name: i32): void {
    this.visible[name] = true;
  }

  /** Frames deeper than this have ended. */
  leave(depth: i32): void {
    while (this.count > 0 && (this.depths[this.count - 1] as i32) > depth) this.count--;
  }

  has(name: NameChain): bool {
    if (name.parts !== 1 || name.bad) return false;
    for (let i = 0; i < this.count; i++) {
      if (!(this.visible[i] as bool) || (this.lengths[i] as i32) !== name.length) continue;
      if (this.memory.equal(this.block + i * NAME_BYTES_MAX, name.at, name.length)) return true;
    }
    return false;
  }
}
