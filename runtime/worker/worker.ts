/**
 * One worker: the synchronous loop between engine and plugin instances. A turn polls the engine,
 * calls the instance of every event, hands the checked operations back and sends the records.
 * Nothing here waits but `poll`. What a turn does beside events is split off: instance-pool.ts,
 * operation-batch.ts, record-writer.ts, policy.ts.
 */
import type { CloseBody, FaultBody } from "../contract/records.ts";
import { FRAME } from "../contract/records.ts";
import type { Engine, EngineMemory } from "../engine/index.ts";
import { CLOSED, COUNTERS, EVENT, EVENT_END, EVENT_HEADER, QUAD } from "../engine/protocol.ts";
import type { HostImports } from "../isolate/types.ts";
import { DIRECTION, END, type PluginImage, type PluginInstance } from "../isolate/types.ts";
import { type Connection, instanceFacts, openBody, readFacts, stageSides } from "./connection.ts";
import { type WorkerCounters, zeroCounters } from "./counters.ts";
import { InstancePool, type PooledInstance } from "./instance-pool.ts";
import type { WorkerStatus } from "./messages.ts";
import { OperationBatch } from "./operation-batch.ts";
import type { PolicyLookup } from "./policy.ts";
import { RecordWriter } from "./record-writer.ts";
import { reevaluate } from "./reevaluate.ts";
import type { RuleStore } from "./rule-store.ts";

type CloseReason = CloseBody["reason"];

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
  log: (level: "debug" | "info" | "warn" | "error", message: string, plugin?: string) => void;
}

export class Worker {
  readonly counters: WorkerCounters = zeroCounters();
  readonly #deps: WorkerDeps;
  readonly #engine: Engine;
  readonly #events: Int32Array;
  readonly #arena: Uint8Array;
  readonly #batch: OperationBatch;
  readonly #records: RecordWriter;
  readonly #pool: InstancePool;
  /** By slot of the engine. */
  readonly #connections: (Connection | undefined)[] = [];
  /** The connection of the call in progress; `emit` is only allowed for it. */
  #current: Connection | undefined;
  #serial = 0;
  #nowHigh = 0;
  #nowLow = 0;
  #nowMs = 0;
  #sweptMs = 0;
  #live = 0;
  #woken = false;

