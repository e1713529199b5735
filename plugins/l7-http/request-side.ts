/**
 * The request direction: takes requests apart, has them judged, forwards or discards them with
 * their bodies, and queues what each will be answered with.
 */
import {
  CLOSE_FINISHED,
  CLOSE_MALFORMED,
  END_CLOSED,
  END_OPEN,
  REQUEST,
} from "../../runtime/sdk/output.ts";
import type { Call } from "../../runtime/sdk/plugin.ts";
import { DENIED, ERROR, FORWARDED, RECORD_REQUEST } from "../../runtime/sdk/record.ts";
import type { Answers } from "./answers.ts";
import { CHUNKS_BAD, CHUNKS_DONE } from "./chunks.ts";
import {
  type HttpConnection,
  REQUEST_CHUNKS,
  REQUEST_DONE,
  REQUEST_HEAD,
  REQUEST_TUNNEL,
  REQUEST_WAIT,
  RESPONSE_HEAD,
} from "./connection.ts";
import type { Delivery } from "./delivery.ts";
import {
  EXCHANGE_DENIED,
  EXCHANGE_END,
  EXCHANGE_FORWARDED,
  EXCHANGE_MALFORMED,
  FLAG_CLOSE,
  FLAG_CONNECT,
  FLAG_HEAD,
  FLAG_HTTP10,
  FLAG_UPGRADE,
} from "./exchanges.ts";
import { ALLOWED, type Judge, UNREADABLE } from "./judge.ts";
import { HEAD_BAD, HEAD_PARTIAL, type HeadTools, type RequestHead } from "./request-head.ts";

/** Fields of a request record, in the manifest's order. */
export const REQUEST_METHOD: i32 = 0;
export const REQUEST_PATH: i32 = 1;
export const REQUEST_HOST: i32 = 2;
export const REQUEST_PROTOCOL: i32 = 3;
export const REQUEST_TRACEPARENT: i32 = 4;

/** A step moved more than is there. */
const BEYOND: i32 = -1;

const PROTOCOL_BYTES: i32 = 8;
const LF: i32 = 10;
const CR: i32 = 13;

export class RequestSide {
  private readonly tools: HeadTools;
  private readonly answers: Answers;
  private readonly delivery: Delivery;
  private readonly judge: Judge;

  constructor(tools: HeadTools, answers: Answers, delivery: Delivery, judge: Judge) {
    this.tools = tools;
    this.answers = answers;
    this.delivery = delivery;
    this.judge = judge;
  }

  /** `on-data` of the request direction. */
  onData(connection: HttpConnection, call: Call): void {
    const output = call.output;
    let at = call.start;
    while (at < call.end) {
      // The host calls again with the rest.
      if (call.full()) return;
      const next = this.step(connection, call, at);
      if (output.ended()) return;
      if (next === at) break;
      at = next === BEYOND ? call.end : next;
    }
    if (call.after !== END_OPEN) this.end(connection, call, at);
    else if (at < call.end) output.more(1);
  }

  /** One message or part of one; returns how far it got. */
  private step(connection: HttpConnection, call: Call, at: i32): i32 {
    const state = connection.requestState;
    if (state === REQUEST_HEAD) return this.stepHead(connection, call, at);
    if (state === REQUEST_CHUNKS) return this.stepChunks(connection, call, at);
    if (state === REQUEST_WAIT) return at;
    if (state === REQUEST_TUNNEL) {
      call.output.passRest();
      return call.end;
    }
    call.output.drop((call.end - at) as f64);
    return call.end;
  }

  private stepHead(connection: HttpConnection, call: Call, at: i32): i32 {
    const memory = this.tools.memory;
    // RFC 9112, 2.2: empty lines before a request are ignored. They are not passed on.
    if (memory.u8(at) === CR) {
      if (at + 1 === call.end) return at;
      if (memory.u8(at + 1) !== LF) return this.refuse(connection, call, at);
      call.output.drop(2);
      return at + 2;
    }
    const head = connection.request;
    const state = head.parse(at, call.end);
    if (state === HEAD_PARTIAL) return at;
    if (state === HEAD_BAD || connection.exchanges.full()) return this.refuse(connection, call, at);
    const verdict = this.judge.verdict(head, at, connection.stages);
    if (verdict === UNREADABLE) return this.refuse(connection, call, at);
    this.report(connection, call, at, verdict);
    const next =
      verdict === ALLOWED ? this.forward(connection, call, at) : this.deny(connection, call, at);
    head.reset();
    return next;
  }

  private forward(connection: HttpConnection, call: Call, at: i32): i32 {
    const head = connection.request;
    const output = call.output;
    const framing = head.framing;
    const body: f64 = Math.max(framing.contentLength, 0);
    let from = 0;
    if (this.judge.pathLength > 0) {
      from = head.target + head.parts.path;
      output.pass(from as f64);
      output.drop(head.parts.pathLength as f64);
      output.inject(REQUEST, this.judge.path, this.judge.pathLength);
      from += head.parts.pathLength;
    }
    if (head.cutLength > 0) {
      output.pass((head.cut - from) as f64);
      output.drop(head.cutLength as f64);
      from = head.cut + head.cutLength;
    }
    output.pass(((head.length - from) as f64) + body);
    const upgrade = head.upgrade && body === 0 && !framing.chunked;
    let flags = flagsOf(head);
    if (head.isConnect) flags |= FLAG_CONNECT;
    if (upgrade) flags |= FLAG_UPGRADE;
    connection.exchanges.push(EXCHANGE_FORWARDED | flags);
    const last = (flags & FLAG_CLOSE) !== 0;
    if (head.isConnect || upgrade) {
      connection.requestCloses = last;
      connection.requestState = REQUEST_WAIT;
      return at + head.length;
    }
    return this.followBody(connection, call, at, last, false);
  }

