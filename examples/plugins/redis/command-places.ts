/**
 * Finds the keys, or the channels, of a command: indices of arguments. Where they cannot be known
 * for certain it finds none; then only a rule without `key` and `channel` can allow the command.
 */
import { decimal, equalIgnoringCase } from "imker/sdk/ascii.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { TextBlock } from "imker/sdk/text-block.ts";
import type { CommandReader } from "./command-reader.ts";
import {
  type CommandInfo,
  PLACES_CHANNELS,
  PLACES_COUNTED,
  PLACES_KEYS,
  PLACES_RADIUS,
  PLACES_SORT,
  PLACES_STREAMS,
} from "./command-table.ts";

/** Keys of one command that are judged; with more they count as unknown. */
export const KEYS_MAX: i32 = 512;

export class CommandPlaces {
  /** Indices of the arguments that are keys, or channels. */
  readonly indices: i32[] = [];
  /** Whether they are channels. */
  channels: bool = false;
  private readonly memory: Memory;
  private readonly reader: CommandReader;
  private unknown: bool = false;
  private readonly block: TextBlock;
  private readonly count: TextBlock;
  private readonly group: TextBlock;
  private readonly claim: TextBlock;
  private readonly noack: TextBlock;
  private readonly streams: TextBlock;
  private readonly store: TextBlock;
  private readonly storeDistance: TextBlock;
  private readonly by: TextBlock;
  private readonly get: TextBlock;
  private readonly limit: TextBlock;

  constructor(memory: Memory, reader: CommandReader) {
    this.memory = memory;
    this.reader = reader;
    this.block = new TextBlock(memory, "block");
    this.count = new TextBlock(memory, "count");
    this.group = new TextBlock(memory, "group");
    this.claim = new TextBlock(memory, "claim");
    this.noack = new TextBlock(memory, "noack");
    this.streams = new TextBlock(memory, "streams");
    this.store = new TextBlock(memory, "store");
    this.storeDistance = new TextBlock(memory, "storedist");
    this.by = new TextBlock(memory, "by");
    this.get = new TextBlock(memory, "get");
    this.limit = new TextBlock(memory, "limit");
  }

  /** Fills `indices` for the command that the reader has read. */
  find(info: CommandInfo): void {
    this.indices.length = 0;
    this.unknown = false;
    this.channels = info.kind === PLACES_CHANNELS;
    if (info.kind === PLACES_KEYS || this.channels) {
      const last = info.last < 0 ? this.reader.count + info.last : info.last;
      this.range(info.first, last, info.step);
    } else if (info.kind === PLACES_COUNTED) {
      this.counted(info.first, info.last);
    } else if (info.kind === PLACES_STREAMS) {
      this.streamKeys();
    } else if (info.kind === PLACES_SORT) {
      this.sortKeys();
    } else if (info.kind === PLACES_RADIUS) {
      this.radiusKeys();
    }
    if (this.unknown) this.indices.length = 0;
  }

  private add(index: i32): void {
    if (index >= this.reader.read || this.indices.length === KEYS_MAX) this.unknown = true;
    else this.indices.push(index);
  }

  private range(first: i32, last: i32, step: i32): void {
    for (let i = first; i <= last && i < this.reader.count && !this.unknown; i += step) {
      this.add(i);
    }
  }

  private counted(at: i32, destination: i32): void {
    const count = at < this.reader.read ? this.decimalAt(at) : -1;
    if (count < 1 || count > ((this.reader.count - at - 1) as f64)) {
      this.unknown = true;
      return;
    }
    if (destination > 0) this.add(destination);
    this.range(at + 1, at + (count as i32), 1);
  }

  private decimalAt(index: i32): f64 {
    return decimal(this.memory, this.reader.start(index), this.reader.length(index));
  }

  private is(index: i32, word: TextBlock): bool {
    if (this.reader.length(index) !== word.length) return false;
    return equalIgnoringCase(this.memory, this.reader.start(index), word.address, word.length);
  }

  /** Options are read one after the other, as Redis does: a group may be called STREAMS. */
  private streamKeys(): void {
    let at = 1;
    while (at < this.reader.read && !this.is(at, this.streams)) {
      if (this.is(at, this.noack)) at += 1;
      else if (this.is(at, this.group)) at += 3;
      else if (this.is(at, this.block) || this.is(at, this.count) || this.is(at, this.claim))
        at += 2;
      else break;
    }
    const left = this.reader.count - at - 1;
    if (at >= this.reader.read || !this.is(at, this.streams) || left < 2 || left % 2 !== 0) {
      this.unknown = true;
      return;
    }
    this.range(at + 1, at + left / 2, 1);
  }

  private sortKeys(): void {
    if (this.reader.truncated()) this.unknown = true;
    this.range(1, 1, 1);
    let at = 2;
    while (at < this.reader.read && !this.unknown) {
      const more = at + 1 < this.reader.read;
      if (more && this.is(at, this.store)) this.add(at + 1);
      if (this.is(at, this.limit)) at += 3;
      else if (more && this.is(at, this.store)) at += 2;
      else if (more && (this.is(at, this.by) || this.is(at, this.get))) {
        const pattern = this.reader.start(at + 1);
        const end = pattern + this.reader.length(at + 1);
        // With an asterisk it reads keys of whatever name the data gives.
        if (this.memory.find(pattern, end, 42) !== end) this.unknown = true;
        at += 2;
      } else at += 1;
    }
  }

  /** Any word behind STORE counts as a key, wherever it stands: more than needed, never less. */
  private radiusKeys(): void {
    if (this.reader.truncated()) this.unknown = true;
    this.range(1, 1, 1);
    for (let at = 2; at + 1 < this.reader.read && !this.unknown; at++) {
      if (this.is(at, this.store) || this.is(at, this.storeDistance)) this.add(at + 1);
    }
  }
}