  constructor(deps: WorkerDeps) {
    this.#deps = deps;
    this.#engine = deps.engine;
    this.#events = deps.memory.events;
    this.#arena = deps.memory.arena;
    this.#batch = new OperationBatch(deps.memory.operations, deps.memory.inject);
    this.#records = new RecordWriter(deps.engine, deps.memory.records);
    const host = this.#hostImports();
    this.#pool = new InstancePool({
      rules: deps.rules,
      instantiate: (image) => deps.instantiate(image, host(image)),
      instancesMax: deps.instancesMax,
    });
  }

  /** Connections with a plugin; closing ones no longer count. */
  get live(): number {
    return this.#live;
  }

  /** True when the main thread wrote to the wake-up descriptor since the last call. */
  takeWoken(): boolean {
    const woken = this.#woken;
    this.#woken = false;
    return woken;
  }

  /** One turn; waits at most `timeoutMs` for something to do. */
  turn(timeoutMs: number): void {
    const count = this.#engine.poll(this.#records.pending ? 1 : timeoutMs);
    const events = this.#events;
    this.#nowLow = (events[1] ?? 0) >>> 0;
    this.#nowHigh = (events[2] ?? 0) >>> 0;
    this.#nowMs = (this.#nowHigh * 0x1_0000_0000 + this.#nowLow) / 1e6;
    this.#records.setTime(this.#nowHigh, this.#nowLow, this.#nowMs);
    for (let i = 0, at = EVENT_HEADER; i < count; i++, at += QUAD) {
      if (!this.#batch.hasRoom()) this.#flush(false);
      this.#event(events[at] ?? 0, events[at + 1] ?? 0, events[at + 2] ?? 0, events[at + 3] ?? 0);
    }
    if (count > 0) this.#flush(true);
    this.#records.flush(false);
    if (this.#nowMs - this.#sweptMs >= SWEEP_MS) this.#sweep();
  }

  /** Live connections of these endpoints ask for their verdict again. */
  reevaluate(endpoints: readonly number[]): void {
    const { policy } = this.#deps;
    if (policy === undefined) return;
    const wanted = new Set(endpoints);
    for (const connection of this.#connections) {
      if (connection === undefined) continue;
      if (!connection.sides.some((side) => wanted.has(side.endpoint))) continue;
      if (!this.#batch.hasRoom()) this.#flush(false);
      const sides = this.#sidesNow(connection, policy);
      if (sides === undefined) {
        this.counters.policy_closed++;
        this.#close(connection, "policy", true);
        continue;
      }
      connection.sides = sides;
      try {
        connection.pooled.instance.setStages(connection.handle, connection.pooled.stages(sides));
        this.#records.event(FRAME.open, connection.serial, openBody(connection));
      } catch (error) {
        this.#fault(connection.pooled, error);
      }
    }
    this.#flush(false);
    this.#records.flush(true);
  }

  #sidesNow(connection: Connection, policy: PolicyLookup): Connection["sides"] | undefined {
    const { rules, log } = this.#deps;
    try {
      return reevaluate(connection, { policy, rules });
    } catch (error) {
      // Not knowing is not a permission.
      log("error", `Cannot look up policy again: ${error instanceof Error ? error.message : ""}`);
      return undefined;
    }
  }

  /** Resets every connection that is left; the last frames are sent. */
  stop(): void {
    for (const connection of this.#connections) {
      if (connection === undefined) continue;
      if (!this.#batch.hasRoom()) this.#flush(false);
      this.#close(connection, "drained", true);
    }
    this.#flush(true);
    this.#records.flush(true);
  }

  status(): WorkerStatus {
    const values = new Float64Array(COUNTERS.length + 2);
    this.#engine.status(values);
    const counters: Record<string, number> = {
      ...this.counters,
      records: this.#records.written,
      records_lost: this.#records.lost,
      buffered_bytes: values[COUNTERS.length + 1] ?? 0,
      fuel: 0,
      plugin_memory_bytes: 0,
    };
    COUNTERS.forEach((name, i) => {
      counters[name] = values[i] ?? 0;
    });
    for (const { instance } of this.#pool.all()) {
      counters.fuel = (counters.fuel ?? 0) + instance.fuelUsed;
      counters.plugin_memory_bytes = (counters.plugin_memory_bytes ?? 0) + instance.memoryBytes;
    }
    return { connections: values[COUNTERS.length] ?? 0, instances: this.#pool.size, counters };
  }

  #flush(last: boolean): void {
    this.#engine.flush(this.#batch.count, last);
    this.#batch.clear();
  }

  #event(word: number, slot: number, a: number, b: number): void {
    switch (word & 0xff) {
      case EVENT.data: {
        const connection = this.#connections[slot];
        if (connection !== undefined) this.#data(connection, word, a, b);
        return;
      }
      case EVENT.accept:
        this.#accept(slot, a);
        return;
      case EVENT.closed: {
        const connection = this.#connections[slot];
        if (connection !== undefined) {
          this.#forget(connection, a === CLOSED.finished ? "finished" : "reset");
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
    for (const connection of this.#connections) {
      if (connection !== undefined) {
        this.#records.event(FRAME.open, connection.serial, openBody(connection));
      }
    }
  }

  #accept(slot: number, offset: number): void {
    const facts = readFacts(this.#arena, offset);
    const image = this.#imageFor(
      slot,
      stageSides(facts.sides).map((side) => side.ruleSet),
    );
    if (image === undefined) {
      this.#batch.reset(slot);
      return;
    }
    let pooled: PooledInstance | undefined;
    try {
      const acquired = this.#pool.acquire(image, facts, this.#nowMs);
      if (typeof acquired === "string") {
        this.counters[`refused_${acquired}`]++;
        this.#batch.reset(slot);
        return;
      }
      pooled = acquired;
      const handle = pooled.instance.open(instanceFacts(facts, pooled));
      this.#serial = (this.#serial + 1) >>> 0;
      const { sides } = facts;
      const connection = { slot, serial: this.#serial, facts, pooled, handle, sides };
      this.#connections[slot] = connection;
      pooled.connections.add(connection);
      this.#live++;
      this.#records.event(FRAME.open, connection.serial, openBody(connection));
    } catch (error) {
      this.#batch.reset(slot);
      if (pooled === undefined) this.#reportFault(image, error, 0);
      else this.#fault(pooled, error);
    }
  }

  /** The one plugin of these rule sets; undefined, counted and reported when there is none. */
  #imageFor(slot: number, ids: number[]): PluginImage | undefined {
    const { rules, log } = this.#deps;
    if (ids.length === 0) {
      this.counters.refused_no_rules++;
      return undefined;
    }
    const choice = rules.choose(ids);
    if (choice === "unknown_rules") {
      this.counters.refused_unknown_rules++;
      const missing = ids.find((id) => rules.ruleSet(id) === undefined);
      log("warn", `Cannot serve connection ${slot}: rule set ${missing} is not there`);
      return undefined;
    }
    if (choice === "two_plugins") {
      this.counters.refused_two_plugins++;
      log("warn", `Cannot serve connection ${slot}: its two policies name different plugins`);
      return undefined;
    }
    return choice.image;
  }

  #data(connection: Connection, word: number, offset: number, length: number): void {
    const direction = (word >> 8) & 1;
    const end = (word >> 16) & 3;
    const pluginEnd = Math.min(end, END.failed);
    const { instance } = connection.pooled;
    const { result } = this.#batch;
    const ended = end !== EVENT_END.open;
    let answered = false;
    let at = offset;
    let left = length;
    this.#current = connection;
    do {
      if (left !== length && !this.#batch.hasRoom()) this.#flush(false);
      this.counters.plugin_calls++;
      let wrong: string | undefined;
      try {
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
        this.#current = undefined;
        this.#fault(connection.pooled, wrong);
        return;
      }
      answered ||= result.answered;
      at += result.consumed;
      left -= result.consumed;
    } while (result.again);
    this.#current = undefined;
    if (result.closeReason >= 0) {
      this.#forget(connection, CLOSE_REASONS[result.closeReason] ?? "malformed");
    } else if (end >= EVENT_END.failed) {
      this.#afterFailure(connection, direction, end, answered);
    } else if (ended && left > 0) {
      // Half a message will never be a whole one.
      this.#close(connection, "malformed", false);
    }
  }

  /** One side is gone. What the plugin answered still reaches the other; else it is reset too. */
  #afterFailure(connection: Connection, direction: number, end: number, answered: boolean): void {
    const reason = end === EVENT_END.unreachable ? "unreachable" : "reset";
    if (direction === DIRECTION.response && answered) this.#batch.close(connection.slot);
    else this.#batch.reset(connection.slot);
    this.#forget(connection, reason);
  }

  /** The worker ends it. */
  #close(connection: Connection, reason: CloseReason, abrupt: boolean): void {
    if (abrupt) this.#batch.reset(connection.slot);
    else this.#batch.close(connection.slot);
    this.#forget(connection, reason);
  }

  /** It is over for the plugin; the engine already knows. */
  #forget(connection: Connection, reason: CloseReason): void {
    const { pooled } = connection;
    this.#drop(connection, reason);
    try {
      pooled.instance.close(connection.handle);
    } catch (error) {
      this.#fault(pooled, error);
    }
  }

  #drop(connection: Connection, reason: CloseReason): void {
    this.#connections[connection.slot] = undefined;
    connection.pooled.connections.delete(connection);
    if (connection.pooled.connections.size === 0) connection.pooled.idleSinceMs = this.#nowMs;
    this.#live--;
    const body: CloseBody = { reason };
    this.#records.event(FRAME.close, connection.serial, body);
  }

  /** The instance is poisoned: it and all its connections go, nothing else does. */
  #fault(pooled: PooledInstance, error: unknown): void {
    const connections = [...pooled.connections];
    this.#pool.discard(pooled, this.#nowMs);
    this.#reportFault(pooled.image, error, connections.length);
    for (const connection of connections) {
      if (!this.#batch.hasRoom()) this.#flush(false);
      this.#batch.reset(connection.slot);
      this.#drop(connection, "fault");
    }
  }

  #reportFault(image: PluginImage, error: unknown, connections: number): void {
    const { name, version } = image.manifest;
    const message = error instanceof Error ? error.message : String(error);
    this.counters.faults++;
    const body: FaultBody = {
      plugin: { name, version, digest: image.digest },
      message,
      connections,
    };
    this.#records.event(FRAME.fault, 0, body);
    this.#deps.log("error", `Cannot go on with plugin ${name} ${version}: ${message}`, name);
  }

  #sweep(): void {
    this.#sweptMs = this.#nowMs;
    for (const pooled of this.#pool.sweep(this.#nowMs)) {
      this.#fault(pooled, "it failed while a rule set was unloaded");
    }
    this.#flush(false);
  }

  /** What plugins may ask of the host; one object for each instance, made outside the data path. */
  #hostImports(): (image: PluginImage) => HostImports {
    const levels = ["debug", "info", "warn", "error"] as const;
    return (image) => ({
      emit: (record) => {
        const connection = this.#current;
        if (connection === undefined || connection.handle !== record.connection) {
          throw new Error("record for a connection that is not being served");
        }
        this.#records.record(record, connection.serial);
      },
      log: (level, message) => {
        this.#deps.log(levels[level] ?? "error", message, image.manifest.name);
      },
      match: (handle, bytes) => this.#deps.rules.match(handle, bytes),
    });
  }
}
