/**
 * What the server sends: replies in the order of the commands, and in between messages that nobody
 * asked for (push messages of RESP3, published messages of RESP2). Forwarded as it comes, element
 * by element and however large; the plugin only needs to know where a message ends and what it is.
 */
import { decimal, NOT_A_NUMBER } from "imker/sdk/ascii.ts";
import { FRAME_PARTIAL } from "imker/sdk/delimiter.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { CLOSE_FINISHED, CLOSE_MALFORMED, END_OPEN } from "imker/sdk/output.ts";
import type { Call } from "imker/sdk/plugin.ts";
import { FORWARDED, RECORD_RESPONSE } from "imker/sdk/record.ts";
import { ANSWER_ABORTED, ANSWER_CONFIRMED } from "./answer-kinds.ts";
import type { Answers } from "./answers.ts";
import { BULK_BYTES_MAX } from "./command-reader.ts";
import type { RedisConnection } from "./connection.ts";
import { RESPONSE_ERROR, RESPONSE_TYPE } from "./keys.ts";
import {
  MEANING_CHANNELS,
  MEANING_PUSHED,
  MEANING_REPLY,
  MEANING_UNKNOWN,
  Meanings,
} from "./meanings.ts";
import {
  ReplyTypes,
  SHAPE_ATTRIBUTE,
  SHAPE_BULK,
  SHAPE_ELEMENTS,
  SHAPE_LINE,
  SHAPE_NONE,
  TYPE_ARRAY,
  TYPE_ERROR,
  TYPE_INTEGER,
  TYPE_NULL,
  TYPE_PUSH,
  TYPE_SIMPLE,
} from "./reply-types.ts";
import { RespLine } from "./resp-line.ts";
import { settleReply, takeConfirmation } from "./settlement.ts";

/** More elements than any server sends in one message. */
const ELEMENTS_MAX: f64 = 4294967296;
/** Longest code of an error that is reported. */
const ERROR_BYTES_MAX: i32 = 32;

export class ResponseSide {
  private readonly memory: Memory;
  private readonly answers: Answers;
  private readonly line: RespLine;
  private readonly types: ReplyTypes;
  private readonly meanings: Meanings;

  constructor(memory: Memory, answers: Answers) {
    this.memory = memory;
    this.answers = answers;
    this.line = new RespLine(memory);
    this.types = new ReplyTypes(memory);
    this.meanings = new Meanings(memory);
  }

  /** The server's bytes of one call. */
  read(redis: RedisConnection, call: Call): void {
    let at = call.start;
    while (at < call.end && !call.full()) {
      const bytes = redis.bulkEnds ? this.bulkEnd(redis, call, at) : this.element(redis, call, at);
      if (bytes === 0) return;
      at += bytes;
    }
  }

  /** The CR LF behind a bulk string; held until it is whole: a message ends in a call. */
  private bulkEnd(redis: RedisConnection, call: Call, at: i32): i32 {
    if (call.end - at < 2) return wait(call);
    if (!this.line.crlf(at)) return malformed(call);
    redis.bulkEnds = false;
    call.output.pass(2);
    this.ended(redis, call, at, 0, 1);
    return 2;
  }

  /** The line of an element, with what it announces; gives the bytes consumed, 0 to stop. */
  private element(redis: RedisConnection, call: Call, at: i32): i32 {
    const type = this.memory.u8(at);
    const shape = this.types.shape(type);
    if (shape === SHAPE_NONE) return malformed(call);
    const bytes =
      shape === SHAPE_LINE ? this.line.text(at, call.end) : this.line.header(at, call.end);
    if (bytes === FRAME_PARTIAL) return wait(call);
    if (bytes < 0) return malformed(call);
    const begins = redis.elementsLeft === 0;
    if (begins) {
      const meaning = this.meaning(redis, type, at + bytes, call.end);
      if (meaning === MEANING_UNKNOWN) return wait(call);
      if (meaning === MEANING_REPLY && !expected(redis, call, type, bytes)) return 0;
      if (meaning === MEANING_REPLY && redis.replies.answer() === ANSWER_ABORTED) {
        return this.aborted(redis, call, type, bytes);
      }
      redis.elementsLeft = 1;
      redis.meaning = meaning;
      redis.type = shape !== SHAPE_LINE && this.line.nil ? TYPE_NULL : type;
    } else if (type === TYPE_PUSH) return malformed(call);
    if (shape === SHAPE_LINE) {
      if (redis.meaning >= MEANING_CHANNELS && redis.elementsLeft === 1 && type === TYPE_INTEGER) {
        takeConfirmation(redis, decimal(this.memory, at + 1, bytes - 3));
      }
      call.output.pass(bytes as f64);
      this.ended(redis, call, at, bytes, 1);
      return bytes;
    }
    return this.announced(redis, call, at, bytes, shape);
  }

