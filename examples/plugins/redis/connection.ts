/** What the plugin remembers of one connection: state between calls, never bytes. */
import { Connection } from "imker/sdk/plugin.ts";
import { Replies } from "./replies.ts";

/** Runs of forwarded and denied commands whose answers are not all there; a power of two. */
const UNANSWERED_RUNS_MAX: i32 = 4096;
/** Denied commands whose turn has not come: the answers of all of them are one injection. */
export const DENIED_WAITING_MAX: i32 = 1024;

export class RedisConnection extends Connection {
  readonly replies: Replies = new Replies(UNANSWERED_RUNS_MAX);
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
