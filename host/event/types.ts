/**
 * What the proxy reports, decoded: the connection a record belongs to, the record, a plugin's
 * fault or log line, and losses. `flow-builder.ts` (host/hubble) turns these into flows. A record
 * keeps its fields undecoded, because most flows are overwritten in the ring before anybody reads
 * them.
 */
import type { CaseBody, CloseBody, LogBody, OpenBody } from "../../runtime/contract/records.ts";

/** One side of one L7 exchange. */
export interface L7Record {
  readonly connection: ProxyConnection;
  /** RECORD_KIND */
  readonly kind: number;
  /** RECORD_VERDICT */
  readonly verdict: number;
  /** With verdict denied: index of the stage that denied. */
  readonly stage: number;
  readonly exchange: number;
  /** Nanoseconds since 1970, the worker's clock. */
  readonly time: bigint;
  /** The frame's body, one character a byte; `record-fields.ts` reads it. */
  readonly body: string;
  /** Of a response: its request, unless that was lost. */
  readonly request: L7Record | undefined;
}

/** A connection of a worker, from its `open` frame. */
export interface ProxyConnection {
  readonly worker: number;
  readonly id: number;
  /** Undefined when the frame's JSON was not an `OpenBody`. Parsed on first use. */
  readonly open: OpenBody | undefined;
  /** Set once a record with verdict `error` was delivered. */
  errorReported: boolean;
  /**
   * Time of the flow that shows its last denial or error, its malformed end, or the fault that its
   * bytes set off: names that flow, and by it the case of the connection.
   */
  shownAt: bigint | undefined;
}

export interface ProxyFault {
  readonly worker: number;
  readonly time: bigint;
  readonly plugin: OpenBody["plugin"];
  readonly message: string;
  /** Connections closed with the plugin instance. */
  readonly connections: number;
  /** The connection whose bytes set it off, if the frame names a known one. */
  readonly connection: ProxyConnection | undefined;
}

/** A recorded connection that a plugin denied, found malformed or failed on. */
export interface ProxyCase {
  readonly worker: number;
  readonly body: CaseBody;
  /** If its `open` frame was seen. */
  readonly connection: ProxyConnection | undefined;
}

/** A line that a plugin wrote. */
export interface ProxyLog extends LogBody {
  readonly worker: number;
  readonly time: bigint;
  /** The connection whose bytes it was handling, if the frame names a known one. */
  readonly connection: ProxyConnection | undefined;
}

/** Why records are missing: see `RecordStream` and `RecordClient`. */
export type LossCause =
  /** The worker could not write them: nobody connected or socket full. */
  | "worker"
  /** The agent's decode budget was spent. */
  | "budget"
  /** They name a connection whose `open` was never seen. */
  | "orphan";

export interface RecordSink {
  record(record: L7Record): void;
  closed(connection: ProxyConnection, reason: CloseBody["reason"], time: bigint): void;
  fault(fault: ProxyFault): void;
  log(line: ProxyLog): void;
  recorded(one: ProxyCase): void;
  lost(worker: number, cause: LossCause, count: number): void;
}
