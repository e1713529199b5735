/**
 * The connections of a worker and how each of them ends: by the plugin, the peers, policy, or
 * because the instance that served it is lost. What the agent is told of beginnings and ends is
 * written here.
 */
import type { CloseBody, FaultBody } from "../contract/records.ts";
import { FRAME } from "../contract/records.ts";
import { DIRECTION, type PluginImage } from "../isolate/types.ts";
import { type Connection, openBody } from "./connection.ts";
import type { WorkerCounters } from "./counters.ts";
import type { InstancePool, PooledInstance } from "./instance-pool.ts";
import type { OperationBatch } from "./operation-batch.ts";
import type { RecordWriter } from "./record-writer.ts";
import type { Recorder } from "./recorder.ts";
import { Taps } from "./taps.ts";

export type CloseReason = CloseBody["reason"];

export interface ConnectionsDeps {
  batch: OperationBatch;
  records: RecordWriter;
  pool: InstancePool;
  counters: WorkerCounters;
  recorder: Recorder;
  log: (level: "debug" | "info" | "warn" | "error", message: string, plugin?: string) => void;
}

export class Connections {
  readonly taps: Taps;
  readonly #deps: ConnectionsDeps;
  /** By slot of the engine. */
  readonly #slots: (Connection | undefined)[] = [];
  #serial = 0;
  #live = 0;
  /** Milliseconds since 1970, of this turn. */
  nowMs = 0;

  constructor(deps: ConnectionsDeps) {
    this.#deps = deps;
    this.taps = new Taps({
      pool: deps.pool,
      counters: deps.counters,
      writeRecord: (record, serial) => deps.records.record(record, serial),
      reportFault: (image, error) => this.#reportFault(image, error, { closed: 0, unseen: 0 }),
      goUnseen: (connection) => this.passRest(connection),
      reportClosed: (connection, reason) => this.#reportClosed(connection, reason),
    });
  }

  /** Closing ones no longer count. */
  get live(): number {
    return this.#live;
  }

  at(slot: number): Connection | undefined {
    return this.#slots[slot];
  }

  *all(): Generator<Connection> {
    for (const connection of this.#slots) if (connection !== undefined) yield connection;
  }

  nextSerial(): number {
    this.#serial = (this.#serial + 1) >>> 0;
    return this.#serial;
  }

  add(connection: Connection): void {
    this.#slots[connection.slot] = connection;
    connection.pooled?.connections.add(connection);
    this.#live++;
    if (connection.pooled !== undefined) this.#deps.recorder.begin(connection, this.nowMs);
    this.announce(connection);
  }

  /** Tells the agent what the connection is now. */
  announce(connection: Connection): void {
    this.#deps.records.event(FRAME.open, connection.serial, openBody(connection));
  }

  /** Nothing can serve it and its policy is `closed`: told and counted, never served. */
  refuse(connection: Connection): void {
    this.#deps.counters.refused_no_plugin++;
    this.#deps.batch.reset(connection.slot);
    this.announce(connection);
    this.#reportClosed(connection, "no_plugin");
  }

  /** Its plugin cannot serve it and its policy is `open`: from here on everything passes. */
  goUnseen(connection: Connection): void {
    this.#deps.counters.relayed_unseen++;
    connection.pooled = undefined;
    this.passRest(connection);
  }

  /** Nobody looks any more; everything passes. */
  passRest({ slot }: Connection): void {
    this.#deps.batch.makeRoom();
    this.#deps.batch.rest(slot, DIRECTION.request);
    this.#deps.batch.rest(slot, DIRECTION.response);
  }

  /** The worker ends it. */
  close(connection: Connection, reason: CloseReason, abrupt: boolean): void {
    const { batch } = this.#deps;
    batch.makeRoom();
    if (abrupt) batch.reset(connection.slot);
    else batch.close(connection.slot);
    this.forget(connection, reason);
  }

  /** It is over for the plugin; the engine already knows. */
  forget(connection: Connection, reason: CloseReason): void {
    const { pooled } = connection;
    this.#drop(connection, reason);
    if (pooled === undefined) return;
    try {
      pooled.instance.close(connection.handle);
    } catch (error) {
      this.fault(pooled, error);
      return;
    }
    this.#deps.pool.left(pooled, this.nowMs);
  }

  #drop(connection: Connection, reason: CloseReason): void {
    this.#slots[connection.slot] = undefined;
    connection.pooled?.connections.delete(connection);
    this.#live--;
    if (connection.recording !== undefined) this.#deps.recorder.release(connection);
    if (connection.tap === undefined) this.#reportClosed(connection, reason);
    else this.taps.connectionOver(connection.tap, reason);
  }

  #reportClosed({ serial }: Connection, reason: CloseReason): void {
    const body: CloseBody = { reason };
    this.#deps.records.event(FRAME.close, serial, body);
  }

  /**
   * The instance is poisoned: it goes; its connections meet their failure policy, no others do.
   * @param culprit The connection whose bytes set it off; undefined: none did.
   */
  fault(pooled: PooledInstance, error: unknown, culprit?: Connection): void {
    if (pooled.role === "tap") {
      this.taps.fault(pooled, error);
      return;
    }
    const { pool, counters, batch } = this.#deps;
    const connections = [...pooled.connections];
    const closed = connections.filter(({ failure }) => failure === "closed").length;
    pool.discard(pooled, this.nowMs);
    pooled.connections.clear();
    pooled.tally.faults++;
    counters.faults++;
    const unseen = connections.length - closed;
    this.#reportFault(pooled.image, error, { closed, unseen, culprit });
    for (const run of new Set(connections.map(({ canary }) => canary))) {
      run?.faulted(messageOf(error));
    }
    for (const connection of connections) {
      if (connection.tap !== undefined) this.taps.end(connection.tap, "fault");
      if (connection.failure === "open") {
        this.goUnseen(connection);
        continue;
      }
      batch.makeRoom();
      batch.reset(connection.slot);
      this.#drop(connection, "fault");
    }
  }

  /** No instance of the version could be started, or it does not take a connection. */
  startFault(image: PluginImage, error: unknown): void {
    this.#deps.counters.faults++;
    this.#reportFault(image, error, { closed: 0, unseen: 0 });
  }

  #reportFault(
    image: PluginImage,
    error: unknown,
    {
      closed,
      unseen,
      culprit,
    }: { closed: number; unseen: number; culprit?: Connection | undefined },
  ): void {
    const { name, version } = image.manifest;
    const message =
      unseen === 0 ? messageOf(error) : `${messageOf(error)}; ${unseen} connections go on unseen`;
    const plugin = { name, version, digest: image.digest };
    const body: FaultBody = { plugin, message, connections: closed };
    // No connection has serial 0.
    this.#deps.records.event(FRAME.fault, culprit?.serial ?? 0, body);
    this.#deps.log("error", `Cannot go on with plugin ${name} ${version}: ${message}`, name);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
