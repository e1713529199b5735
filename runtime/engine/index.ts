/**
 * Loads the native engine and gives it types. The only file that knows the addon's path; the same
 * code runs in Node and in Deno, in the main thread and in workers.
 */
import { createRequire } from "node:module";
import { join } from "node:path";

/** Memory shared between the worker loop and the engine. Sizes are the caller's choice. */
export interface EngineMemory {
  /** Bytes read in this turn; at least WINDOW_BYTES_MAX. */
  arena: Uint8Array;
  /** EVENT_HEADER words, then quadruples. */
  events: Int32Array;
  operations: Int32Array;
  /** Bytes that INJECT operations name. */
  inject: Uint8Array;
  /** Record frames for writeRecords(). */
  records: Uint8Array;
}

export interface EngineOptions extends EngineMemory {
  connectionsMax: number;
  /** Descriptor of the pinned map `handoff`; -1 without a datapath. */
  handoffMap: number;
}

/** One thread's sockets. Every method throws an Error with `code` when a system call fails. */
export interface Engine {
  /** Waits at most `timeoutMs`; returns the number of events now in `events`. */
  poll(timeoutMs: number): number;
  /** Carries out `count` operations; `last` ends the windows of the turn. */
  flush(count: number, last: boolean): void;
  /** False: no agent reads, or too slowly, and the frames are lost. */
  writeRecords(length: number): boolean;
  /** Returns the listener's descriptor, for the datapath's socket map. */
  listenTransparent(ipv6: boolean): number;
  /** `facts`: the eight words from `sourceIdentity` on. Returns the port bound. */
  listenStatic(
    host: string,
    port: number,
    upstreamHost: string,
    upstreamPort: number,
    facts: Uint32Array,
  ): number;
  listenRecords(path: string): void;
  stopListening(): void;
  /** Descriptor for `wake()`. */
  wakeFd(): number;
  /** Counters in the order of COUNTERS, then live connections, then buffered bytes. */
  status(into: Float64Array): void;
  close(): void;
}

export interface EngineAddon {
  Engine: new (options: EngineOptions) => Engine;
  /** Descriptor of a pinned map, by its path or by its kernel id. */
  openMap(pathOrId: string | number): number;
  /** False: no such key. */
  lookup(map: number, key: Uint8Array, value: Uint8Array): boolean;
  update(map: number, key: Uint8Array, value: Uint8Array): void;
  /** Bytes of one value of a map. */
  valueBytes(map: number): number;
  closeFd(fd: number): void;
  /** Makes the worker with this wake-up descriptor return from poll(); from any thread. */
  wake(wakeFd: number): void;
  /** Raises the limit of open files as far as allowed; returns it. */
  raiseFileLimit(): number;
  /** Gives up every capability but these, in this thread and those it starts from now on. */
  keepCapabilities(capabilities: Uint8Array): void;
  readonly layout: Readonly<Record<string, number>>;
}

export const ENGINE_PATH = join(import.meta.dirname, "..", "..", ".build", "native", "engine.node");

/** Throws when the addon was not built (`make native`) or not for this machine. */
export function loadEngine(path: string = ENGINE_PATH): EngineAddon {
  return createRequire(import.meta.url)(path) as EngineAddon;
}