  private deny(connection: HttpConnection, call: Call, at: i32): i32 {
    const head = connection.request;
    const framing = head.framing;
    const body: f64 = Math.max(framing.contentLength, 0);
    let flags = flagsOf(head);
    // A client that waits for 100 may send the body after 403 or not: only closing is unambiguous.
    if (head.expect && (body > 0 || framing.chunked)) flags |= FLAG_CLOSE;
    call.output.drop((head.length as f64) + body);
    connection.exchanges.push(EXCHANGE_DENIED | flags);
    this.delivery.flush(connection, call);
    if (call.output.ended()) return call.end;
    return this.followBody(connection, call, at, (flags & FLAG_CLOSE) !== 0, true);
  }

  /** The state behind a head, whose body of known length is already moved. */
  private followBody(
    connection: HttpConnection,
    call: Call,
    at: i32,
    last: bool,
    dropping: bool,
  ): i32 {
    const head = connection.request;
    const next = at + head.length;
    if (head.framing.chunked) {
      connection.requestChunks.reset();
      connection.requestCloses = last;
      connection.dropping = dropping;
      connection.requestState = REQUEST_CHUNKS;
      return next;
    }
    if (last) connection.requestState = REQUEST_DONE;
    const body = head.framing.contentLength;
    if (body <= 0) return next;
    return body > ((call.end - next) as f64) ? BEYOND : next + (body as i32);
  }

  private stepChunks(connection: HttpConnection, call: Call, at: i32): i32 {
    const chunks = connection.requestChunks;
    const result = chunks.parse(at, call.end);
    const moved = ((chunks.at - at) as f64) + chunks.beyond;
    if (connection.dropping) call.output.drop(moved);
    else call.output.pass(moved);
    if (result === CHUNKS_BAD) return this.refuseBody(connection, call, chunks.at);
    if (result === CHUNKS_DONE) {
      connection.requestState = connection.requestCloses ? REQUEST_DONE : REQUEST_HEAD;
    }
    return chunks.beyond > 0 ? BEYOND : chunks.at;
  }

  /** What stands at `at` is no request: 400 when its turn comes, and nothing more is taken. */
  private refuse(connection: HttpConnection, call: Call, at: i32): i32 {
    const head = connection.request;
    this.report(connection, call, head.hasLine ? at : -1, UNREADABLE);
    connection.exchanges.push(EXCHANGE_MALFORMED | (head.hasLine && head.isHead ? FLAG_HEAD : 0));
    return this.stop(connection, call, at);
  }

  /** The body of the newest request is broken at `at`; parts of it may have been forwarded. */
  private refuseBody(connection: HttpConnection, call: Call, at: i32): i32 {
    const exchanges = connection.exchanges;
    const answering = exchanges.count === 1 && connection.responseState !== RESPONSE_HEAD;
    if (exchanges.count === 0 || (answering && !connection.dropping)) {
      call.output.close(CLOSE_MALFORMED);
      return call.end;
    }
    if (connection.dropping) exchanges.push(EXCHANGE_END);
    else exchanges.changeLast(EXCHANGE_MALFORMED);
    return this.stop(connection, call, at);
  }

  private stop(connection: HttpConnection, call: Call, at: i32): i32 {
    connection.requestState = REQUEST_DONE;
    call.output.drop((call.end - at) as f64);
    this.delivery.flush(connection, call);
    return call.end;
  }

  /** Reports the request whose line stands at `at` (-1: unknown). */
  private report(connection: HttpConnection, call: Call, at: i32, verdict: i32): void {
    const record = call.record;
    const head = connection.request;
    const exchange = connection.exchanges.next();
    if (at >= 0) {
      const offset = at - call.start;
      const parts = head.parts;
      record.span(REQUEST_METHOD, offset, head.methodLength);
      if (parts.pathLength > 0) {
        record.span(REQUEST_PATH, offset + head.target + parts.path, parts.pathLength);
      } else {
        record.bytes(REQUEST_PATH, this.answers.slash.at, this.answers.slash.length);
      }
      if (head.host > 0) record.span(REQUEST_HOST, offset + head.host, head.hostLength);
      const protocol = offset + head.target + head.targetLength + 1;
      record.span(REQUEST_PROTOCOL, protocol, PROTOCOL_BYTES);
      if (head.traceLength > 0) {
        record.span(REQUEST_TRACEPARENT, offset + head.trace, head.traceLength);
      }
    }
    if (verdict === ALLOWED) record.emit(RECORD_REQUEST, FORWARDED, 0, exchange);
    else if (verdict === UNREADABLE) record.emit(RECORD_REQUEST, ERROR, 0, exchange);
    else record.emit(RECORD_REQUEST, DENIED, verdict, exchange);
  }

  /** The client has ended; what stands at `at` will never be more. */
  private end(connection: HttpConnection, call: Call, at: i32): void {
    if (call.after !== END_CLOSED) return;
    const state = connection.requestState;
    if (state === REQUEST_HEAD && at < call.end) {
      this.refuse(connection, call, at);
    } else if (state === REQUEST_CHUNKS) {
      this.refuseBody(connection, call, at);
    }
    connection.requestEnded = true;
    if (connection.exchanges.count === 0 && !call.output.ended()) {
      call.output.close(CLOSE_FINISHED);
    }
  }
}

function flagsOf(head: RequestHead): i32 {
  let flags = 0;
  if (head.isHead) flags |= FLAG_HEAD;
  if (head.minor === 0) flags |= FLAG_HTTP10;
  if (!head.framing.persistent(head.minor)) flags |= FLAG_CLOSE;
  return flags;
}
