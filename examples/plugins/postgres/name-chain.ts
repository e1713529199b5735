/**
 * A name as it would be written without quotes, `schema.table`, from its parts: folded
 * to lower case unless quoted. A name that rules could mistake for another one (other characters
 * than printable ASCII, a dot or quote within quotes, longer than the server keeps) is `bad`.
 */
import { lower, printable } from "imker/sdk/ascii.ts";
import type { Memory } from "imker/sdk/memory.ts";

const NAME_BYTES_MAX: i32 = 256;
/** Longer parts are cut by the server. */
const PART_BYTES_MAX: i32 = 63;

export class NameChain {
  /** Where the name stands. */
  readonly at: i32;
  length: i32 = 0;
  parts: i32 = 0;
  bad: bool = false;
  private readonly memory: Memory;

  constructor(memory: Memory) {
    this.memory = memory;
    this.at = memory.allocate(NAME_BYTES_MAX);
  }

  start(at: i32, length: i32, quoted: bool): void {
    this.length = 0;
    this.parts = 0;
    this.bad = false;
    this.append(at, length, quoted);
  }

  append(at: i32, length: i32, quoted: bool): void {
    const memory = this.memory;
    const room = this.length + length + 3 <= NAME_BYTES_MAX;
    const readable = length <= PART_BYTES_MAX && printable(memory, at, length);
    this.parts++;
    if (!room || !readable || length === 0) {
      this.bad = true;
      return;
    }
    if (this.parts > 1) this.put(46);
    for (let i = 0; i < length; i++) {
      const byte = memory.u8(at + i);
      if (quoted && !plain(byte)) this.bad = true;
      this.put(quoted ? byte : lower(byte));
    }
  }

  /** Makes it the name of a function: `name()`. */
  call(): void {
    this.put(40);
    this.put(41);
  }

  private put(byte: i32): void {
    this.memory.setU8(this.at + this.length, byte);
    this.length++;
  }
}

/** Not a dot, quote or parenthesis, which mean something in a name as rules see it. */
function plain(byte: i32): bool {
  return byte !== 46 && byte !== 34 && byte !== 40 && byte !== 41;
}
