/**
 * A plugin instance that sees the bytes of a connection but decides nothing: its operations are
 * checked and looked at, never carried out. It keeps its own copy of what it has not consumed. For
 * the modes audit and observe (its records are reported) and for trials (what it does is compared).
 */
import { EVENT_END, WINDOW_BYTES_MAX } from "../engine/protocol.ts";
import { CLOSE_REASON, END } from "../isolate/types.ts";
import type { Candidate, Comparison, Effect } from "./comparison.ts";
import type { Connection } from "./connection.ts";
import type { PooledInstance } from "./instance-pool.ts";
import type { Judge } from "./judge.ts";
import type { EffectSink, OperationBatch } from "./operation-batch.ts";
import { RepeatedCalls } from "./repeated-calls.ts";
import type { TrialRun } from "./trial.ts";

/** How far a version is in one direction. */
export class Progress {
  /** Stream offset behind the last byte it was given. */
  received = 0;
  /** Of the first byte it has not consumed; beyond `received`: passed or dropped in advance. */
  position = 0;
}

class Way extends Progress {
  need = 1;
  /** Everything from `position` on passes, unseen. */
  rest = false;
  ended = false;
  /** Copy of the bytes from `position` to `received`; its first `heldBytes`. */
  held = new Uint8Array();
  heldBytes = 0;
}

/** Bytes of a connection in the arena, as the connection's own plugin got them. */
export interface TapInput {
  direction: number;
  bytes: Uint8Array;
  offset: number;
  length: number;
  /** Stream offset of the first. */
  start: number;
  /** EVENT_END */
  end: number;
}

/** What a tap is compared with: the version that serves the connection. Told its effects. */
export class Compared implements EffectSink {
  readonly run: TrialRun;
  readonly comparison: Comparison;
  /** Which one the tap is; the connection is served by the other. */
  readonly candidate: Candidate;
  /** The serving version's. */
  readonly served = [new Progress(), new Progress()] as const;
  /** Of the serving version for the bytes in course. */
  calls = 0;
  beganMicros = 0;
  #direction = 0;

  constructor(run: TrialRun, comparison: Comparison, candidate: Candidate) {
    this.run = run;
    this.comparison = comparison;
    this.candidate = candidate;
  }

  /** The effects that follow are of a call for this direction. */
  note(direction: number): void {
    this.#direction = direction;
  }

