/**
 * An instance whose every call is metered: fuel against the budget that the manifest gives the
 * call. Otherwise exactly the instance it stands for.
 */
import type { Manifest } from "../../contract/manifest.ts";
import type {
  InstanceFacts,
  InstanceStage,
  Operations,
  PluginInstance,
  PluginRule,
} from "../../isolate/types.ts";

/** What the calls of all instances of a check came to. */
export interface Meter {
  calls: number;
  bytes: number;
  fuel: number;
  /** The largest share of its budget that a call has used, 0..1. */
  budgetShareMax: number;
  /** Bytes of linear memory at most. */
  memoryBytesMax: number;
}

export function newMeter(): Meter {
  return { calls: 0, bytes: 0, fuel: 0, budgetShareMax: 0, memoryBytesMax: 0 };
}

export class MeteredInstance implements PluginInstance {
  readonly #inner: PluginInstance;
  readonly #limits: Manifest["limits"];
  readonly #meter: Meter;

  constructor(inner: PluginInstance, limits: Manifest["limits"], meter: Meter) {
    this.#inner = inner;
    this.#limits = limits;
    this.#meter = meter;
  }

  get operations(): Operations {
    return this.#inner.operations;
  }

  get fuelUsed(): number {
    return this.#inner.fuelUsed;
  }

  get memoryBytes(): number {
    return this.#inner.memoryBytes;
  }

  compile(rules: readonly PluginRule[]): Uint8Array {
    return this.#inner.compile(rules);
  }

  load(compiled: Uint8Array): number {
    return this.#inner.load(compiled);
  }

  unload(ruleSet: number): void {
    this.#inner.unload(ruleSet);
  }

  open(facts: InstanceFacts): number {
    return this.#inner.open(facts);
  }

  setStages(connection: number, stages: readonly InstanceStage[]): void {
    this.#inner.setStages(connection, stages);
  }

  onData(
    connection: number,
    direction: number,
    data: Uint8Array,
    offset: number,
    length: number,
    end: number,
    nowHigh: number,
    nowLow: number,
  ): void {
    const before = this.#inner.fuelUsed;
    try {
      this.#inner.onData(connection, direction, data, offset, length, end, nowHigh, nowLow);
    } finally {
      this.#note(length, this.#inner.fuelUsed - before);
    }
  }

  close(connection: number): void {
    this.#inner.close(connection);
  }

  #note(bytes: number, fuel: number): void {
    const meter = this.#meter;
    const budget = this.#limits.fuelBase + this.#limits.fuelPerByte * bytes;
    meter.calls++;
    meter.bytes += bytes;
    meter.fuel += fuel;
    meter.budgetShareMax = Math.max(meter.budgetShareMax, fuel / budget);
    meter.memoryBytesMax = Math.max(meter.memoryBytesMax, this.#inner.memoryBytes);
  }
}
