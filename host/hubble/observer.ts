/**
 * The observer: answers flow requests from the ring (GetFlows, ServerStatus of the API). Transport
 * is elsewhere: the admin API and later the gRPC server iterate what `getFlows` gives and cancel by
 * the signal. Semantics are those of Hubble's local observer.
 */
import { create } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type { L7Record } from "../event/types.ts";
import { compileFieldMask } from "./field-mask.ts";
import { compileFilters } from "./filter.ts";
import type { FlowPredicate } from "./filter-ends.ts";
import type { ExtensionForm } from "./flow-extension.ts";
import type { RingEntry } from "./flow-facts.ts";
import { type FlowMessageContext, flowMessage, timestampOf } from "./flow-message.ts";
import { flowUuid, newUuidSalt } from "./flow-uuid.ts";
import { type Flow, LostEventSchema, LostEventSource } from "./gen/flow/flow_pb.ts";
import {
  type GetFlowsRequest,
  type GetFlowsResponse,
  GetFlowsResponseSchema,
  type ServerStatusResponse,
  ServerStatusResponseSchema,
} from "./gen/observer/observer_pb.ts";
import type { FlowNode } from "./getters.ts";
import { HubbleError } from "./hubble-error.ts";
import { MessageFlow } from "./message-flow.ts";
import type { FlowRing } from "./ring.ts";

const NS_PER_MS = 1_000_000n;
const NS_PER_SECOND = 1_000_000_000n;
const NANOS_MAX = 999_999_999;
/** A reader that is overrun is told at most this often. */
const LOSS_NOTICE_INTERVAL_NS = NS_PER_SECOND;
/**
 * Flows looked at before others get their turn; a filter may match none of many. Above the default
 * ring: a turn lets the sockets write more into it than the reader has caught up by.
 */
const SCAN_BATCH = 8_192;
const RATE_WINDOW_NS = 60n * NS_PER_SECOND;

export interface ObserverDeps {
  ring: FlowRing;
  node: FlowNode;
  /** Nanoseconds since 1970. */
  nowNs: () => bigint;
  /** Lets pending I/O run; `setImmediate` of node:timers/promises. */
  yieldTurn: () => Promise<unknown>;
  /** `struct` behind a server that the stock hubble command line talks to. */
  extension?: ExtensionForm;
}

interface Query {
  readonly matches: FlowPredicate;
  readonly mask: (flow: Flow) => Flow;
  readonly since: bigint | undefined;
  readonly until: bigint | undefined;
  /** Infinity: all. */
  readonly number: number;
  readonly first: boolean;
  readonly follow: boolean;
}

export class Observer {
  readonly #deps: ObserverDeps;
  readonly #context: FlowMessageContext;
  readonly #startNs: bigint;

