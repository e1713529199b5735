/**
 * The response direction: pairs responses with the requests they answer, follows their framing so
 * that the next one begins where it should, and lets the plugin's own answers in between. Data of
 * known length moves unseen but for its last byte: with that the plugin is called, and so knows
 * that the response is complete and that an answer may follow.
 */
import { CLOSE_FINISHED, CLOSE_MALFORMED, END_CLOSED, END_OPEN } from "../../runtime/sdk/output.ts";
import type { Call } from "../../runtime/sdk/plugin.ts";
import { FORWARDED, RECORD_RESPONSE } from "../../runtime/sdk/record.ts";
import { CHUNKS_BAD, CHUNKS_DONE } from "./chunks.ts";
import {
  type HttpConnection,
  REQUEST_DONE,
  REQUEST_HEAD,
  REQUEST_TUNNEL,
  REQUEST_WAIT,
  RESPONSE_CHUNKS,
  RESPONSE_HEAD,
  RESPONSE_LENGTH,
  RESPONSE_REST,
} from "./connection.ts";
import { type Delivery, RESPONSE_PROTOCOL, RESPONSE_STATUS } from "./delivery.ts";
import { FLAG_CLOSE, FLAG_CONNECT, FLAG_HEAD, FLAG_UPGRADE } from "./exchanges.ts";
import { LENGTH_NONE } from "./framing.ts";
import { HEAD_BAD, HEAD_PARTIAL } from "./request-head.ts";

/** A step moved more than is there. */
const BEYOND: i32 = -1;
const PROTOCOL_BYTES: i32 = 8;

export class ResponseSide {
  private readonly delivery: Delivery;

  constructor(delivery: Delivery) {
    this.delivery = delivery;
  }

  /** `on-data` of the response direction. */
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
    if (call.after !== END_OPEN) this.end(connection, call);
    else if (at < call.end) output.more(1);
  }

  private step(connection: HttpConnection, call: Call, at: i32): i32 {
    const state = connection.responseState;
    if (state === RESPONSE_HEAD) return this.stepHead(connection, call, at);
    if (state === RESPONSE_LENGTH) return this.stepLength(connection, call, at);
    if (state === RESPONSE_CHUNKS) return this.stepChunks(connection, call, at);
    call.output.passRest();
    return call.end;
  }

  private stepHead(connection: HttpConnection, call: Call, at: i32): i32 {
    const head = connection.response;
    const exchanges = connection.exchanges;
    if (exchanges.count === 0) {
      // Nobody asked: these bytes would be taken for the answer to the next request.
      call.output.close(CLOSE_MALFORMED);
      return call.end;
    }
    const state = head.parse(at, call.end);
    if (state === HEAD_PARTIAL) return at;
    const entry = exchanges.head();
    const switching = state !== HEAD_BAD && head.status === 101;
    if (state === HEAD_BAD || (switching && (entry & FLAG_UPGRADE) === 0)) {
      this.delivery.upstreamMalformed(connection, call);
      return call.end;
    }
    const next = at + head.length;
    if (head.status < 200 && !switching) {
      call.output.pass(head.length as f64);
      head.reset();
      return next;
    }
    call.record.number(RESPONSE_STATUS, head.status as f64);
    call.record.span(RESPONSE_PROTOCOL, at - call.start, PROTOCOL_BYTES);
    call.record.emit(RECORD_RESPONSE, FORWARDED, 0, exchanges.first);
    if (switching || ((entry & FLAG_CONNECT) !== 0 && head.status < 300)) {
      connection.requestState = REQUEST_TUNNEL;
      return this.passRest(connection, call);
    }
    if (connection.requestState === REQUEST_WAIT && exchanges.count === 1) {
      connection.requestState = connection.requestCloses ? REQUEST_DONE : REQUEST_HEAD;
    }
    return this.followHead(connection, call, next, entry);
  }

  /** RFC 9112, 6.3: how the body of a final response ends. */
  private followHead(connection: HttpConnection, call: Call, next: i32, entry: i32): i32 {
    const head = connection.response;
    const framing = head.framing;
    connection.responseCloses = (entry & FLAG_CLOSE) !== 0 || !framing.persistent(head.minor);
    const bodiless = (entry & FLAG_HEAD) !== 0 || head.status === 204 || head.status === 304;
    if (!bodiless && !framing.chunked && framing.contentLength === LENGTH_NONE) {
      connection.requestState = REQUEST_DONE;
      return this.passRest(connection, call);
    }
    call.output.pass(head.length as f64);
    if (bodiless || (!framing.chunked && framing.contentLength === 0)) {
      this.complete(connection, call);
    } else if (framing.chunked) {
      connection.responseChunks.reset();
      connection.responseState = RESPONSE_CHUNKS;
    } else {
      connection.responseLeft = framing.contentLength;
      connection.responseState = RESPONSE_LENGTH;
    }
    return next;
  }

  private stepLength(connection: HttpConnection, call: Call, at: i32): i32 {
    const left = connection.responseLeft;
    const available = (call.end - at) as f64;
    if (left <= available) {
      call.output.pass(left);
      this.complete(connection, call);
      return at + (left as i32);
    }
    call.output.pass(left - 1);
    connection.responseLeft = 1;
    return BEYOND;
  }

  private stepChunks(connection: HttpConnection, call: Call, at: i32): i32 {
    const chunks = connection.responseChunks;
    const result = chunks.parse(at, call.end);
    call.output.pass(((chunks.at - at) as f64) + chunks.beyond);
    if (result === CHUNKS_BAD) {
      call.output.close(CLOSE_MALFORMED);
      return call.end;
    }
    if (result === CHUNKS_DONE) this.complete(connection, call);
    return chunks.beyond > 0 ? BEYOND : chunks.at;
  }

  /** A response is over: the plugin's own answers behind it may go. */
  private complete(connection: HttpConnection, call: Call): void {
    connection.exchanges.shift();
    connection.responseState = RESPONSE_HEAD;
    connection.response.reset();
    if (connection.responseCloses) call.output.close(CLOSE_FINISHED);
    else this.delivery.flush(connection, call);
  }

  private passRest(connection: HttpConnection, call: Call): i32 {
    connection.responseState = RESPONSE_REST;
    call.output.passRest();
    return call.end;
  }

  /** Upstream has ended. A reset in mid-body stays a reset: the host does that by itself. */
  private end(connection: HttpConnection, call: Call): void {
    const exchanges = connection.exchanges;
    const closed = call.after === END_CLOSED;
    if (connection.responseState !== RESPONSE_HEAD) {
      if (closed && connection.responseState !== RESPONSE_REST) call.output.close(CLOSE_MALFORMED);
      return;
    }
    // Also when it could not be reached at all, before any request came.
    if (exchanges.count > 0 || (!closed && exchanges.next() === 0)) {
      this.delivery.upstreamGone(connection, call);
    } else if (closed) {
      call.output.close(CLOSE_FINISHED);
    }
  }
}
