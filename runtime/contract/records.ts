/**
 * The record stream, worker → agent: every worker listens on the unix stream socket
 * `<run-dir>/records-<worker>.sock`; the agent connects and reads frames. Nobody connected, or a
 * full socket: frames are lost and counted, never waited for. All numbers little-endian.
 *
 *     0  u32 length of the whole frame
 *     4  u8  type (FRAME)      5 u8 kind      6 u8 verdict      7 u8 stage
 *     8  u32 connection        (unique in the worker's life)
 *    12  u32 exchange
 *    16  u64 time, nanoseconds since 1970
 *    24  body
 *
 * Body of `record`: u16 number of fields, then each: u16 key, u8 type (0 text, 1 number), u8 zero,
 * u32 length, bytes (a number is 8 bytes). Body of the others: JSON (UTF-8), types below.
 */
export const FRAME = { open: 1, record: 2, close: 3, fault: 4, lost: 5, log: 6, case: 7 } as const;

/** kind of a `record` frame. */
export const RECORD_KIND = { request: 0, response: 1 } as const;
/** verdict of a `record` frame. `audit`: the rules deny it, the mode lets it pass. */
export const RECORD_VERDICT = { forwarded: 0, denied: 1, error: 2, audit: 3 } as const;

export const FRAME_HEADER_BYTES = 24;

/** Body of `open`; sent again for live connections when an agent connects. */
export interface OpenBody {
  /** Printable addresses; IPv4 not mapped. */
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
  sourceIdentity: number;
  destinationIdentity: number;
  /** In the order of the plugin's stages. */
  stages: { point: "egress" | "ingress"; endpoint: number; ruleSet: number; cookie: number }[];
  plugin: { name: string; version: string; digest: string };
}

/** Body of `close`. */
export interface CloseBody {
  reason:
    | "finished"
    | "denied"
    | "malformed"
    | "reset"
    | "unreachable"
    | "policy"
    | "fault"
    | "drained"
    /** The version that served it is being replaced; closed at a message boundary. */
    | "retired"
    /** No version of its plugin can serve, and its failure policy is closed. */
    | "no_plugin";
}

/**
 * Body of `fault`: a plugin trapped, ran out of fuel or returned nonsense. Its frame names the
 * connection whose bytes set it off, 0 if none did; a `case` of it comes before.
 */
export interface FaultBody {
  plugin: { name: string; version: string; digest: string };
  message: string;
  /** Connections closed with the instance. */
  connections: number;
}

/** Body of `log`: a line that a plugin wrote. */
export interface LogBody {
  plugin: { name: string; version: string; digest: string };
  level: "debug" | "info" | "warn" | "error";
  message: string;
}

/**
 * Body of `case`: a connection that is recorded (control.ts, Recording) and that a plugin denied a
 * message of, closed as malformed or failed on. Once for a connection, before its `close`.
 */
export interface CaseBody {
  open: OpenBody;
  cause: "denied" | "malformed" | "fault";
  /** What the plugin was given, from the first byte on; zeros stand for what passed unseen. */
  steps: {
    direction: "request" | "response";
    /** Base64. */
    bytes: string;
    /** So many of `bytes`, the first, passed unseen; absent: none. */
    unseen?: number;
    end: "open" | "closed" | "failed";
    /** Nanoseconds since 1970, decimal. */
    now: string;
  }[];
  /** A text is base64. */
  records: {
    kind: number;
    verdict: number;
    stage: number;
    exchange: number;
    fields: { key: number; value: string | number }[];
  }[];
  /** Why the plugin closed the connection. */
  close?: "finished" | "denied" | "malformed";
  /** Message of the fault. */
  fault?: string;
  /** What of the connection is not here, for people; empty when everything is. */
  missing: string[];
}

/** Body of `lost`. */
export interface LostBody {
  frames: number;
}
