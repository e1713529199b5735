/**
 * The request target (RFC 9112, 3.2): its form, and where authority and path are in it. Offsets are
 * from the start of the target.
 */
import { equalIgnoringCase } from "../../runtime/sdk/ascii.ts";
import type { Memory } from "../../runtime/sdk/memory.ts";
import { AUTHORITY, type Charset, Word } from "./charset.ts";

const SLASH: i32 = 47;
const QUESTION: i32 = 63;
const STAR: i32 = 42;

/** What all targets of an instance share. */
export class TargetTools {
  readonly memory: Memory;
  readonly flags: i32;
  readonly http: Word;
  readonly https: Word;

  constructor(charset: Charset) {
    this.memory = charset.memory;
    this.flags = charset.flags;
    this.http = new Word(charset.memory, "http://");
    this.https = new Word(charset.memory, "https://");
  }
}

export class Target {
  /** Offset and length of what rules call the path, with the query. */
  path: i32 = 0;
  pathLength: i32 = 0;
  /** Offset and length of the authority; length 0 when the target has none. */
  authority: i32 = 0;
  authorityLength: i32 = 0;
  /** Whether the path is one that can be normalised (origin and absolute form). */
  hasPath: bool = false;
  private readonly tools: TargetTools;

  constructor(tools: TargetTools) {
    this.tools = tools;
  }

  /** Takes a target of TARGET characters apart; false when it is none. */
  parse(at: i32, length: i32, connect: bool, options: bool): bool {
    this.path = 0;
    this.pathLength = length;
    this.authority = 0;
    this.authorityLength = 0;
    this.hasPath = true;
    if (connect) {
      this.hasPath = false;
      this.authorityLength = length;
      return this.authorityValid(at, length);
    }
    const first = this.tools.memory.u8(at);
    if (first === SLASH) return true;
    if (first === STAR) {
      this.hasPath = false;
      return length === 1 && options;
    }
    return this.parseAbsolute(at, length);
  }

  /** Whether every byte may stand in an authority. */
  authorityValid(at: i32, length: i32): bool {
    for (let i = 0; i < length; i++) {
      if ((this.tools.memory.u8(this.tools.flags + this.tools.memory.u8(at + i)) & AUTHORITY) === 0)
        return false;
    }
    return true;
  }

  private parseAbsolute(at: i32, length: i32): bool {
    let scheme = 0;
    if (this.begins(at, length, this.tools.http)) scheme = this.tools.http.length;
    else if (this.begins(at, length, this.tools.https)) scheme = this.tools.https.length;
    else return false;
    let end = scheme;
    while (end < length) {
      const byte = this.tools.memory.u8(at + end);
      if (byte === SLASH || byte === QUESTION) break;
      end++;
    }
    this.authority = scheme;
    this.authorityLength = end - scheme;
    this.path = end;
    this.pathLength = length - end;
    return end > scheme && this.authorityValid(at + scheme, end - scheme);
  }

  private begins(at: i32, length: i32, word: Word): bool {
    return length > word.length && equalIgnoringCase(this.tools.memory, at, word.at, word.length);
  }
}
