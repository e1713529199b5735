/**
 * What bytes may stand where in HTTP/1.1, as one table of flags, and the words the parser compares
 * with. One object serves a whole instance.
 */
import type { Memory } from "../../runtime/sdk/memory.ts";

/** RFC 9110, 5.6.2: methods and field names. */
export const TOKEN: i32 = 1;
/** Request targets: visible ASCII but `#` and `\`, which RFC 3986 does not have there. */
export const TARGET: i32 = 2;
/** RFC 3986, 3.2.2 with port and IP literal, without user information. */
export const AUTHORITY: i32 = 4;
/** RFC 3986, 2.3: characters whose percent-encoding means nothing. */
export const UNRESERVED: i32 = 8;
/** Bytes of a path that normalisation may touch: `%`, `.` and `/`. */
export const SUSPECT: i32 = 16;

const DIGITS = "0123456789";
const LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

export class Charset {
  readonly memory: Memory;
  /** Address of 256 bytes of flags. */
  readonly flags: i32;

  constructor(memory: Memory) {
    this.memory = memory;
    this.flags = memory.allocate(256);
    memory.fill(this.flags, 0, 256);
    for (let byte = 33; byte < 127; byte++) {
      if (byte !== 35 && byte !== 92) memory.setU8(this.flags + byte, TARGET);
    }
    this.mark(`${DIGITS}${LETTERS}`, TOKEN | AUTHORITY | UNRESERVED);
    this.mark("!#$%&'*+-.^_`|~", TOKEN);
    this.mark("!$&'()*+,;=:%[]-._~", AUTHORITY);
    this.mark("-._~", UNRESERVED);
    this.mark("%./", SUSPECT);
  }

  private mark(characters: string, flag: i32): void {
    for (let i = 0; i < characters.length; i++) {
      const at = this.flags + characters.charCodeAt(i);
      this.memory.setU8(at, this.memory.u8(at) | flag);
    }
  }
}

/** A word in memory, in lower case where case does not matter. */
export class Word {
  readonly at: i32;
  readonly length: i32;

  constructor(memory: Memory, text: string) {
    this.length = memory.textBytes(text);
    this.at = memory.allocate(this.length);
    memory.setText(this.at, text);
  }
}
