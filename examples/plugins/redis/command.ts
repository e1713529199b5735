/**
 * What a command does to the connection, by its name: how the server answers it, whether it must
 * not pass because what follows would not be commands and replies, whether it carries secrets.
 */
import { printable } from "imker/sdk/ascii.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { ANSWER_UPSTREAM } from "imker/sdk/reply-queue.ts";
import {
  ANSWER_ALL_CHANNELS,
  ANSWER_ALL_PATTERNS,
  ANSWER_ALL_SHARDS,
  ANSWER_CONFIRMED,
  ANSWER_HELLO,
  ANSWER_RESET,
} from "./answer-kinds.ts";
import type { CommandReader } from "./command-reader.ts";
import {
  type CommandInfo,
  CommandTable,
  EFFECT_HELLO,
  EFFECT_LEAVES,
  EFFECT_RESET,
  EFFECT_SECRET,
  EFFECT_SUBSCRIBES,
  EFFECT_UNSUBSCRIBES,
  EFFECT_UNSUBSCRIBES_PATTERNS,
  EFFECT_UNSUBSCRIBES_SHARDS,
  NAME_BYTES_MAX,
} from "./command-table.ts";

const BAR: i32 = 124;

export class Command {
  /** Name and subcommand in upper case, "NAME|SUBCOMMAND"; lengths are 0 when there is none. */
  readonly name: i32;
  nameLength: i32 = 0;
  subcommand: i32 = 0;
  subcommandLength: i32 = 0;
  info: CommandInfo;
  effect: i32 = 0;
  /** How it is answered (connection.ts), and by how many replies. */
  answer: i32 = ANSWER_UPSTREAM;
  answers: i32 = 1;
  /** It would take the connection out of the protocol, or can be no command. */
  refused: bool = false;
  /** Index of the first argument that is secret; 0 for none. */
  secretFrom: i32 = 0;
  private readonly memory: Memory;
  private readonly reader: CommandReader;
  private readonly table: CommandTable;

  constructor(memory: Memory, reader: CommandReader) {
    this.memory = memory;
    this.reader = reader;
    const table = new CommandTable(memory);
    this.table = table;
    this.name = memory.allocate(2 * NAME_BYTES_MAX + 1);
    this.info = table.unknown;
  }

  /** Looks at the command that the reader has read; `queued`: it stands behind a MULTI. */
  recognise(queued: bool): void {
    const reader = this.reader;
    this.answer = ANSWER_UPSTREAM;
    this.answers = 1;
    this.secretFrom = 0;
    this.subcommandLength = 0;
    this.nameLength = this.upperCase(0, this.name);
    this.refused = this.nameLength === 0;
    this.info = this.table.find(this.name, this.nameLength);
    this.effect = this.info.effect;
    if (this.info.container && reader.count > 1) {
      const bar = this.name + this.nameLength;
      this.memory.setU8(bar, BAR);
      this.subcommand = bar + 1;
      this.subcommandLength = this.upperCase(1, bar + 1);
      if (this.subcommandLength === 0) this.refused = true;
      const whole = this.nameLength + 1 + this.subcommandLength;
      this.effect = this.table.find(this.name, whole).effect;
    }
    this.takeEffect(queued);
    if (this.secretFrom > 0 && reader.truncated()) this.refused = true;
  }

  private takeEffect(queued: bool): void {
    const effect = this.effect;
    const count = this.reader.count;
    if (effect === EFFECT_LEAVES) this.refused = true;
    if (effect === EFFECT_SECRET) this.secretFrom = this.info.container ? 2 : 1;
    if (effect === EFFECT_HELLO) {
      this.answer = ANSWER_HELLO;
      this.secretFrom = 2;
    }
    if (effect === EFFECT_RESET && count === 1) this.answer = ANSWER_RESET;
    if (effect >= EFFECT_SUBSCRIBES && count > 1) {
      this.answer = ANSWER_CONFIRMED;
      this.answers = count - 1;
    } else if (effect === EFFECT_UNSUBSCRIBES) this.answer = ANSWER_ALL_CHANNELS;
    else if (effect === EFFECT_UNSUBSCRIBES_PATTERNS) this.answer = ANSWER_ALL_PATTERNS;
    else if (effect === EFFECT_UNSUBSCRIBES_SHARDS) this.answer = ANSWER_ALL_SHARDS;
    // Queued, they would change the protocol in the middle of the reply to EXEC.
    if (queued && (effect === EFFECT_HELLO || effect >= EFFECT_SUBSCRIBES)) this.refused = true;
    if (this.secretFrom >= count) this.secretFrom = 0;
  }

  /** Writes an argument in upper case; its length, or 0 when it can be no name. */
  private upperCase(index: i32, to: i32): i32 {
    if (index >= this.reader.read) return 0;
    const from = this.reader.start(index);
    const length = this.reader.length(index);
    if (length > NAME_BYTES_MAX || !printable(this.memory, from, length)) return 0;
    for (let i = 0; i < length; i++) {
      const byte = this.memory.u8(from + i);
      this.memory.setU8(to + i, byte >= 97 && byte <= 122 ? byte - 32 : byte);
    }
    return length;
  }
}
