/**
 * The agent's end of the record streams: one connection to every worker's
 * `<run-dir>/records-<worker>.sock`, made again with back-off whenever it breaks. The worker never
 * waits for the agent, so nothing here pushes back; what is lost meanwhile the worker counts and
 * reports in a `lost` frame.
 */
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { DecodeBudget } from "./decode-budget.ts";
import { RecordReader } from "./record-reader.ts";
import { type RecordCounters, RecordStream } from "./record-stream.ts";
import type { RecordSink } from "./types.ts";

export const RECONNECT_MIN_MS = 100;
export const RECONNECT_MAX_MS = 5_000;
/** Read at once from the kernel; also the memory of a connection that stays for good. */
const READ_BYTES = 65_536;

export interface RecordClientDeps {
  sink: RecordSink;
  budget: DecodeBudget;
  log: { warn(fields: object, message: string): void };
}

export class RecordClient {
  readonly #deps: RecordClientDeps;
  readonly #path: string;
  readonly #worker: number;
  readonly #stream: RecordStream;
  #socket: Socket | undefined;
  #timer: NodeJS.Timeout | undefined;
  #waitMs = RECONNECT_MIN_MS;
  #closed = false;
  /** Streams ended because a frame broke the contract. */
  #broken = 0;
  #connects = 0;

  constructor(deps: RecordClientDeps, options: { path: string; worker: number }) {
    this.#deps = deps;
    this.#path = options.path;
    this.#worker = options.worker;
    this.#stream = new RecordStream(deps, options.worker);
    this.#connect();
  }

  get connected(): boolean {
    return this.#socket?.readyState === "open";
  }

  get counters(): RecordCounters & { connects: number; broken: number } {
    return { ...this.#stream.counters, connects: this.#connects, broken: this.#broken };
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#socket?.destroy();
    this.#stream.reset();
  }

  #connect(): void {
    const reader = new RecordReader((bytes, start, end) => this.#stream.frame(bytes, start, end));
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const socket = connect({
      path: this.#path,
      // One buffer for the life of the connection, instead of one for each read.
      onread: {
        buffer,
        callback: (length) => {
          const error = reader.push(buffer.subarray(0, length));
          this.#stream.flush();
          if (error === undefined) {
            this.#waitMs = RECONNECT_MIN_MS;
            return true;
          }
          this.#broken++;
          // The worker will most likely send the same again.
          this.#waitMs = RECONNECT_MAX_MS;
          this.#deps.log.warn(
            { worker: this.#worker, path: this.#path, error },
            "Cannot read the record stream of a worker: closing it",
          );
          socket.destroy();
          return false;
        },
      },
    });
    this.#socket = socket;
    socket.on("connect", () => {
      this.#connects++;
    });
    // Absent worker, reset: `close` follows and reconnects.
    socket.on("error", () => {});
    socket.on("end", () => socket.destroy());
    socket.on("close", () => this.#retry());
  }

  #retry(): void {
    this.#stream.reset();
    this.#socket = undefined;
    if (this.#closed) return;
    this.#timer = setTimeout(() => this.#connect(), this.#waitMs);
    this.#timer.unref();
    this.#waitMs = Math.min(this.#waitMs * 2, RECONNECT_MAX_MS);
  }
}

/** Clients of all workers of one proxy, sharing one decode budget. */
export class RecordClients {
  readonly #deps: RecordClientDeps;
  readonly #runDir: string;
  #clients: RecordClient[] = [];

  constructor(
    deps: Omit<RecordClientDeps, "budget"> & { nowMs: () => number },
    options: { runDir: string },
  ) {
    this.#deps = { ...deps, budget: new DecodeBudget(deps) };
    this.#runDir = options.runDir;
  }

  /** As many streams as the proxy says it has workers. */
  setWorkers(count: number): void {
    for (const client of this.#clients.splice(count)) client.close();
    for (let worker = this.#clients.length; worker < count; worker++) {
      const path = join(this.#runDir, `records-${worker}.sock`);
      this.#clients.push(new RecordClient(this.#deps, { path, worker }));
    }
  }

  counters(): (RecordCounters & { connects: number; broken: number; connected: boolean })[] {
    return this.#clients.map((client) => ({ ...client.counters, connected: client.connected }));
  }

  close(): void {
    this.setWorkers(0);
  }
}
