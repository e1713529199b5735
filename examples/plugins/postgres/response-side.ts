/**
 * Bytes from the server: passed, but for the errors that stand for a denied statement. Results are
 * reported with the request they belong to.
 */
import { FRAME_INVALID, LengthPrefix } from "imker/sdk/frame.ts";
import type { Memory } from "imker/sdk/memory.ts";
import { CLOSE_DENIED, CLOSE_MALFORMED, END_OPEN, RESPONSE } from "imker/sdk/output.ts";
import type { Call } from "imker/sdk/plugin.ts";
import { FORWARDED, RECORD_RESPONSE } from "imker/sdk/record.ts";
import type { Answers } from "./answers.ts";
import {
  PHASE_ENCRYPTED,
  PHASE_START,
  type PostgresConnection,
  WAIT_DENIED,
  WAIT_EXECUTE,
  WAIT_QUERY,
  WAIT_SYNC,
} from "./connection.ts";
import { RESPONSE_RESULT } from "./keys.ts";

const HEADER_BYTES: i32 = 5;
/** Longer results and errors pass unread. */
const READ_BYTES_MAX: i32 = 16384;
const FRAME_BYTES_MAX: i32 = 0x40000000;
const SQLSTATE: i32 = 67;

const READY: i32 = 90;
const COMPLETE: i32 = 67;
const EMPTY: i32 = 73;
const SUSPENDED: i32 = 115;
const ERROR: i32 = 69;
const COPY_IN: i32 = 71;
const NO: i32 = 78;
const YES_TLS: i32 = 83;
const YES_GSS: i32 = 71;

export class ResponseSide {
  private readonly memory: Memory;
  private readonly answers: Answers;
  private readonly frames: LengthPrefix = new LengthPrefix(1, 4, true, 1, FRAME_BYTES_MAX);

  constructor(memory: Memory, answers: Answers) {
    this.memory = memory;
    this.answers = answers;
  }

  onBytes(connection: PostgresConnection, call: Call): void {
    if (connection.phase === PHASE_ENCRYPTED) {
      call.output.passRest();
      return;
    }
    let at = call.start;
    while (at < call.end && !call.full()) {
      if (connection.phase === PHASE_START) {
        if (!this.negotiated(connection, call, at)) return;
        at++;
        continue;
      }
      if (!this.there(call, at, HEADER_BYTES)) return;
      const frame = this.frames.frameBytes(this.memory, at);
      if (frame === FRAME_INVALID) {
        call.output.close(CLOSE_MALFORMED);
        return;
      }
      const read = isRead(this.memory.u8(at)) && frame <= READ_BYTES_MAX;
      if (read && !this.there(call, at, frame)) return;
      this.frame(connection, call, at, frame, read);
      at += frame;
    }
  }

  /** One byte that answers a request for encryption. */
  private negotiated(connection: PostgresConnection, call: Call, at: i32): bool {
    const byte = this.memory.u8(at);
    if (byte === NO && connection.negotiations > 0) {
      // Where we have said it ourselves (and the bytes only were shown to us), it is no news.
      if (connection.negotiating) call.output.pass(1);
      else call.output.drop(1);
      connection.negotiating = false;
      return true;
    }
    if (connection.negotiating && (byte === YES_TLS || byte === YES_GSS)) {
      if (connection.stages.length > 0) call.output.close(CLOSE_DENIED);
      else {
        connection.phase = PHASE_ENCRYPTED;
        call.output.passRest();
      }
      return false;
    }
    call.output.close(CLOSE_MALFORMED);
    return false;
  }

  private frame(c: PostgresConnection, call: Call, at: i32, frame: i32, read: bool): void {
    const type = this.memory.u8(at);
    const executes = !c.replies.empty() && c.replies.answer() === WAIT_EXECUTE;
    if (type === READY) this.ready(c, call);
    else if (type === ERROR) {
      if (this.error(c, call, at, frame, executes, read)) return;
    } else if (type === COPY_IN && executes) c.copySync = true;
    else if (type === COMPLETE && read) {
      const tag = at + HEADER_BYTES;
      const length = this.memory.find(tag, at + frame, 0) - tag;
      if (executes) this.report(c, call, tag, length);
      else c.keepResult(tag, length);
    } else if (executes && (type === EMPTY || type === SUSPENDED || type === COMPLETE)) {
      this.report(c, call, 0, 0);
    }
    call.output.pass(frame as f64);
  }

  /** A unit of requests is over. */
  private ready(c: PostgresConnection, call: Call): void {
    c.ready = true;
    while (!c.replies.empty()) {
      const wait = c.replies.answer();
      if (wait === WAIT_EXECUTE) {
        c.replies.shift();
        continue;
      }
      if (wait === WAIT_QUERY) this.report(c, call, c.result, c.resultLength);
      else c.replies.shift();
      if (wait === WAIT_DENIED && !c.errorSeen) this.inject(call, this.answers.denied.address);
      // COPY ignores the Sync that came behind its Execute; another one ended it.
      if (c.copySync && c.replies.answer() === WAIT_SYNC) c.replies.shift();
      break;
    }
    c.copySync = false;
    c.errorSeen = false;
    c.resultLength = 0;
    if (c.replies.empty() && !c.inBatch) c.prepared.portals.clear();
  }

  /** Whether ours went in its place. */
  private error(
    c: PostgresConnection,
    call: Call,
    at: i32,
    frame: i32,
    executes: bool,
    read: bool,
  ): bool {
    c.errorSeen = true;
    if (!read) return false;
    const instead = this.answers.instead(at, frame);
    if (instead !== null) {
      call.output.drop(frame as f64);
      call.output.inject(RESPONSE, instead.address, instead.length);
      return true;
    }
    const end = at + frame;
    let field = at + HEADER_BYTES;
    while (field < end && this.memory.u8(field) !== SQLSTATE && this.memory.u8(field) !== 0) {
      field = this.memory.find(field, end, 0) + 1;
    }
    const state = field + 1;
    const length = field < end ? this.memory.find(state, end, 0) - state : 0;
    // A login that fails has no ReadyForQuery.
    if (executes || (!c.ready && !c.replies.empty())) this.report(c, call, state, length);
    else c.keepResult(state, length);
    return false;
  }

  private inject(call: Call, address: i32): void {
    call.output.inject(RESPONSE, address, this.answers.denied.length);
  }

  /** Reports the result of the request at the head of the queue. */
  private report(c: PostgresConnection, call: Call, at: i32, length: i32): void {
    if (length > 0) call.record.bytes(RESPONSE_RESULT, at, length);
    call.record.emit(RECORD_RESPONSE, FORWARDED, 0, c.replies.exchange());
    c.replies.shift();
  }

  private there(call: Call, at: i32, bytes: i32): bool {
    if (call.end - at >= bytes) return true;
    if (call.after === END_OPEN) call.output.more((bytes - (call.end - at)) as f64);
    else call.output.close(CLOSE_MALFORMED);
    return false;
  }
}

function isRead(type: i32): bool {
  return type === READY || type === COMPLETE || type === ERROR;
}
