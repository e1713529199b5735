/**
 * One worker: the synchronous loop between engine and plugin instances. A turn polls the engine,
 * calls the instance of every event, hands the checked operations back, shows the taps what came
 * and sends the records. Nothing here waits but `poll`. What a turn does beside events is split
 * off: admission.ts, connections.ts, taps.ts, operation-batch.ts, record-writer.ts.
 */
import type { InstanceStatus } from "../contract/control.ts";
import type { Engine, EngineMemory } from "../engine/index.ts";
import { CLOSED, COUNTERS, EVENT, EVENT_END, EVENT_HEADER, QUAD } from "../engine/protocol.ts";
import type { HostImports } from "../isolate/types.ts";
import {
  CLOSE_REASON,
  DIRECTION,
  END,
  type PluginImage,
  type PluginInstance,
} from "../isolate/types.ts";
import { Admission } from "./admission.ts";
import { type Connection, readFacts } from "./connection.ts";
import { type CloseReason, Connections } from "./connections.ts";
import { type WorkerCounters, zeroCounters } from "./counters.ts";
import { HostCalls } from "./host-calls.ts";
import { InstancePool, type PooledInstance } from "./instance-pool.ts";
import type { WorkerStatus } from "./messages.ts";
import { OperationBatch } from "./operation-batch.ts";
import { PluginLog } from "./plugin-log.ts";
import type { PolicyLookup } from "./policy.ts";
import { RecordWriter } from "./record-writer.ts";
import { Recorder } from "./recorder.ts";
import { Reevaluation } from "./reevaluate.ts";
import { RepeatedCalls } from "./repeated-calls.ts";
import { Retirement } from "./retirement.ts";
import type { RuleStore, StateChange } from "./rule-store.ts";
import { Trials } from "./trial.ts";
import { VersionTallies } from "./version-tally.ts";

const SWEEP_MS = 5_000;
const CLOSE_REASONS: readonly CloseReason[] = ["finished", "denied", "malformed"];

export interface WorkerDeps {
  engine: Engine;
  memory: EngineMemory;
  rules: RuleStore;
  instantiate: (image: PluginImage, host: HostImports) => PluginInstance;
  /** Undefined without a datapath: then reevaluating changes nothing. */
  policy: PolicyLookup | undefined;
  instancesMax: number;
  /** Linear memory of all instances. */
  memoryBytesMax: number;
  /** 0 to 1; which connections trials take. */
  random: () => number;
  log: (level: "debug" | "info" | "warn" | "error", message: string, plugin?: string) => void;
}

export class Worker {
  readonly counters: WorkerCounters = zeroCounters();
  readonly #engine: Engine;
  readonly #rules: RuleStore;
  readonly #events: Int32Array;
  readonly #arena: Uint8Array;
  readonly #batch: OperationBatch;
  readonly #records: RecordWriter;
  readonly #recorder: Recorder;
  readonly #pool: InstancePool;
  readonly #connections: Connections;
  readonly #admission: Admission;
  readonly #trials: Trials;
  readonly #tallies = new VersionTallies();
  readonly #host: HostCalls;
  readonly #retirement: Retirement;
  readonly #reevaluation: Reevaluation | undefined;
  readonly #repeated = new RepeatedCalls();
  /** A call of the event in course inserted bytes toward the side that opened. */
  #answered = false;
  #nowHigh = 0;
  #nowLow = 0;
  #nowMs = 0;
  #sweptMs = 0;
  #woken = false;

