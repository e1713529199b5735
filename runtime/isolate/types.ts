/**
 * The seam between the worker (which owns sockets) and a plugin instance (a sandbox). Everything
 * here is synchronous and allocation-free on the `onData` path.
 */
import type { Manifest } from "../contract/manifest.ts";

/**
 * A component made ready to run: core module extracted, metered, memory bounded. Plain data plus a
 * `WebAssembly.Module`, so it can be posted to a worker thread of Node or Deno.
 */
export interface PluginImage {
  digest: string;
  manifest: Manifest;
  module: WebAssembly.Module;
  /** Core export names behind the contract's functions, found through the component's lifts. */
  exports: Record<string, string>;
}

export const OPERATION = { more: 0, pass: 1, drop: 2, passRest: 3, inject: 4, close: 5 } as const;
export const DIRECTION = { request: 0, response: 1 } as const;
export const END = { open: 0, closed: 1, failed: 2 } as const;
export const CLOSE_REASON = { finished: 0, denied: 1, malformed: 2 } as const;
export const OPERATIONS_MAX = 64;

/** A decoded record during `HostImports.emit`; reused, valid only within that call. */
export interface RecordView {
  connection: number;
  kind: number;
  verdict: number;
  stage: number;
  exchange: number;
  fieldCount: number;
  /** Guest memory that `start` indexes. */
  memory: Uint8Array;
  /** Per field: key; 0 text or 1 number; text range in `memory`; number. */
  readonly key: Uint16Array;
  readonly isNumber: Uint8Array;
  readonly start: Uint32Array;
  readonly length: Uint32Array;
  readonly number: Float64Array;
}

export interface HostImports {
  emit(record: RecordView): void;
  log(level: number, message: string): void;
  match(handle: number, bytes: Uint8Array): boolean;
}

export interface InstanceFacts {
  sourceIdentity: number;
  destinationIdentity: number;
  /** 16 bytes each. */
  sourceAddress: Uint8Array;
  destinationAddress: Uint8Array;
  sourcePort: number;
  destinationPort: number;
  stages: readonly InstanceStage[];
}

export interface InstanceStage {
  /** 0 egress, 1 ingress. */
  point: number;
  /** Handle from `load`. */
  ruleSet: number;
}

/** The operations of the last `onData`; entries 0..count-1 are valid until the next call. */
export interface Operations {
  count: number;
  readonly kind: Uint8Array;
  /** Of more, pass, drop: bytes. Of close: the reason. */
  readonly n: Float64Array;
  /** Of inject. */
  readonly direction: Uint8Array;
  readonly start: Uint32Array;
  readonly length: Uint32Array;
  /** Guest memory that `start` indexes. */
  memory: Uint8Array;
}

/**
 * A trap, exhausted fuel, memory beyond its limit, or a result outside the contract. The instance
 * is poisoned: every later call throws it again; discard the instance and close its connections.
 */
export type FaultKind = "trap" | "fuel" | "memory" | "stack" | "contract";

export interface PluginInstance {
  readonly operations: Operations;
  /** Fuel used since the instance was made. */
  readonly fuelUsed: number;
  /** Bytes of linear memory. */
  readonly memoryBytes: number;
  compile(rules: readonly PluginRule[]): Uint8Array; // throws PluginRuleError
  load(compiled: Uint8Array): number;
  unload(ruleSet: number): void;
  open(facts: InstanceFacts): number;
  setStages(connection: number, stages: readonly InstanceStage[]): void;
  /** Fills `operations`. `nowNs` is split because a BigInt per call would be allocated. */
  onData(
    connection: number,
    direction: number,
    data: Uint8Array,
    offset: number,
    length: number,
    end: number,
    nowHigh: number,
    nowLow: number,
  ): void;
  close(connection: number): void;
}

export type PluginRule = readonly {
  key: string;
  value: string;
  pattern:
    | { kind: "literal" }
    | { kind: "automaton"; table: Uint8Array }
    | { kind: "handle"; handle: number };
}[];