  /** What a length announces: bytes, elements, pairs, or that there is nothing (-1). */
  private announced(redis: RedisConnection, call: Call, at: i32, bytes: i32, shape: i32): i32 {
    const count = this.line.number;
    if (this.line.nil && (shape === SHAPE_BULK || shape === SHAPE_ELEMENTS)) {
      call.output.pass(bytes as f64);
      this.ended(redis, call, at, bytes, 1);
      return bytes;
    }
    if (count === NOT_A_NUMBER || count > BULK_BYTES_MAX) return malformed(call);
    if (shape === SHAPE_BULK) {
      redis.bulkEnds = true;
      call.output.pass((bytes as f64) + count);
      return bytes + (count as i32);
    }
    if (redis.elementsLeft + 2 * count > ELEMENTS_MAX) return malformed(call);
    redis.elementsLeft += shape === SHAPE_ELEMENTS ? count : 2 * count;
    call.output.pass(bytes as f64);
    this.ended(redis, call, at, bytes, shape === SHAPE_ATTRIBUTE ? 0 : 1);
    return bytes;
  }

  /** An element is over, perhaps the message with it; `bytes` of its line at `at`, 0 if behind. */
  private ended(redis: RedisConnection, call: Call, at: i32, bytes: i32, elements: f64): void {
    redis.elementsLeft -= elements;
    if (redis.elementsLeft > 0) return;
    if (redis.meaning !== MEANING_PUSHED) {
      const exchange = redis.replies.exchange();
      if (settleReply(redis)) this.report(redis, call, at, bytes, exchange);
    }
    this.answers.give(redis, call);
  }

  private report(redis: RedisConnection, call: Call, at: i32, bytes: i32, exchange: i32): void {
    const name = this.types.name(redis.type);
    call.record.bytes(RESPONSE_TYPE, name.address, name.length);
    if (redis.type === TYPE_ERROR && bytes > 0) {
      // The code only: what stands behind it may repeat arguments.
      const end = this.codeEnd(at + 1, at + bytes);
      if (end > at + 1) call.record.span(RESPONSE_ERROR, at + 1 - call.start, end - at - 1);
    }
    call.record.emit(RECORD_RESPONSE, FORWARDED, 0, exchange);
  }

  /** Behind the capitals, digits and underscores at `at`. */
  private codeEnd(from: i32, end: i32): i32 {
    let at = from;
    while (at < end && at - from < ERROR_BYTES_MAX) {
      const byte = this.memory.u8(at);
      const plain = (byte >= 65 && byte <= 90) || (byte >= 48 && byte <= 57) || byte === 95;
      if (!plain) break;
      at++;
    }
    return at;
  }

  /** What the message means whose first element is behind the header line. */
  private meaning(redis: RedisConnection, type: i32, first: i32, end: i32): i32 {
    const confirmed = redis.replies.answer() >= ANSWER_CONFIRMED;
    const subscribed = redis.channels + redis.patterns + redis.shards > 0;
    const published = type === TYPE_ARRAY && redis.version === 2 && (confirmed || subscribed);
    if (type !== TYPE_PUSH && !published) return MEANING_REPLY;
    const empty = this.line.number < 1;
    const meaning = empty ? MEANING_REPLY : this.meanings.of(first, end);
    if (meaning === MEANING_UNKNOWN) return meaning;
    if (meaning >= MEANING_CHANNELS) return confirmed ? meaning : MEANING_PUSHED;
    return type === TYPE_PUSH ? MEANING_PUSHED : meaning;
  }

  /** The reply to our own DISCARD: it does not reach the client, EXECABORT does. */
  private aborted(redis: RedisConnection, call: Call, type: i32, bytes: i32): i32 {
    if (type !== TYPE_SIMPLE && type !== TYPE_ERROR) return malformed(call);
    call.output.drop(bytes as f64);
    this.answers.abort(call);
    redis.replies.shift();
    this.answers.give(redis, call);
    return bytes;
  }
}

/** Whether a reply is due; a server that is full sends an error unasked, and hangs up. */
function expected(redis: RedisConnection, call: Call, type: i32, bytes: i32): bool {
  if (!redis.replies.empty()) return true;
  if (type !== TYPE_ERROR) return malformed(call) > 0;
  call.output.pass(bytes as f64);
  call.output.close(CLOSE_FINISHED);
  return false;
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
