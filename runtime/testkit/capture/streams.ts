/**
 * TCP segments to conversations: for each connection the bytes of both sides in order, as steps a
 * plugin can be given. Late and repeated segments are put right; what never came is a gap, where
 * that direction ends, because nothing behind it can be judged.
 */
import type { VectorStep } from "../vectors.ts";
import { type CapturedPacket, CaptureError } from "./capture-file.ts";
import { type Segment, segmentOf } from "./segment.ts";

/** Connections of one capture. */
const CONNECTIONS_MAX = 10_000;
/** Bytes that may wait for what stands before them. */
const WAITING_BYTES_MAX = 4 << 20;

export interface Conversation {
  client: string;
  server: string;
  steps: VectorStep[];
  /** What was missing or odd, for people. */
  notes: string[];
}

/** One side of a connection. */
interface Side {
  /** Sequence number of the next byte; undefined: nothing was seen. */
  next: number | undefined;
  waiting: Map<number, { payload: Uint8Array; fin: boolean }>;
  waitingBytes: number;
  ended: boolean;
}

interface Connection {
  conversation: Conversation;
  client: string;
  sides: { request: Side; response: Side };
}

/** All conversations of a capture; `serverPort` says which side serves when no SYN was seen. */
export function conversationsOf(
  packets: Iterable<CapturedPacket>,
  serverPort?: number,
): Conversation[] {
  const open = new Map<string, Connection>();
  const all: Connection[] = [];
  for (const packet of packets) {
    const segment = segmentOf(packet);
    if (segment === undefined || !concerns(segment, serverPort)) continue;
    const key = [segment.source, segment.destination].sort().join(" ");
    let connection = open.get(key);
    const opens = segment.syn && !segment.ack;
    // The same ports again, once the last connection is over.
    const over = connection?.sides.request.ended || connection?.sides.response.ended;
    if (connection === undefined || (opens && over)) {
      if (all.length === CONNECTIONS_MAX) {
        throw new CaptureError(`Cannot replay more than ${CONNECTIONS_MAX} connections`);
      }
      connection = begin(segment, serverPort);
      open.set(key, connection);
      all.push(connection);
    }
    take(connection, segment);
  }
  for (const connection of all) noteGaps(connection);
  return all
    .map(({ conversation }) => conversation)
    .filter(({ steps, notes }) => steps.length > 0 || notes.length > 0);
}

function concerns(segment: Segment, port: number | undefined): boolean {
  return port === undefined || segment.sourcePort === port || segment.destinationPort === port;
}

function begin(segment: Segment, serverPort: number | undefined): Connection {
  const { source, destination } = segment;
  const fromServer = segment.syn
    ? segment.ack
    : serverPort === undefined
      ? segment.sourcePort < segment.destinationPort
      : segment.sourcePort === serverPort;
  const [client, server] = fromServer ? [destination, source] : [source, destination];
  const side = (): Side => ({ next: undefined, waiting: new Map(), waitingBytes: 0, ended: false });
  const notes = segment.syn ? [] : ["the beginning was not captured"];
  return {
    client,
    conversation: { client, server, steps: [], notes },
    sides: { request: side(), response: side() },
  };
}

function take(connection: Connection, segment: Segment): void {
  const direction = segment.source === connection.client ? "request" : "response";
  const side = connection.sides[direction];
  if (side.ended) return;
  const sequence = segment.syn ? (segment.sequence + 1) >>> 0 : segment.sequence;
  if (segment.rst) {
    side.ended = true;
    connection.conversation.steps.push({ kind: "end", direction, how: "failed" });
    return;
  }
  side.next ??= sequence;
  if (segment.payload.length > 0 || segment.fin) {
    const known = side.waiting.get(sequence);
    if (known === undefined || known.payload.length < segment.payload.length) {
      side.waitingBytes += segment.payload.length - (known?.payload.length ?? 0);
      side.waiting.set(sequence, { payload: segment.payload, fin: segment.fin });
    }
  }
  if (side.waitingBytes > WAITING_BYTES_MAX) {
    throw new CaptureError("Cannot replay the capture: more than 4 MiB wait for a lost segment");
  }
  deliver(connection, direction);
}

/** Hands on what follows without a gap. */
function deliver(connection: Connection, direction: "request" | "response"): void {
  const side = connection.sides[direction];
  const { steps } = connection.conversation;
  let progress = true;
  while (progress && !side.ended) {
    progress = false;
    for (const [sequence, { payload, fin }] of side.waiting) {
      // Signed distance, so that numbers may wrap.
      const behind = ((side.next ?? 0) - sequence) | 0;
      if (behind < 0) continue;
      side.waiting.delete(sequence);
      side.waitingBytes -= payload.length;
      progress = true;
      const fresh = payload.subarray(Math.min(behind, payload.length));
      if (fresh.length > 0) {
        steps.push({ kind: direction, bytes: fresh });
        side.next = ((side.next ?? 0) + fresh.length) >>> 0;
      }
      if (fin && behind <= payload.length) {
        side.ended = true;
        steps.push({ kind: "end", direction, how: "closed" });
        break;
      }
    }
  }
}

function noteGaps({ conversation, sides }: Connection): void {
  for (const direction of ["request", "response"] as const) {
    const { waiting, waitingBytes } = sides[direction];
    if (waiting.size === 0) continue;
    conversation.notes.push(
      `a gap in direction ${direction}: ${waitingBytes} bytes behind it are left out`,
    );
  }
}
