/**
 * What the worker loop and the engine say to each other through shared memory: the same numbers as
 * protocol.h, where they are explained. engine.test.ts compares the two.
 */
export const EVENT = { accept: 1, data: 2, closed: 3, wake: 4, agent: 5 } as const;
/** Detail of a data event; `unreachable`: the upstream was never reached. */
export const EVENT_END = { open: 0, closed: 1, failed: 2, unreachable: 3 } as const;
export const CLOSED = { finished: 0, reset: 1, overflow: 2 } as const;
export const ENGINE_OPERATION = {
  pass: 1,
  drop: 2,
  need: 3,
  rest: 4,
  inject: 5,
  close: 6,
  reset: 7,
} as const;

/** Int32 words before the first event: number of events, time low, time high, zero. */
export const EVENT_HEADER = 4;
/** Int32 words of one event or operation. */
export const QUAD = 4;

/** Bytes of one direction that a plugin may have in front of it at once. */
export const WINDOW_BYTES_MAX = 192 * 1024;
/** Bytes one call may insert. */
export const INJECT_BYTES_MAX = 64 * 1024;
/** Bytes of one direction waiting for their receiver. */
export const QUEUE_BYTES_MAX = WINDOW_BYTES_MAX + INJECT_BYTES_MAX;

/** Layout of an accept event's facts: two addresses of 16 bytes, then u32 words. */
export const FACTS = {
  source: 0,
  destination: 16,
  sourcePort: 32,
  destinationPort: 36,
  sourceIdentity: 40,
  destinationIdentity: 44,
  egressRules: 48,
  ingressRules: 52,
  egressEndpoint: 56,
  ingressEndpoint: 60,
  egressCookie: 64,
  ingressCookie: 68,
  bytes: 72,
} as const;

/** Names of the counters, in the engine's order. */
export const COUNTERS = [
  "accepted",
  "refused_full",
  "no_handoff",
  "port_changed",
  "unreachable",
  "reset",
  "overflow",
  "linger_expired",
  "request_bytes",
  "response_bytes",
] as const;
