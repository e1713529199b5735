/** The state of one HTTP connection: where each direction is, and which exchanges are open. */
import { Connection } from "../../runtime/sdk/plugin.ts";
import { Chunks } from "./chunks.ts";
import { Exchanges } from "./exchanges.ts";
import { type HeadTools, RequestHead } from "./request-head.ts";
import { ResponseHead } from "./response-head.ts";

/** States of the request direction. */
export const REQUEST_HEAD: i32 = 0;
/** In a chunked body. */
export const REQUEST_CHUNKS: i32 = 1;
/** Behind CONNECT or an upgrade whose answer is not there: nothing moves. */
export const REQUEST_WAIT: i32 = 2;
/** The tunnel is open. */
export const REQUEST_TUNNEL: i32 = 3;
/** No further request is taken: what comes is discarded. */
export const REQUEST_DONE: i32 = 4;

/** States of the response direction. */
export const RESPONSE_HEAD: i32 = 0;
/** In a body of known length; its last byte is always looked at. */
export const RESPONSE_LENGTH: i32 = 1;
export const RESPONSE_CHUNKS: i32 = 2;
/** A tunnel, or a body that ends with the connection. */
export const RESPONSE_REST: i32 = 3;

export class HttpConnection extends Connection {
  requestState: i32 = REQUEST_HEAD;
  responseState: i32 = RESPONSE_HEAD;
  /** Whether the chunked request body is discarded (its request was denied). */
  dropping: bool = false;
  /** The side that opened has sent its last byte. */
  requestEnded: bool = false;
  /** Bytes of the response body not moved yet. */
  responseLeft: f64 = 0;
  /** The newest request is the last one. */
  requestCloses: bool = false;
  /** The response under way is the last one. */
  responseCloses: bool = false;
  readonly request: RequestHead;
  readonly response: ResponseHead;
  readonly requestChunks: Chunks;
  readonly responseChunks: Chunks;
  readonly exchanges: Exchanges;

  constructor(tools: HeadTools) {
    super();
    this.request = new RequestHead(tools);
    this.response = new ResponseHead(tools);
    this.requestChunks = new Chunks(tools);
    this.responseChunks = new Chunks(tools);
    this.exchanges = new Exchanges(tools.memory);
  }

  /** As for a new connection. */
  reset(): void {
    this.requestState = REQUEST_HEAD;
    this.responseState = RESPONSE_HEAD;
    this.dropping = false;
    this.requestEnded = false;
    this.responseLeft = 0;
    this.requestCloses = false;
    this.responseCloses = false;
    this.request.reset();
    this.response.reset();
    this.exchanges.reset();
  }

  /** Gives back what stands outside the garbage-collected heap. */
  release(): void {
    this.exchanges.release();
  }
}
