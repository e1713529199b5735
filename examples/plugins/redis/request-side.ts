/**
 * Commands on their way to the server: judged, reported, and forwarded, or dropped and answered
 * with an error in their turn. A transaction with a denied part is discarded, as Redis does.
 */
import { NOT_A_NUMBER } from "imker/sdk/ascii.ts";
import { FRAME_PARTIAL } from "imker/sdk/delimiter.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { CLOSE_DENIED, CLOSE_MALFORMED, END_OPEN, REQUEST } from "imker/sdk/output.ts";
import type { Call } from "imker/sdk/plugin.ts";
import { DENIED, ERROR, FORWARDED, RECORD_REQUEST } from "imker/sdk/record.ts";
import { TextBlock } from "imker/sdk/text-block.ts";
import { ANSWER_ABORTED, ANSWER_DENIED } from "./answer-kinds.ts";
import type { Answers } from "./answers.ts";
import { Command } from "./command.ts";
import { CommandPlaces } from "./command-places.ts";
import { BULK_BYTES_MAX, CommandReader, READ_DONE, READ_PARTIAL } from "./command-reader.ts";
import { EFFECT_DISCARD, EFFECT_EXEC, EFFECT_MULTI, EFFECT_RESET } from "./command-table.ts";
import { DENIED_WAITING_MAX, type RedisConnection } from "./connection.ts";
import {
  REQUEST_CHANNEL,
  REQUEST_COMMAND,
  REQUEST_KEY,
  REQUEST_KEYS,
  REQUEST_SECRET,
  REQUEST_SUBCOMMAND,
} from "./keys.ts";
import { RespLine } from "./resp-line.ts";
import { Judge } from "./rules.ts";

/** Keys judged in one call; then the host calls again, with fresh fuel. */
const WORK_MAX: i32 = 512;

export class RequestSide {
  private readonly memory: Memory;
  private readonly answers: Answers;
  private readonly line: RespLine;
  private readonly reader: CommandReader;
  private readonly command: Command;
  private readonly places: CommandPlaces;
  private readonly judge: Judge;
  private readonly discard: TextBlock;

  constructor(memory: Memory, answers: Answers) {
    this.memory = memory;
    this.answers = answers;
    this.line = new RespLine(memory);
    const reader = new CommandReader(memory);
    this.reader = reader;
    this.command = new Command(memory, reader);
    this.places = new CommandPlaces(memory, reader);
    this.judge = new Judge(memory, reader);
    this.discard = new TextBlock(memory, "*1\r\n$7\r\nDISCARD\r\n");
  }

  /** The client's bytes of one call. */
  read(redis: RedisConnection, call: Call): void {
    let at = call.start;
    this.judge.work = 0;
    while (at < call.end && !call.full() && this.judge.work < WORK_MAX) {
      const between = redis.argumentsLeft === 0 && !redis.argumentEnds;
      const bytes = between ? this.next(redis, call, at) : this.argument(redis, call, at);
      if (bytes === 0) return;
      at += bytes;
    }
  }

  /** The command at `at`; gives the bytes consumed, 0 when the call is over. */
  private next(redis: RedisConnection, call: Call, at: i32): i32 {
    const result = this.reader.readCommand(at, call.end);
    if (result === READ_PARTIAL && call.after === END_OPEN) {
      call.output.more(this.reader.missing as f64);
      return 0;
    }
    if (result !== READ_DONE) return malformed(call);
    const bytes = this.reader.end - at;
    if (this.reader.count === 0) {
      // Redis takes an empty line or array, and says nothing to it.
      call.output.pass(bytes as f64);
      return bytes;
    }
    this.command.recognise(redis.transaction);
    this.places.find(this.command.info);
    if (redis.replies.full()) return malformed(call);
    const stage = this.judge.denyingStage(redis.stages, this.command, this.places);
    return this.decide(redis, call, stage, bytes) ? bytes : 0;
  }