  pass(bytes: number): void {
    this.served[this.#direction === 1 ? 1 : 0].position += bytes;
    this.#effect({ kind: "pass", length: bytes });
  }

  drop(bytes: number): void {
    this.served[this.#direction === 1 ? 1 : 0].position += bytes;
    this.#effect({ kind: "drop", length: bytes });
  }

  need(): void {}

  rest(): void {
    this.#effect({ kind: "rest", length: 1 });
  }

  inject(direction: number, bytes: Uint8Array): void {
    this.#effect(injection(direction, bytes));
  }

  close(reason: number): void {
    this.#effect({ kind: "close", length: 1, reason });
  }

  #effect(effect: Effect): void {
    const server = this.candidate === "active" ? "tried" : "active";
    this.comparison.effect(server, this.#direction, effect);
  }
}

function injection(direction: number, bytes: Uint8Array): Effect {
  return {
    kind: direction === 1 ? "inject response" : "inject request",
    length: bytes.length,
    bytes,
  };
}

export class Tap implements EffectSink {
  readonly connection: Connection;
  readonly pooled: PooledInstance;
  readonly handle: number;
  readonly compared: Compared | undefined;
  /** It does not look any more; whoever ends it has told the instance. */
  over = false;
  /** In mode audit. */
  judge: Judge | undefined;
  /** A close operation came. */
  closed = false;
  readonly #ways = [new Way(), new Way()] as const;
  readonly #repeated = new RepeatedCalls();
  #way: Way = this.#ways[0];
  #direction = 0;

  constructor(
    connection: Connection,
    of: { pooled: PooledInstance; handle: number; compared: Compared | undefined },
  ) {
    this.connection = connection;
    this.pooled = of.pooled;
    this.handle = of.handle;
    this.compared = of.compared;
  }

  /** It has consumed all that came, in both directions. */
  get atRest(): boolean {
    return this.#ways.every(({ position, received }) => position === received);
  }

  /** Bytes of a direction it was given or that passed it unseen. */
  received(direction: number): number {
    return this.#ways[direction === 1 ? 1 : 0].received;
  }

  /**
   * Takes bytes. Returns why it cannot go on: `unseen` (bytes it would have had to see were moved
   * without it) or `window` (it waits for more than anybody may). Throws what the plugin throws,
   * and an Error for operations outside the contract.
   */
  take(
    input: TapInput,
    batch: OperationBatch,
    now: [number, number],
  ): "unseen" | "window" | undefined {
    const way = this.#ways[input.direction === 1 ? 1 : 0];
    this.#way = way;
    this.#direction = input.direction;
    if (way.ended) return undefined;
    const ended = input.end !== EVENT_END.open;
    if (input.start > way.received && !(ended && input.length === 0)) {
      if (way.position < input.start && !way.rest) return "unseen";
      way.received = input.start;
    }
    let count = Math.max(0, input.start + input.length - way.received);
    let at = input.offset + input.length - count;
    const skipped = Math.min(count, Math.max(0, way.position - way.received));
    way.received += count;
    way.ended = ended;
    if (way.rest) return undefined;
    at += skipped;
    count -= skipped;
    let { bytes } = input;
    if (way.heldBytes > 0) {
      if (!this.#hold(bytes, at, count)) return "window";
      bytes = way.held;
      at = 0;
      count = way.heldBytes;
    }
    if (!ended && (count === 0 || count < way.need)) {
      if (bytes !== way.held && !this.#hold(bytes, at, count)) return "window";
      return undefined;
    }
    if (ended) way.position = Math.min(way.position, way.received);
    const left = this.#call(bytes, at, count, { end: input.end, batch, now });
    way.heldBytes = 0;
    if (this.closed || way.rest) return undefined;
    if (ended) {
      // As the worker does: half a message will never be a whole one.
      if (left > 0) this.close(CLOSE_REASON.malformed);
      return undefined;
    }
    return this.#hold(bytes, at + count - left, left) ? undefined : "window";
  }

  /** Calls until the plugin is done with these bytes; returns how many it left. */
  #call(
    bytes: Uint8Array,
    from: number,
    length: number,
    call: { end: number; batch: OperationBatch; now: [number, number] },
  ): number {
    const { batch, now } = call;
    const { instance } = this.pooled;
    const ended = call.end !== EVENT_END.open;
    const end = Math.min(call.end, END.failed);
    let at = from;
    let left = length;
    this.#repeated.begin(this.pooled.image.manifest.limits, length);
    do {
      if (left !== length) this.#repeated.check(instance);
      this.pooled.calls++;
      this.#way.need = 0;
      instance.onData(this.handle, this.#direction, bytes, at, left, end, now[0], now[1]);
      batch.clear();
      const wrong = batch.translate(instance.operations, 0, this.#direction, left, ended);
      if (wrong !== undefined) throw new Error(wrong);
      batch.describe(0, this);
      at += batch.result.consumed;
      left -= batch.result.consumed;
    } while (batch.result.again);
    if (this.#way.need === 0) this.#way.need = left + 1;
    this.#way.position = Math.max(this.#way.position, this.#way.received - left);
    return left;
  }

  /** Appends to what is held (or begins anew). False: it would be too much. */
  #hold(bytes: Uint8Array, at: number, count: number): boolean {
    const way = this.#way;
    const total = way.heldBytes + count;
    if (total > WINDOW_BYTES_MAX) return false;
    if (bytes === way.held) {
      way.held.copyWithin(0, at, at + count);
    } else if (count > 0) {
      if (total > way.held.length) {
        const larger = new Uint8Array(Math.min(WINDOW_BYTES_MAX, Math.max(4096, total * 2)));
        larger.set(way.held.subarray(0, way.heldBytes));
        way.held = larger;
      }
      way.held.set(bytes.subarray(at, at + count), way.heldBytes);
    }
    way.heldBytes = total;
    return true;
  }

  pass(bytes: number): void {
    this.#way.position += bytes;
    this.#effect({ kind: "pass", length: bytes });
  }

  drop(bytes: number): void {
    this.#way.position += bytes;
    this.#effect({ kind: "drop", length: bytes });
  }

  need(bytes: number): void {
    this.#way.need = bytes;
  }

  rest(): void {
    this.#way.rest = true;
    this.#effect({ kind: "rest", length: 1 });
  }

  inject(direction: number, bytes: Uint8Array): void {
    this.#effect(injection(direction, bytes));
  }

  close(reason: number): void {
    this.closed = true;
    this.#effect({ kind: "close", length: 1, reason });
  }

  #effect(effect: Effect): void {
    this.compared?.comparison.effect(this.compared.candidate, this.#direction, effect);
  }
}
