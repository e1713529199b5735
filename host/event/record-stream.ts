/**
 * The meaning of one worker's frames: which connections are open, which request a response
 * answers, what is decoded and what is shed. Everything it keeps is bounded; what falls out is
 * counted. A frame that breaks the contract ends the stream (the returned text says why); the
 * client reconnects and the worker announces its connections again.
 */
import {
  FRAME,
  FRAME_HEADER_BYTES,
  type OpenBody,
  RECORD_KIND,
  RECORD_VERDICT,
} from "../../runtime/contract/records.ts";
import { parseCaseBody } from "./case-body.ts";
import type { DecodeBudget } from "./decode-budget.ts";
import {
  parseCloseBody,
  parseFaultBody,
  parseLogBody,
  parseLostBody,
  parseOpenBody,
} from "./open-body.ts";
import { checkRecordBody } from "./record-fields.ts";
import type { L7Record, ProxyConnection, RecordSink } from "./types.ts";

/** A process has 20,000 files and a connection takes two, so a worker never holds this many. */
export const CONNECTIONS_PER_WORKER_MAX = 32_768;
/** Requests waiting for their response; the oldest gives way. */
export const PENDING_REQUESTS_PER_WORKER_MAX = 16_384;
const KIND_MAX = RECORD_KIND.response;
const VERDICT_MAX = RECORD_VERDICT.audit;
/** Makes one safe integer of connection (32 bits) and the low bits of exchange. */
const EXCHANGE_KEY_SPAN = 2 ** 20;

export interface RecordCounters {
  frames: number;
  records: number;
  lostByWorker: number;
  lostByBudget: number;
  orphans: number;
  /** Responses without their request: they carry no latency, method or URL. */
  unpaired: number;
  connectionsEvicted: number;
}

export class RecordStream {
  readonly counters: RecordCounters = {
    frames: 0,
    records: 0,
    lostByWorker: 0,
    lostByBudget: 0,
    orphans: 0,
    unpaired: 0,
    connectionsEvicted: 0,
  };
  readonly #worker: number;
  readonly #sink: RecordSink;
  readonly #budget: DecodeBudget;
  readonly #connections = new Map<number, Connection>();
  readonly #pending = new Map<number, L7Record>();
  #shed = 0;

  constructor(deps: { sink: RecordSink; budget: DecodeBudget }, worker: number) {
    this.#sink = deps.sink;
    this.#budget = deps.budget;
    this.#worker = worker;
  }

  /** A `FrameHandler` for `RecordReader`. */
  frame(bytes: Buffer, start: number, end: number): string | undefined {
    this.counters.frames++;
    const type = bytes[start + 4];
    const body = start + FRAME_HEADER_BYTES;
    switch (type) {
      case FRAME.record:
        return this.#record(bytes, start, end);
      case FRAME.open:
        this.#open(bytes.readUInt32LE(start + 8), bytes.toString("utf8", body, end));
        return undefined;
      case FRAME.close:
        return this.#close(bytes, start, bytes.toString("utf8", body, end));
      case FRAME.fault:
        return this.#fault(bytes, start, bytes.toString("utf8", body, end));
      case FRAME.log:
        return this.#log(bytes, start, bytes.toString("utf8", body, end));
      case FRAME.case:
        return this.#case(bytes, start, bytes.toString("utf8", body, end));
      case FRAME.lost:
        return this.#lost(bytes.toString("utf8", body, end));
      default:
        return `frame type ${type} is unknown`;
    }
  }

  /** Reports what was shed since the last call. Called after every chunk of the socket. */
  flush(): void {
    if (this.#shed === 0) return;
    this.counters.lostByBudget += this.#shed;
    this.#sink.lost(this.#worker, "budget", this.#shed);
    this.#shed = 0;
  }

  /** The socket is gone: the worker announces its connections again on the next one. */
  reset(): void {
    this.flush();
    this.#connections.clear();
    this.#pending.clear();
  }

  #open(id: number, text: string): void {
    // A repeated `open` replaces the facts (reconnect, changed stages).
    this.#connections.delete(id);
    if (this.#connections.size >= CONNECTIONS_PER_WORKER_MAX) {
      const oldest = this.#connections.keys().next();
      if (!oldest.done) this.#connections.delete(oldest.value);
      this.counters.connectionsEvicted++;
    }
    this.#connections.set(id, new Connection(this.#worker, id, text));
  }