  constructor(deps: WorkerDeps) {
    const { engine, memory, rules, log, policy } = deps;
    const { counters } = this;
    this.#engine = engine;
    this.#rules = rules;
    this.#events = memory.events;
    this.#arena = memory.arena;
    const batch = new OperationBatch(memory.operations, memory.inject, (count, last) =>
      engine.flush(count, last),
    );
    const records = new RecordWriter(engine, memory.records);
    this.#batch = batch;
    this.#records = records;
    this.#host = new HostCalls({
      records,
      log: new PluginLog({ records, counters, log }),
      match: (handle, bytes) => rules.match(handle, bytes),
      taps: () => this.#connections.taps,
      nowMs: () => this.#nowMs,
    });
    const pool = new InstancePool({
      rules,
      tallies: this.#tallies,
      instantiate: (image) => deps.instantiate(image, this.#host.importsOf(image)),
      instancesMax: deps.instancesMax,
      memoryBytesMax: deps.memoryBytesMax,
    });
    this.#pool = pool;
    const recorder = new Recorder({ rules, records, counters });
    this.#recorder = recorder;
    const connections = new Connections({ batch, records, pool, counters, recorder, log });
    this.#connections = connections;
    this.#trials = new Trials(rules);
    this.#admission = new Admission({
      ...{ rules, pool, connections, batch, counters, log },
      trials: this.#trials,
      random: deps.random,
    });
    this.#retirement = new Retirement({ rules, pool, connections, counters });
    this.#reevaluation = policy && new Reevaluation({ policy, rules, connections, counters, log });
  }

  /** Connections that have not ended; closing ones no longer count. */
  get live(): number {
    return this.#connections.live;
  }

  /** True when the main thread wrote to the wake-up descriptor since the last call. */
  takeWoken(): boolean {
    const woken = this.#woken;
    this.#woken = false;
    return woken;
  }

  /** Takes a new state. Throws, and changes nothing, when it cannot be used. */
  apply(change: StateChange): void {
    this.#rules.apply(change);
    this.#recorder.sync(this.#connections.all(), this.#nowMs);
    this.#trials.sync();
    this.#pool.retain();
    const running = [...this.#pool.all()].map(({ image }) => image.digest);
    this.#tallies.retain(new Set([...change.keepPlugins, ...running]));
  }

  /** One turn; waits at most `timeoutMs` for something to do. */
  turn(timeoutMs: number): void {
    const count = this.#engine.poll(this.#records.pending ? 1 : timeoutMs);
    const events = this.#events;
    this.#nowLow = (events[1] ?? 0) >>> 0;
    this.#nowHigh = (events[2] ?? 0) >>> 0;
    this.#nowMs = (this.#nowHigh * 0x1_0000_0000 + this.#nowLow) / 1e6;
    this.#records.setTime(this.#nowHigh, this.#nowLow, this.#nowMs);
    this.#connections.nowMs = this.#nowMs;
    this.#connections.taps.beginTurn(count, this.#nowHigh, this.#nowLow, this.#nowMs);
    for (let i = 0, at = EVENT_HEADER; i < count; i++, at += QUAD) {
      this.#batch.makeRoom();
      this.#event(events[at] ?? 0, events[at + 1] ?? 0, events[at + 2] ?? 0, events[at + 3] ?? 0);
    }
    if (count > 0) this.#batch.flush(true);
    this.#retirement.look(this.#nowMs);
    this.#connections.taps.run();
    this.#lighten();
    if (this.#nowMs - this.#sweptMs >= SWEEP_MS) this.#sweep();
    if (this.#batch.count > 0) this.#batch.flush(false);
    this.#records.flush(false);
  }

  /** Live connections of these endpoints ask for their verdict again; of addresses they end. */
  reevaluate(endpoints: readonly number[], relabelled: readonly string[] = []): void {
    this.#reevaluation?.run(endpoints, relabelled);
    this.#settle();
  }

  /** Resets every connection that is left; the last frames are sent. */
  stop(): void {
    for (const connection of this.#connections.all()) {
      this.#connections.close(connection, "drained", true);
    }
    this.#settle();
  }

  /** Carries out what was decided outside a turn. */
  #settle(): void {
    this.#batch.flush(false);
    this.#connections.taps.run();
    this.#batch.flush(true);
    this.#records.flush(true);
  }

  instances(worker: number): InstanceStatus[] {
    return this.#pool.list(worker, this.#nowMs);
  }

  status(): WorkerStatus {
    const values = new Float64Array(COUNTERS.length + 2);
    this.#engine.status(values);
    const versions = this.#tallies.shares();
    let memoryBytes = 0;
    for (const { image, instance, role, connections } of this.#pool.all()) {
      const share = versions.get(image.digest);
      memoryBytes += instance.memoryBytes;
      if (share === undefined) continue;
      share.instances++;
      share.memoryBytes += instance.memoryBytes;
      share.fuel += instance.fuelUsed;
      if (role === "serve") share.connections += connections.size;
    }
    const counters: Record<string, number> = {
      ...this.counters,
      records: this.#records.written,
      records_lost: this.#records.lost,
      buffered_bytes: values[COUNTERS.length + 1] ?? 0,
      fuel: [...versions.values()].reduce((sum, { fuel }) => sum + fuel, 0),
      plugin_memory_bytes: memoryBytes,
    };
    COUNTERS.forEach((name, i) => {
      counters[name] = values[i] ?? 0;
    });
    return {
      connections: values[COUNTERS.length] ?? 0,
      instances: this.#pool.size,
      counters,
      versions: [...versions.values()],
      trials: this.#trials.shares(),
    };
  }

  #event(word: number, slot: number, a: number, b: number): void {
    switch (word & 0xff) {
      case EVENT.data: {
        const connection = this.#connections.at(slot);
        if (connection === undefined) return;
        if (connection.pooled === undefined) this.#passOn(connection, word, a, b);
        else this.#data(connection, connection.pooled, word, a, b);
        return;
      }
      case EVENT.accept:
        this.#admission.admit(slot, readFacts(this.#arena, a));
        return;
      case EVENT.closed: {
        const connection = this.#connections.at(slot);
        if (connection !== undefined) {
          this.#connections.forget(connection, a === CLOSED.finished ? "finished" : "reset");
        }
        return;
      }
      case EVENT.wake:
        this.#woken = true;
        return;
      case EVENT.agent:
        if (a === 0) this.#records.agentLeft();
        else this.#greetAgent();
        return;
    }
  }

  #greetAgent(): void {
    this.#records.agentCame();
    for (const connection of this.#connections.all()) this.#connections.announce(connection);
  }

  /** Bytes of a connection that nothing decides about; without a tap the engine passes them. */
  #passOn(connection: Connection, word: number, offset: number, length: number): void {
    const { tap, slot } = connection;
    if (tap === undefined) return;
    const direction = (word >> 8) & 1;
    const end = (word >> 16) & 3;
    if (length > 0) this.#batch.passWindow(slot, direction, length);
    this.#connections.taps.show(tap, { direction, bytes: this.#arena, offset, length, end });
    if (end >= EVENT_END.failed) this.#afterFailure(connection, direction, end, false);
  }

  #data(
    connection: Connection,
    pooled: PooledInstance,
    word: number,
    offset: number,
    length: number,
  ): void {
    const direction = (word >> 8) & 1;
    const end = (word >> 16) & 3;
    const ended = end !== EVENT_END.open;
    const { tap, recording } = connection;
    const { taps } = this.#connections;
    if (recording !== undefined) {
      const kept = connection.left[direction] ?? 0;
      const bytes = this.#arena.subarray(offset + kept, offset + length);
      recording.given({ direction, bytes, end, nowHigh: this.#nowHigh, nowLow: this.#nowLow });
    }
    if (tap !== undefined)
      taps.serving(tap, { direction, bytes: this.#arena, offset, length, end });
    const left = this.#call(connection, pooled, { direction, end, offset, length });
    if (left < 0) return;
    if (tap !== undefined) taps.servedAll(tap);
    const { result } = this.#batch;
    connection.left[direction] = left;
    if (recording !== undefined) {
      this.#recorder.judged(connection, result.closeReason, ended && left > 0);
    }
    if (result.closeReason >= 0) {
      this.#connections.forget(connection, CLOSE_REASONS[result.closeReason] ?? "malformed");
    } else if (end >= EVENT_END.failed) {
      this.#afterFailure(connection, direction, end, this.#answered);
    } else if (ended && left > 0) {
      // Half a message will never be a whole one.
      tap?.compared?.close(CLOSE_REASON.malformed);
      this.#connections.close(connection, "malformed", false);
    } else if (connection.retiring) {
      this.#retirement.afterCall(connection);
    }
  }

  /** Calls until the plugin is done with the window; returns what it left, or -1 for a fault. */
  #call(
    connection: Connection,
    pooled: PooledInstance,
    event: { direction: number; end: number; offset: number; length: number },
  ): number {
    const { direction, end } = event;
    const { instance, tally } = pooled;
    const { result } = this.#batch;
    const { tap, recording } = connection;
    const pluginEnd = Math.min(end, END.failed);
    const ended = end !== EVENT_END.open;
    let at = event.offset;
    let left = event.length;
    tally.bytes += left;
    this.#answered = false;
    this.#host.current = connection;
    this.#repeated.begin(pooled.image.manifest.limits, event.length);
    do {
      const again = left !== event.length;
      if (again) this.#batch.makeRoom();
      this.counters.plugin_calls++;
      tally.calls++;
      pooled.calls++;
      const first = this.#batch.count;
      let wrong: string | undefined;
      try {
        if (again) this.#repeated.check(instance);
        instance.onData(
          connection.handle,
          direction,
          this.#arena,
          at,
          left,
          pluginEnd,
          this.#nowHigh,
          this.#nowLow,
        );
        wrong = this.#batch.translate(instance.operations, connection.slot, direction, left, ended);
      } catch (error) {
        wrong = error instanceof Error ? error.message : String(error);
      }
      if (wrong !== undefined) {
        this.#host.current = undefined;
        if (recording !== undefined) this.#recorder.failed(connection, wrong);
        this.#connections.fault(pooled, wrong, connection);
        return -1;
      }
      if (recording !== undefined) recording.called(direction, this.#batch, first);
      if (tap !== undefined) this.#connections.taps.served(tap, direction, this.#batch, first);
      this.#answered ||= result.answered;
      at += result.consumed;
      left -= result.consumed;
    } while (result.again);
    this.#host.current = undefined;
    this.#pool.note(pooled);
    return left;
  }

  /** One side is gone. What the plugin answered still reaches the other; else it is reset too. */
  #afterFailure(connection: Connection, direction: number, end: number, answered: boolean): void {
    const reason = end === EVENT_END.unreachable ? "unreachable" : "reset";
    const orderly = direction === DIRECTION.response && answered;
    this.#connections.close(connection, reason, !orderly);
  }

  /** Plugins together hold too much memory: the instances that hold most go. */
  #lighten(): void {
    for (let most = this.#pool.overweight(); most; most = this.#pool.overweight()) {
      const held = `${most.memoryBytes >> 20} MiB, the most of all`;
      this.#connections.fault(most, `memory: too much is in use on this worker; it held ${held}`);
    }
  }

  #sweep(): void {
    this.#sweptMs = this.#nowMs;
    this.#recorder.sync(this.#connections.all(), this.#nowMs);
    for (const pooled of this.#pool.sweep(this.#nowMs)) {
      this.#connections.fault(pooled, "it failed while a rule set was unloaded");
    }
  }
}