  /** Reports the command and forwards or drops what was read of it; false: the connection ends. */
  private decide(redis: RedisConnection, call: Call, stage: i32, bytes: i32): bool {
    const command = this.command;
    const exchange = redis.nextExchange++;
    redis.argumentsLeft = this.reader.count - this.reader.read;
    redis.argumentsDropped = stage >= 0 || command.refused;
    this.fields(call);
    if (redis.argumentsDropped) {
      if (redis.transaction && !redis.broken) {
        redis.broken = true;
        redis.brokenStage = stage;
      }
      emitStopped(call, stage, exchange);
      return this.answerDenied(redis, call, exchange, bytes);
    }
    if (command.effect === EFFECT_EXEC && redis.broken && this.reader.count === 1) {
      emitStopped(call, redis.brokenStage, exchange);
      call.output.inject(REQUEST, this.discard.address, this.discard.length);
      call.output.drop(bytes as f64);
      redis.replies.push(exchange, ANSWER_ABORTED, 1);
    } else {
      call.record.emit(RECORD_REQUEST, FORWARDED, 0, exchange);
      call.output.pass(bytes as f64);
      redis.replies.push(exchange, command.answer, command.answers);
    }
    this.follow(redis);
    return true;
  }

  /** The client gets an error in place of a reply, at once or when the replies before it came. */
  private answerDenied(redis: RedisConnection, call: Call, exchange: i32, bytes: i32): bool {
    redis.replies.push(exchange, ANSWER_DENIED, 1);
    redis.deniedWaiting++;
    this.answers.give(redis, call);
    if (redis.deniedWaiting > DENIED_WAITING_MAX) {
      call.output.close(CLOSE_DENIED);
      return false;
    }
    call.output.drop(bytes as f64);
    return true;
  }

  /** A forwarded command begins or ends a transaction. Only without arguments: else it fails. */
  private follow(redis: RedisConnection): void {
    if (this.reader.count !== 1) return;
    const effect = this.command.effect;
    if (effect === EFFECT_MULTI) {
      redis.transaction = true;
    } else if (effect === EFFECT_EXEC || effect === EFFECT_DISCARD || effect === EFFECT_RESET) {
      redis.transaction = false;
      redis.broken = false;
    }
  }

  private fields(call: Call): void {
    const record = call.record;
    const reader = this.reader;
    const command = this.command;
    if (command.nameLength > 0) this.field(call, REQUEST_COMMAND, 0);
    if (command.subcommandLength > 0) this.field(call, REQUEST_SUBCOMMAND, 1);
    const shown = this.judge.shown;
    if (shown > 0) this.field(call, this.places.channels ? REQUEST_CHANNEL : REQUEST_KEY, shown);
    const keys = this.places.indices.length;
    if (keys > 1 && !this.places.channels) record.number(REQUEST_KEYS, keys as f64);
    const first = command.secretFrom;
    if (first === 0 || first >= reader.read) return;
    const last = reader.read - 1;
    const start = reader.start(first);
    record.span(
      REQUEST_SECRET,
      start - call.start,
      reader.start(last) + reader.length(last) - start,
    );
  }

  private field(call: Call, key: i32, index: i32): void {
    call.record.span(key, this.reader.start(index) - call.start, this.reader.length(index));
  }

  /** A further argument of the command, not looked at; gives the bytes consumed, 0 to wait. */
  private argument(redis: RedisConnection, call: Call, at: i32): i32 {
    let bytes = 2;
    if (redis.argumentEnds) {
      if (call.end - at < 2) return wait(call);
      if (!this.line.crlf(at)) return malformed(call);
      redis.argumentEnds = false;
    } else {
      const header = this.line.header(at, call.end);
      if (header === FRAME_PARTIAL) return wait(call);
      const length = this.line.number;
      const bulk = header > 0 && this.memory.u8(at) === 36;
      if (!bulk || length === NOT_A_NUMBER || length > BULK_BYTES_MAX) return malformed(call);
      bytes = header + (length as i32);
      redis.argumentsLeft--;
      redis.argumentEnds = true;
    }
    if (redis.argumentsDropped) call.output.drop(bytes as f64);
    else call.output.pass(bytes as f64);
    return bytes;
  }
}

/** Reports a command that does not go on: a policy denies it, or the plugin cannot let it pass. */
function emitStopped(call: Call, stage: i32, exchange: i32): void {
  if (stage >= 0) call.record.emit(RECORD_REQUEST, DENIED, stage, exchange);
  else call.record.emit(RECORD_REQUEST, ERROR, 0, exchange);
}

function malformed(call: Call): i32 {
  call.output.close(CLOSE_MALFORMED);
  return 0;
}

function wait(call: Call): i32 {
  if (call.after !== END_OPEN) return malformed(call);
  call.output.more(1);
  return 0;
}
