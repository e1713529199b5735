/** What the plugin remembers of one connection: state between calls, never bytes. */
import { Connection } from "imker/sdk/plugin.ts";
import { ReplyQueue } from "imker/sdk/reply-queue.ts";

/** Replies a client may be ahead of; a power of two. */
const UNANSWERED_MAX: i32 = 16384;
/** Of these, denied commands whose turn has not come: all of them are one injection. */
export const DENIED_WAITING_MAX: i32 = 1024;

/** Answers in the reply queue beside ANSWER_UPSTREAM (0). Denied: the plugin's own error. */
export const ANSWER_DENIED: i32 = 1;
/** The server answers DISCARD in place of an EXEC; the client gets EXECABORT. */
export const ANSWER_ABORTED: i32 = 2;
/** The server's answer says which version of the protocol counts from then on. */
export const ANSWER_HELLO: i32 = 3;
/** Back to RESP2, without subscriptions. */
export const ANSWER_RESET: i32 = 4;
/** One confirmation of a subscription, or of its end. */
export const ANSWER_CONFIRMED: i32 = 5;
/** A confirmation for each channel, pattern or shard channel there is, at least one. */
export const ANSWER_ALL_CHANNELS: i32 = 6;
export const ANSWER_ALL_PATTERNS: i32 = 7;
export const ANSWER_ALL_SHARDS: i32 = 8;

export class RedisConnection extends Connection {
  readonly replies: ReplyQueue = new ReplyQueue(UNANSWERED_MAX);
  nextExchange: i32 = 0;
  /** Denied commands in `replies`. */
  deniedWaiting: i32 = 0;

  /** Arguments of the current command that are forwarded or dropped without being looked at. */
  argumentsLeft: i32 = 0;
  argumentsDropped: bool = false;
  /** The CR LF behind a forwarded or dropped argument comes next. */
  argumentEnds: bool = false;

  /** A MULTI was forwarded; a command since was not, because this stage denied it (-1: refused). */
  transaction: bool = false;
  broken: bool = false;
  brokenStage: i32 = -1;

  /** RESP version, as the server last confirmed. */
  version: i32 = 2;
  /** Subscriptions, as the server last confirmed; shard channels are counted apart. */
  channels: f64 = 0;
  patterns: f64 = 0;
  shards: f64 = 0;

  /** Elements of the current message of the server that have not ended; 0: between two. */
  elementsLeft: f64 = 0;
  /** The CR LF behind a forwarded bulk string comes next. */
  bulkEnds: bool = false;
  /** First byte of the current message, and what it is (response-side.ts). */
  type: i32 = 0;
  meaning: i32 = 0;
}