  #record(bytes: Buffer, start: number, end: number): string | undefined {
    const kind = bytes.readUInt8(start + 5);
    const verdict = bytes.readUInt8(start + 6);
    if (kind > KIND_MAX || verdict > VERDICT_MAX) {
      return `record has kind ${kind}, verdict ${verdict}`;
    }
    const id = bytes.readUInt32LE(start + 8);
    const exchange = bytes.readUInt32LE(start + 12);
    const connection = this.#connections.get(id);
    if (connection === undefined) {
      this.counters.orphans++;
      this.#sink.lost(this.#worker, "orphan", 1);
      return undefined;
    }
    const request = kind === RECORD_KIND.response ? this.#answered(id, exchange) : undefined;
    // A response whose request was decoded is decoded too, so exchanges are kept or lost whole.
    if (request === undefined && !this.#budget.take()) {
      this.#shed++;
      return undefined;
    }
    const wrong = checkRecordBody(bytes, start + FRAME_HEADER_BYTES, end);
    if (wrong !== undefined) return wrong;
    const record: L7Record = {
      connection,
      kind,
      verdict,
      stage: bytes.readUInt8(start + 7),
      exchange,
      time: bytes.readBigUInt64LE(start + 16),
      body: bytes.toString("latin1", start + FRAME_HEADER_BYTES, end),
      request,
    };
    this.counters.records++;
    if (kind === RECORD_KIND.request) this.#await(id, record);
    else if (request === undefined) this.counters.unpaired++;
    if (verdict === RECORD_VERDICT.error) connection.errorReported = true;
    this.#sink.record(record);
    return undefined;
  }

  #await(id: number, request: L7Record): void {
    if (this.#pending.size >= PENDING_REQUESTS_PER_WORKER_MAX) {
      const oldest = this.#pending.keys().next();
      if (!oldest.done) this.#pending.delete(oldest.value);
    }
    this.#pending.set(pendingKey(id, request.exchange), request);
  }

  #answered(id: number, exchange: number): L7Record | undefined {
    const key = pendingKey(id, exchange);
    const request = this.#pending.get(key);
    if (request === undefined || request.exchange !== exchange) return undefined;
    this.#pending.delete(key);
    return request;
  }

  #close(bytes: Buffer, start: number, text: string): string | undefined {
    const body = parseCloseBody(text);
    if (body === undefined) return "close frame has no known reason";
    const id = bytes.readUInt32LE(start + 8);
    const connection = this.#connections.get(id);
    if (connection === undefined) return undefined;
    this.#connections.delete(id);
    this.#sink.closed(connection, body.reason, bytes.readBigUInt64LE(start + 16));
    return undefined;
  }

  #fault(bytes: Buffer, start: number, text: string): string | undefined {
    const body = parseFaultBody(text);
    if (body === undefined) return "fault frame is not a FaultBody";
    this.#sink.fault({
      worker: this.#worker,
      time: bytes.readBigUInt64LE(start + 16),
      connection: this.#connections.get(bytes.readUInt32LE(start + 8)),
      ...body,
    });
    return undefined;
  }

  #log(bytes: Buffer, start: number, text: string): string | undefined {
    const body = parseLogBody(text);
    if (body === undefined) return "log frame is not a LogBody";
    this.#sink.log({
      worker: this.#worker,
      time: bytes.readBigUInt64LE(start + 16),
      connection: this.#connections.get(bytes.readUInt32LE(start + 8)),
      ...body,
    });
    return undefined;
  }

  #case(bytes: Buffer, start: number, text: string): string | undefined {
    const body = parseCaseBody(text);
    if (body === undefined) return "case frame is not a CaseBody";
    const connection = this.#connections.get(bytes.readUInt32LE(start + 8));
    this.#sink.recorded({ worker: this.#worker, body, connection });
    return undefined;
  }

  #lost(text: string): string | undefined {
    const body = parseLostBody(text);
    if (body === undefined) return "lost frame is not a LostBody";
    this.counters.lostByWorker += body.frames;
    if (body.frames > 0) this.#sink.lost(this.#worker, "worker", body.frames);
    return undefined;
  }
}

function pendingKey(connection: number, exchange: number): number {
  return connection * EXCHANGE_KEY_SPAN + (exchange % EXCHANGE_KEY_SPAN);
}

class Connection implements ProxyConnection {
  readonly worker: number;
  readonly id: number;
  errorReported = false;
  shownAt: bigint | undefined;
  #text: string | undefined;
  #open: OpenBody | undefined;

  constructor(worker: number, id: number, text: string) {
    this.worker = worker;
    this.id = id;
    this.#text = text;
  }

  get open(): OpenBody | undefined {
    if (this.#text !== undefined) {
      this.#open = parseOpenBody(this.#text);
      this.#text = undefined;
    }
    return this.#open;
  }
}
