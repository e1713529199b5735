/**
 * All taps of a worker. What their connections got in a turn is noted while it is served and shown
 * to them afterwards, when everything is on its way: they cost latency to nobody. Owns their
 * budget, their faults and the end of each; a connection whose tap has yet to see its last bytes is
 * reported closed only then, so that its records come before.
 */
import { EVENT_END, INJECT_BYTES_MAX, QUAD } from "../engine/protocol.ts";
import type { PluginImage, RecordView } from "../isolate/types.ts";
import { OPERATIONS_MAX } from "../isolate/types.ts";
import { type Connection, instanceFacts, type PolicySide, stageSides } from "./connection.ts";
import type { CloseReason } from "./connections.ts";
import type { WorkerCounters } from "./counters.ts";
import type { InstancePool, PooledInstance, Refusal } from "./instance-pool.ts";
import { Judge } from "./judge.ts";
import { OperationBatch } from "./operation-batch.ts";
import { type Compared, Tap, type TapInput } from "./tap.ts";
import type { Skip } from "./trial.ts";

/** With more events in a turn than this the worker has no time for trials. */
export const TRIAL_TURN_EVENTS_MAX = 128;
/** Fuel that trials may use in a turn; about 10 ms. */
const TRIAL_TURN_FUEL_MAX = 10_000_000;

export interface TapsDeps {
  pool: InstancePool;
  counters: WorkerCounters;
  writeRecord: (record: RecordView, serial: number) => void;
  /** An instance that only watched failed. */
  reportFault: (image: PluginImage, error: unknown) => void;
  /** The tap of a connection that nothing serves is over, the connection is not. */
  goUnseen: (connection: Connection) => void;
  /** Both the connection and its tap are over. */
  reportClosed: (connection: Connection, reason: CloseReason) => void;
}

interface Shown {
  tap: Tap;
  /** Undefined: the connection is over. */
  input: TapInput | undefined;
  reason: CloseReason | undefined;
  /** Of the serving version, for these bytes. */
  fuel: number;
}