  constructor(deps: ObserverDeps) {
    this.#deps = deps;
    this.#context = {
      node: deps.node,
      uuidSalt: newUuidSalt(),
      extension: deps.extension ?? "plugin-info",
    };
    this.#startNs = deps.nowNs();
  }

  /** Uuid of the flow with this time; flow-uuid.ts. */
  uuidOf(time: bigint): string {
    return flowUuid(time, this.#context.uuidSalt);
  }

  /** What the message with this uuid was made of; undefined: the ring has none (any more). */
  recordOf(uuid: string): L7Record | undefined {
    const { ring } = this.#deps;
    for (let position = ring.next - 1; position >= ring.oldest; position--) {
      const entry = ring.at(position);
      if (entry instanceof MessageFlow && this.uuidOf(entry.time) === uuid) return entry.record;
    }
    return undefined;
  }

  /**
   * Flows that match, oldest first, and what was lost between them. Ends after `number` flows, at
   * the ring's end, or with `follow` when the signal aborts. Throws HubbleError at once when the
   * request is wrong.
   */
  getFlows(request: GetFlowsRequest, signal: AbortSignal): AsyncIterable<GetFlowsResponse> {
    const query = this.#parse(request);
    return this.#read(query, this.#start(query), signal);
  }

  serverStatus(): ServerStatusResponse {
    const { ring, node, nowNs } = this.#deps;
    return create(ServerStatusResponseSchema, {
      numFlows: BigInt(ring.length),
      maxFlows: BigInt(ring.capacity),
      seenFlows: BigInt(ring.flowsSeen),
      uptimeNs: nowNs() - this.#startNs,
      version: node.version,
      flowsRate: this.#flowsRate(),
    });
  }

  #parse(request: GetFlowsRequest): Query {
    if (request.first && request.follow) {
      throw new HubbleError("invalid-argument", "first cannot be specified with follow");
    }
    const number = Number(request.number);
    return {
      matches: compileFilters(request, this.#context),
      mask: compileFieldMask(request.fieldMask ?? request.experimental?.fieldMask),
      since: timeOf("since", request.since),
      until: timeOf("until", request.until),
      number: number === 0 ? Number.POSITIVE_INFINITY : number,
      first: request.first,
      follow: request.follow,
    };
  }

  /** The position to read from. `since` beats `number`. */
  #start(query: Query): number {
    const { ring } = this.#deps;
    if (query.first && query.since === undefined) return ring.oldest;
    const isUnbounded = query.number === Number.POSITIVE_INFINITY;
    if (query.follow && isUnbounded && query.since === undefined) return ring.next;
    return this.#rewind(query);
  }

  /** Back over `number` matching flows, or to the first one not before `since`. */
  #rewind({ since, until, number, matches }: Query): number {
    const { ring } = this.#deps;
    let found = 0;
    let position = ring.next;
    while (position > ring.oldest) {
      const entry = ring.at(position - 1);
      if (entry === undefined) break;
      if (since !== undefined && entry.time < since) break;
      position--;
      if (since !== undefined || entry.kind === "loss") continue;
      if (until !== undefined && entry.time > until) continue;
      if (matches(entry)) found++;
      if (found >= number) break;
    }
    return position;
  }

  async *#read(
    query: Query,
    start: number,
    signal: AbortSignal,
  ): AsyncGenerator<GetFlowsResponse, void, undefined> {
    const { ring, nowNs, yieldTurn } = this.#deps;
    const losses = new LossNotices();
    // Without follow the answer is what is there now, however fast more comes.
    const end = query.follow ? Number.POSITIVE_INFINITY : ring.next;
    let sent = 0;
    let position = start;
    for (let scanned = 1; position < end && !signal.aborted; scanned++) {
      if (scanned % SCAN_BATCH === 0) await yieldTurn();
      if (losses.due(nowNs())) yield this.#overrun(losses.take(), nowNs());
      if (!query.follow && sent >= query.number) return;
      if (position >= ring.next) await ring.written(position, signal);
      if (signal.aborted) return;
      if (position < ring.oldest) {
        losses.add(ring.oldest - position, nowNs());
        position = ring.oldest;
        continue;
      }
      const entry = ring.at(position++);
      if (entry === undefined) continue;
      if (entry.kind === "loss") {
        yield this.#response(entry, query);
        continue;
      }
      if (query.until !== undefined && entry.time > query.until) return;
      if (query.since !== undefined && entry.time < query.since) continue;
      if (!query.matches(entry)) continue;
      sent++;
      yield this.#response(entry, query);
    }
  }

  #response(entry: RingEntry, { mask }: Query): GetFlowsResponse {
    const time = timestampOf(entry.time);
    const { nodeName } = this.#deps.node;
    if (entry.kind === "flow") {
      const value = mask(flowMessage(entry, this.#context));
      return create(GetFlowsResponseSchema, {
        responseTypes: { case: "flow", value },
        nodeName,
        time,
      });
    }
    const value = create(LostEventSchema, {
      source: entry.source,
      numEventsLost: BigInt(entry.count),
    });
    return create(GetFlowsResponseSchema, {
      responseTypes: { case: "lostEvents", value },
      nodeName,
      time,
    });
  }

  #overrun(loss: Overrun, now: bigint): GetFlowsResponse {
    const value = create(LostEventSchema, {
      source: LostEventSource.HUBBLE_RING_BUFFER,
      numEventsLost: BigInt(loss.count),
      first: timestampOf(loss.first),
      last: timestampOf(loss.last),
    });
    return create(GetFlowsResponseSchema, {
      responseTypes: { case: "lostEvents", value },
      nodeName: this.#deps.node.nodeName,
      time: timestampOf(now),
    });
  }

  /** Of the last minute, as far as the ring reaches back. */
  #flowsRate(): number {
    const { ring, nowNs } = this.#deps;
    const now = nowNs();
    let flows = 0;
    let oldest = now;
    for (let position = ring.next - 1; position >= ring.oldest; position--) {
      const entry = ring.at(position);
      if (entry === undefined || now - entry.time > RATE_WINDOW_NS) break;
      if (entry.kind === "flow") flows++;
      oldest = entry.time;
    }
    const isWhole = ring.length < ring.capacity;
    const spanMs = Number((isWhole ? RATE_WINDOW_NS : now - oldest) / NS_PER_MS);
    return spanMs <= 0 ? 0 : (flows * 1_000) / spanMs;
  }
}

interface Overrun {
  readonly count: number;
  readonly first: bigint;
  readonly last: bigint;
}

/** Sums up what one reader lost between two notices. */
class LossNotices {
  #count = 0;
  #first = 0n;
  #last = 0n;
  #notedAt = 0n;

  add(count: number, now: bigint): void {
    if (this.#count === 0) this.#first = now;
    this.#count += count;
    this.#last = now;
  }

  due(now: bigint): boolean {
    return this.#count > 0 && now - this.#notedAt >= LOSS_NOTICE_INTERVAL_NS;
  }

  take(): Overrun {
    const overrun = { count: this.#count, first: this.#first, last: this.#last };
    this.#count = 0;
    this.#notedAt = this.#last;
    return overrun;
  }
}

function timeOf(field: string, time: Timestamp | undefined): bigint | undefined {
  if (time === undefined) return undefined;
  if (time.nanos < 0 || time.nanos > NANOS_MAX) {
    throw new HubbleError("invalid-argument", `Cannot use ${field}: ${time.nanos} nanoseconds`);
  }
  return time.seconds * NS_PER_SECOND + BigInt(time.nanos);
}
