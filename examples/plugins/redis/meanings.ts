/**
 * Tells the server's messages of pub/sub from replies: by the first element of an array (RESP2) or
 * push message (RESP3), a bulk string such as `subscribe` or `message`.
 */
import { FRAME_PARTIAL } from "imker/sdk/delimiter.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { TextBlock } from "imker/sdk/text-block.ts";
import { RespLine } from "./resp-line.ts";

/** More bytes are needed to know. */
export const MEANING_UNKNOWN: i32 = -1;
/** A reply, as far as its first element tells. */
export const MEANING_REPLY: i32 = 0;
/** A message that is no reply. */
export const MEANING_PUSHED: i32 = 1;
/** Confirms the beginning or end of a subscription: to a channel, a pattern, a shard channel. */
export const MEANING_CHANNELS: i32 = 2;
export const MEANING_PATTERNS: i32 = 3;
export const MEANING_SHARDS: i32 = 4;

const PUSHED_WORDS: string[] = ["message", "pmessage", "smessage"];
const CHANNELS_WORDS: string[] = ["subscribe", "unsubscribe"];
const PATTERNS_WORDS: string[] = ["psubscribe", "punsubscribe"];
const SHARDS_WORDS: string[] = ["ssubscribe", "sunsubscribe"];
const WORD_BYTES_MAX: f64 = 16;

export class Meanings {
  private readonly memory: Memory;
  private readonly line: RespLine;
  private readonly words: TextBlock[] = [];
  private readonly meanings: i32[] = [];

  constructor(memory: Memory) {
    this.memory = memory;
    this.line = new RespLine(memory);
    this.add(PUSHED_WORDS, MEANING_PUSHED);
    this.add(CHANNELS_WORDS, MEANING_CHANNELS);
    this.add(PATTERNS_WORDS, MEANING_PATTERNS);
    this.add(SHARDS_WORDS, MEANING_SHARDS);
  }

  /** What a message means by its first element, which begins at `at`. */
  of(at: i32, end: i32): i32 {
    if (at >= end) return MEANING_UNKNOWN;
    if (this.memory.u8(at) !== 36) return MEANING_REPLY;
    const header = this.line.header(at, end);
    if (header === FRAME_PARTIAL) return MEANING_UNKNOWN;
    const length = this.line.number;
    if (header < 0 || length < 1 || length > WORD_BYTES_MAX) return MEANING_REPLY;
    const word = at + header;
    const bytes = length as i32;
    if (word + bytes > end) return MEANING_UNKNOWN;
    for (let i = 0; i < this.words.length; i++) {
      const known = this.words[i] as TextBlock;
      if (known.length === bytes && this.memory.equal(known.address, word, bytes)) {
        return this.meanings[i] as i32;
      }
    }
    return MEANING_REPLY;
  }

  private add(words: string[], meaning: i32): void {
    for (let i = 0; i < words.length; i++) {
      this.words.push(new TextBlock(this.memory, words[i] as string));
      this.meanings.push(meaning);
    }
  }
}