export class Taps {
  readonly #deps: TapsDeps;
  readonly #batch = new OperationBatch(
    new Int32Array((OPERATIONS_MAX + 2) * QUAD),
    new Uint8Array(2 * INJECT_BYTES_MAX),
    () => {},
  );
  /** At most two for each event of the turn. */
  #shown: Shown[] = [];
  #fuelOfTurn = 0;
  #eventsOfTurn = 0;
  #now: [number, number] = [0, 0];
  #nowMs = 0;
  /** The tap whose instance runs. */
  current: Tap | undefined;

  constructor(deps: TapsDeps) {
    this.#deps = deps;
  }

  /** Whether trials should leave new connections alone. */
  get busy(): boolean {
    return this.#eventsOfTurn > TRIAL_TURN_EVENTS_MAX;
  }

  beginTurn(events: number, nowHigh: number, nowLow: number, nowMs: number): void {
    this.#eventsOfTurn = events;
    this.#fuelOfTurn = 0;
    this.#now[0] = nowHigh;
    this.#now[1] = nowLow;
    this.#nowMs = nowMs;
  }

  /**
   * Has an instance of `image` watch the connection from its first byte. Undefined, and counted:
   * there is none to be had.
   */
  open(
    connection: Connection,
    image: PluginImage,
    compared: Compared | undefined,
  ): Tap | undefined {
    const { pool } = this.#deps;
    let pooled: PooledInstance | Refusal | undefined;
    try {
      pooled = pool.acquire(image, "tap", connection.facts, this.#nowMs);
      if (typeof pooled === "string") return this.#refused(compared, "instance");
      const facts = instanceFacts(connection.facts, pooled);
      const stages = compared === undefined ? [] : facts.stages;
      const handle = pooled.instance.open({ ...facts, stages });
      const tap = new Tap(connection, { pooled, handle, compared });
      if (compared === undefined && connection.mode === "audit") tap.judge = new Judge(tap);
      pooled.connections.add(connection);
      connection.tap = tap;
      compared?.run.began();
      return tap;
    } catch (error) {
      if (pooled === undefined || typeof pooled === "string") this.#deps.reportFault(image, error);
      else this.fault(pooled, error);
      if (compared?.candidate === "tried") compared.run.faulted(messageOf(error));
      return this.#refused(compared, "fault");
    }
  }

  #refused(compared: Compared | undefined, why: Skip): undefined {
    if (compared === undefined) this.#deps.counters.taps_refused++;
    else compared.run.skipped(why);
    return undefined;
  }

  /** Bytes of a connection that nothing else serves; they pass whatever comes of this. */
  show(tap: Tap, input: Omit<TapInput, "start">): void {
    const start = tap.received(input.direction);
    this.#shown.push({ tap, input: { ...input, start }, reason: undefined, fuel: 0 });
  }

  /** Bytes that a comparing tap's connection is about to be served. */
  serving(tap: Tap, input: Omit<TapInput, "start">): void {
    const { compared } = tap;
    if (tap.over || compared === undefined) return;
    if (this.busy) {
      this.end(tap, "busy");
      return;
    }
    const start = compared.served[input.direction === 1 ? 1 : 0].position;
    const fuel = -(tap.connection.pooled?.instance.fuelUsed ?? 0);
    compared.beganMicros = compared.candidate === "active" ? performance.now() * 1000 : 0;
    this.#shown.push({ tap, input: { ...input, start }, reason: undefined, fuel });
  }

  /** One call of the serving version, whose operations are those from `first` on. */
  served(tap: Tap, direction: number, batch: OperationBatch, first: number): void {
    if (tap.over || tap.compared === undefined) return;
    tap.compared.note(direction);
    tap.compared.calls++;
    batch.describe(first, tap.compared);
  }

  /** All calls for the bytes of `serving` are made. */
  servedAll(tap: Tap): void {
    const { compared, connection } = tap;
    const shown = this.#shown.at(-1);
    if (tap.over || compared === undefined || shown?.tap !== tap) return;
    shown.fuel += connection.pooled?.instance.fuelUsed ?? 0;
    if (compared.candidate === "active") {
      compared.run.calls(compared.calls, performance.now() * 1000 - compared.beganMicros);
    }
    compared.calls = 0;
  }

  /** A record of the serving version. */
  recorded(tap: Tap, record: RecordView): void {
    const { compared } = tap;
    if (tap.over || compared === undefined) return;
    compared.comparison.record(compared.candidate === "active" ? "tried" : "active", record);
  }

  /** A record of the tap whose instance runs. */
  emitted(tap: Tap, record: RecordView): void {
    const { compared, connection } = tap;
    if (compared !== undefined) {
      compared.comparison.record(compared.candidate, record);
      return;
    }
    const { judge } = connection.tap ?? tap;
    if (judge !== undefined && judge.tap === tap) {
      judge.note(record);
      return;
    }
    judge?.apply(record);
    this.#deps.writeRecord(record, connection.serial);
  }

  /** The connection is over; its tap sees what it has not seen yet, then both are reported. */
  connectionOver(tap: Tap, reason: CloseReason): void {
    this.#shown.push({ tap, input: undefined, reason, fuel: 0 });
  }

  /** Rules changed. A tap that has no form of them ends. */
  setStages(tap: Tap, sides: readonly [PolicySide, PolicySide]): void {
    if (tap.over) return;
    const { pooled, connection } = tap;
    if (!pooled.hasForms(sides)) {
      this.end(tap, "policy");
      return;
    }
    try {
      if (tap.compared !== undefined) {
        pooled.instance.setStages(tap.handle, pooled.stages(sides));
      } else if (connection.mode === "audit") {
        tap.judge ??= new Judge(tap);
        tap.judge.setStages();
      } else {
        tap.judge?.end();
        tap.judge = undefined;
      }
    } catch (error) {
      this.fault(pooled, error);
    }
  }

  /** Shows the taps what their connections got in this turn. */
  run(): void {
    while (this.#shown.length > 0) {
      const shown = this.#shown;
      this.#shown = [];
      for (const item of shown) {
        if (item.input !== undefined) this.#take(item, item.input);
        else this.#finish(item.tap, item.reason ?? "reset");
      }
    }
  }

  #take({ tap, fuel }: Shown, input: TapInput): void {
    const { compared, pooled } = tap;
    if (tap.over) return;
    if (compared !== undefined && this.#fuelOfTurn > TRIAL_TURN_FUEL_MAX) {
      this.end(tap, "busy");
      return;
    }
    const { instance } = pooled;
    const fuelBefore = instance.fuelUsed;
    const callsBefore = pooled.calls;
    const began = compared === undefined ? 0 : performance.now();
    let stuck: "unseen" | "window" | undefined;
    try {
      if (tap.judge !== undefined) {
        this.current = tap.judge.tap;
        tap.judge.take(input, this.#batch, this.#now);
      }
      this.current = tap;
      stuck = tap.take(input, this.#batch, this.#now);
      tap.judge?.settle();
    } catch (error) {
      this.current = undefined;
      this.fault(pooled, error);
      return;
    }
    this.current = undefined;
    this.#deps.pool.note(pooled);
    const calls = pooled.calls - callsBefore;
    pooled.tally.calls += calls;
    pooled.tally.bytes += input.length;
    if (compared !== undefined) {
      const mine = instance.fuelUsed - fuelBefore;
      this.#fuelOfTurn += mine;
      const micros = (performance.now() - began) * 1000;
      if (compared.candidate === "tried" && calls > 0) compared.run.calls(calls, micros);
      const [active, tried] = compared.candidate === "active" ? [mine, fuel] : [fuel, mine];
      compared.run.comparedCall(active, tried);
      if (input.end === EVENT_END.closed && stuck === undefined) {
        compared.comparison.finish(input.direction, tap.received(input.direction));
      }
    }
    if (!this.#judge(tap) && stuck !== undefined) this.end(tap, stuck);
    else if (tap.closed && compared === undefined) this.end(tap, "unseen");
  }

  /** True: the versions differ, or cannot be compared any more; the tap is over. */
  #judge(tap: Tap): boolean {
    const { compared, connection } = tap;
    if (tap.over || compared === undefined) return tap.over;
    const { comparison, run } = compared;
    const difference = comparison.difference();
    if (difference !== undefined) {
      const ruleSets = stageSides(connection.sides).map(({ ruleSet }) => ruleSet);
      const { serial } = connection;
      run.differs({ time: this.#nowMs, connection: serial, ruleSets, ...difference });
      this.end(tap, undefined);
    } else if (comparison.overflowed) this.end(tap, "window");
    return tap.over;
  }

  #finish(tap: Tap, reason: CloseReason): void {
    const { compared, connection } = tap;
    if (!tap.over && compared !== undefined && ORDERLY.has(reason)) {
      for (const direction of [0, 1]) {
        compared.comparison.finish(direction, tap.received(direction));
      }
      compared.comparison.finishRecords();
      this.#judge(tap);
    }
    this.#leave(tap);
    this.#deps.reportClosed(connection, reason);
  }

  /** It looks no more. `why` is counted, unless what it was for is done. */
  end(tap: Tap, why: Skip | undefined): void {
    if (tap.over) return;
    this.#leave(tap);
    this.#lost(tap, why);
  }

  #lost({ compared, connection }: Tap, why: Skip | undefined): void {
    if (compared !== undefined) {
      if (why !== undefined) compared.run.skipped(why);
      return;
    }
    this.#deps.counters.taps_ended++;
    this.#deps.goUnseen(connection);
  }

  /** Tells the instance. */
  #leave(tap: Tap): void {
    if (tap.over) return;
    tap.over = true;
    const { pooled, connection } = tap;
    pooled.connections.delete(connection);
    if (connection.tap === tap) connection.tap = undefined;
    try {
      tap.judge?.end();
      pooled.instance.close(tap.handle);
    } catch (error) {
      this.fault(pooled, error);
      return;
    }
    this.#deps.pool.left(pooled, this.#nowMs);
  }

  /** The instance is lost: its taps are over, their connections go on. */
  fault(pooled: PooledInstance, error: unknown): void {
    const { pool, counters, reportFault } = this.#deps;
    pool.discard(pooled, this.#nowMs);
    counters.tap_faults++;
    pooled.tally.faults++;
    reportFault(pooled.image, error);
    const blamed = new Set<unknown>();
    for (const connection of [...pooled.connections]) {
      const { tap } = connection;
      pooled.connections.delete(connection);
      if (tap === undefined || tap.over || tap.pooled !== pooled) continue;
      tap.over = true;
      connection.tap = undefined;
      const { compared } = tap;
      if (compared?.candidate === "tried" && !blamed.has(compared.run)) {
        blamed.add(compared.run);
        compared.run.faulted(messageOf(error));
      }
      this.#lost(tap, "fault");
    }
  }
}

/** Ends after which both versions must have said the same. */
const ORDERLY: ReadonlySet<CloseReason> = new Set<CloseReason>(["finished", "denied", "malformed"]);

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
