/**
 * The worker thread: builds one Worker from what it was started with, then alternates turns and
 * messages of the main thread until it is told to stop. It never returns to its event loop while
 * it serves, so messages are taken with `receiveMessageOnPort` after a wake-up.
 */

import { join } from "node:path";
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { type Engine, type EngineAddon, loadEngine } from "../engine/index.ts";
import { EVENT_HEADER, QUAD } from "../engine/protocol.ts";
import { instantiate } from "../isolate/index.ts";
import { createMatcher } from "../regex/index.ts";
import { exposedCollector } from "./exposed-collector.ts";
import { openListeners } from "./listeners.ts";
import type {
  NumberedRequest,
  WorkerConfig,
  WorkerMessage,
  WorkerNotice,
  WorkerReply,
} from "./messages.ts";
import { KernelPolicy } from "./policy.ts";
import { RuleStore } from "./rule-store.ts";
import { started } from "./spawn.ts";
import { Worker } from "./worker.ts";

const ARENA_BYTES = 1 << 20;
const EVENTS_MAX = 1024;
const OPERATIONS_MAX = 4096;
const INJECT_AREA_BYTES = 256 * 1024;
const RECORD_BATCH_BYTES = 256 * 1024;
/** A worker looks for messages and does its housekeeping at least this often. */
const POLL_MS_MAX = 100;
/** After `drain` handshakes that were under way may still end. */
const DRAIN_ACCEPT_MS = 250;
/** So long after the last change of the state the memory of instances that went is given back. */
const COLLECT_MS = 1_000;
/** Log lines of a worker in one second; more are counted. */
const LOG_LINES_PER_SECOND_MAX = 20;

class WorkerThread {
  readonly #config: WorkerConfig;
  readonly #port: MessagePort;
  readonly #addon: EngineAddon;
  readonly #engine: Engine;
  readonly #rules: RuleStore;
  readonly #policy: KernelPolicy | undefined;
  readonly #worker: Worker;
  #running = true;
  /** When to stop accepting, milliseconds of performance.now(). */
  #closeListenersAt: number | undefined;
  #draining = false;
  readonly #collect = exposedCollector();
  /** When to collect garbage, milliseconds of performance.now(). */
  #collectAt: number | undefined;
  #logSecond = 0;
  #logLines = 0;

  constructor(config: WorkerConfig, port: MessagePort) {
    this.#config = config;
    this.#port = port;
    this.#addon = loadEngine();
    const maps = config.bpffs === undefined ? undefined : join(config.bpffs, "maps");
    const memory = {
      arena: new Uint8Array(ARENA_BYTES),
      events: new Int32Array(EVENT_HEADER + EVENTS_MAX * QUAD),
      operations: new Int32Array(OPERATIONS_MAX * QUAD),
      inject: new Uint8Array(INJECT_AREA_BYTES),
      records: new Uint8Array(RECORD_BATCH_BYTES),
    };
    this.#engine = new this.#addon.Engine({
      ...memory,
      connectionsMax: config.connectionsMax,
      handoffMap: maps === undefined ? -1 : this.#addon.openMap(join(maps, "handoff@1")),
    });
    this.#rules = new RuleStore(createMatcher);
    this.#policy =
      maps === undefined
        ? undefined
        : new KernelPolicy(this.#addon, {
            ...{ policies: join(maps, "policies@1"), ipcache: join(maps, "ipcache@1") },
          });
    this.#worker = new Worker({
      engine: this.#engine,
      memory,
      rules: this.#rules,
      instantiate,
      policy: this.#policy,
      instancesMax: config.instancesMax,
      memoryBytesMax: config.memoryBytesMax,
      random: Math.random,
      log: (level, message, plugin) => this.#log(level, message, plugin),
    });
    this.#engine.listenRecords(join(config.runDir, `records-${config.worker}.sock`));
  }

  run(): void {
    this.#post({ kind: "started", wakeFd: this.#engine.wakeFd() });
    while (this.#running) {
      this.#worker.turn(POLL_MS_MAX);
      if (this.#worker.takeWoken()) this.#receive();
      if (this.#closeListenersAt !== undefined || this.#draining) this.#drainOn();
      if (this.#collectAt !== undefined && performance.now() >= this.#collectAt) {
        this.#collectAt = undefined;
        this.#collect();
      }
    }
    this.#worker.stop();
    this.#policy?.close();
    this.#engine.close();
  }

  #receive(): void {
    for (;;) {
      const received = receiveMessageOnPort(this.#port) as { message: NumberedRequest } | undefined;
      if (received === undefined) return;
      const { seq } = received.message;
      try {
        this.#post(this.#handle(received.message));
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.#post({ kind: "failed", seq, message });
      }
    }
  }

  #handle(request: NumberedRequest): WorkerReply {
    const { seq } = request;
    switch (request.kind) {
      case "state":
        this.#worker.apply(request.change);
        this.#collectAt = performance.now() + COLLECT_MS;
        return { kind: "done", seq };
      case "listen":
        return {
          kind: "done",
          seq,
          ports: openListeners(this.#engine, this.#addon, this.#config),
        };
      case "reevaluate":
        this.#worker.reevaluate(request.endpoints, request.relabelled);
        return { kind: "done", seq };
      case "status":
        return { kind: "done", seq, status: this.#worker.status() };
      case "instances":
        return { kind: "done", seq, instances: this.#worker.instances(this.#config.worker) };
      case "drain":
        this.#closeListenersAt = performance.now() + DRAIN_ACCEPT_MS;
        return { kind: "done", seq };
      case "stop":
        this.#running = false;
        return { kind: "done", seq };
    }
  }

  #drainOn(): void {
    if (this.#closeListenersAt !== undefined && performance.now() >= this.#closeListenersAt) {
      this.#engine.stopListening();
      this.#closeListenersAt = undefined;
      this.#draining = true;
    }
    if (this.#draining && this.#worker.status().connections === 0) {
      this.#draining = false;
      this.#post({ kind: "idle" });
    }
  }

  #log(level: "debug" | "info" | "warn" | "error", message: string, plugin?: string): void {
    const second = Math.floor(performance.now() / 1000);
    if (second !== this.#logSecond) {
      this.#logSecond = second;
      this.#logLines = 0;
    }
    if (this.#logLines++ >= LOG_LINES_PER_SECOND_MAX) {
      this.#worker.counters.log_lines_dropped++;
      return;
    }
    const notice: WorkerNotice = { kind: "log", level, message };
    if (plugin !== undefined) notice.plugin = plugin;
    this.#post(notice);
  }

  #post(message: WorkerMessage): void {
    this.#port.postMessage(message);
  }
}

started((config, port) => new WorkerThread(config, port).run());
