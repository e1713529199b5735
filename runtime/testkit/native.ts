/**
 * Runs a plugin's source as JavaScript behind the interface of its component: lowers parameters
 * into the emulated memory and lifts results from it, by the same layouts, so that a test can run
 * against either and a mistake in a layout shows in both. Not metered: `fuelUsed` is 0.
 */
import { PluginLoadError, PluginRuleError } from "../isolate/errors.ts";
import type {
  HostImports,
  InstanceFacts,
  InstanceStage,
  Operations,
  PluginInstance,
  PluginRule,
  RecordView,
} from "../isolate/types.ts";
import { OPERATION, OPERATIONS_MAX } from "../isolate/types.ts";
import { Guest } from "../sdk/guest.ts";
import { Host } from "../sdk/host.ts";
import { Memory } from "../sdk/memory.ts";
import type { Plugin } from "../sdk/plugin.ts";

const FIELDS_MAX = 256;
const OPERATION_BYTES = 24;
const FIELD_BYTES = 24;
const RULE_FIELD_BYTES = 28;

/** What every plugin's `plugin.ts` exports. */
export type CreatePlugin = (memory: Memory, host: Host) => Plugin;

/**
 * A plugin instance in this process, without a sandbox: for tests, and inside one where an
 * interpreter runs it. `recordsFull`: records after which a call is full.
 */
export function instantiateNative(
  createPlugin: CreatePlugin,
  imports: HostImports,
  recordsFull?: number,
): PluginInstance {
  return new NativeInstance(createPlugin, imports, recordsFull);
}

class NativeInstance implements PluginInstance {
  readonly operations: Operations = {
    count: 0,
    kind: new Uint8Array(OPERATIONS_MAX),
    n: new Float64Array(OPERATIONS_MAX),
    direction: new Uint8Array(OPERATIONS_MAX),
    start: new Uint32Array(OPERATIONS_MAX),
    length: new Uint32Array(OPERATIONS_MAX),
    memory: new Uint8Array(),
  };
  readonly fuelUsed = 0;
  readonly #memory = new Memory();
  readonly #guest: Guest;
  readonly #record: RecordView = {
    connection: 0,
    kind: 0,
    verdict: 0,
    stage: 0,
    exchange: 0,
    fieldCount: 0,
    memory: new Uint8Array(),
    key: new Uint16Array(FIELDS_MAX),
    isNumber: new Uint8Array(FIELDS_MAX),
    start: new Uint32Array(FIELDS_MAX),
    length: new Uint32Array(FIELDS_MAX),
    number: new Float64Array(FIELDS_MAX),
  };
  #data = 0;

  constructor(createPlugin: CreatePlugin, imports: HostImports, recordsFull?: number) {
    const memory = this.#memory;
    const host = new Host({
      emit: (connection, kind, verdict, stage, exchange, fields, count) => {
        Object.assign(this.#record, { connection, kind, verdict, stage, exchange });
        this.#liftFields(fields, count);
        imports.emit(this.#record);
      },
      log: (level, message, length) => imports.log(level, memory.text(message, length)),
      match: (handle, bytes, length) =>
        imports.match(handle >>> 0, memory.bytes.subarray(bytes, bytes + length)),
    });
    this.#guest = new Guest(memory, host, createPlugin(memory, host), recordsFull);
  }

  get memoryBytes(): number {
    return this.#memory.bytes.length;
  }

  compile(rules: readonly PluginRule[]): Uint8Array {
    const memory = this.#memory;
    const list = this.#take(rules.length * 8, 4);
    rules.forEach((rule, index) => {
      const fields = this.#take(rule.length * RULE_FIELD_BYTES, 4);
      memory.setI32(list + index * 8, fields);
      memory.setI32(list + index * 8 + 4, rule.length);
      rule.forEach((field, at) => {
        this.#lowerField(fields + at * RULE_FIELD_BYTES, field);
      });
    });
    const result = this.#guest.compile(list, rules.length);
    if (memory.u8(result) === 1) {
      const key = this.#liftText(result + 8);
      throw new PluginRuleError(memory.i32(result + 4), key, this.#liftText(result + 16));
    }
    const at = memory.i32(result + 4);
    return memory.bytes.slice(at, at + memory.i32(result + 8));
  }

  load(compiled: Uint8Array): number {
    const at = this.#lower(compiled);
    const result = this.#guest.load(at, compiled.length);
    if (this.#memory.u8(result) === 1) throw new PluginLoadError(this.#liftText(result + 4));
    return this.#memory.i32(result + 4);
  }

  unload(ruleSet: number): void {
    this.#guest.unload(ruleSet);
  }

  open(facts: InstanceFacts): number {
    const source = this.#lower(facts.sourceAddress);
    const destination = this.#lower(facts.destinationAddress);
    return this.#guest.open(
      facts.sourceIdentity,
      facts.destinationIdentity,
      source,
      facts.sourceAddress.length,
      destination,
      facts.destinationAddress.length,
      facts.sourcePort,
      facts.destinationPort,
      this.#lowerStages(facts.stages),
      facts.stages.length,
    );
  }

  setStages(connection: number, stages: readonly InstanceStage[]): void {
    this.#guest.setStages(connection, this.#lowerStages(stages), stages.length);
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
    this.#data = this.#take(length, 1);
    this.#memory.bytes.set(data.subarray(offset, offset + length), this.#data);
    const now = nowHigh * 2 ** 32 + nowLow;
    const list = this.#guest.onData(connection, direction, this.#data, length, end, now);
    this.#liftOperations(list);
  }

  close(connection: number): void {
    this.#guest.close(connection);
  }

  #take(length: number, align: number): number {
    return this.#guest.reallocate(0, 0, align, length);
  }

  #lower(bytes: Uint8Array): number {
    const at = this.#take(bytes.length, 1);
    this.#memory.bytes.set(bytes, at);
    return at;
  }

  #lowerField(at: number, field: PluginRule[number]): void {
    const memory = this.#memory;
    const key = new TextEncoder().encode(field.key);
    const value = new TextEncoder().encode(field.value);
    memory.setI32(at, this.#lower(key));
    memory.setI32(at + 4, key.length);
    memory.setI32(at + 8, this.#lower(value));
    memory.setI32(at + 12, value.length);
    const { pattern } = field;
    memory.setU8(at + 16, pattern.kind === "literal" ? 0 : pattern.kind === "automaton" ? 1 : 2);
    if (pattern.kind === "automaton") {
      memory.setI32(at + 20, this.#lower(pattern.table));
      memory.setI32(at + 24, pattern.table.length);
    } else if (pattern.kind === "handle") {
      memory.setI32(at + 20, pattern.handle);
    }
  }

  #lowerStages(stages: readonly InstanceStage[]): number {
    const at = this.#take(stages.length * 8, 4);
    stages.forEach((stage, index) => {
      this.#memory.setU8(at + index * 8, stage.point);
      this.#memory.setI32(at + index * 8 + 4, stage.ruleSet);
    });
    return at;
  }

  #liftText(at: number): string {
    return this.#memory.text(this.#memory.i32(at), this.#memory.i32(at + 4));
  }

  #liftFields(fields: number, count: number): void {
    const memory = this.#memory;
    const record = this.#record;
    record.memory = memory.bytes;
    record.fieldCount = count;
    for (let index = 0; index < count; index++) {
      const at = fields + index * FIELD_BYTES;
      const kind = memory.u8(at + 8);
      record.key[index] = memory.u16(at);
      record.isNumber[index] = kind === 1 ? 1 : 0;
      record.number[index] = kind === 1 ? this.#u64(at + 16) : 0;
      record.start[index] = memory.i32(at + 16) + (kind === 0 ? this.#data : 0);
      record.length[index] = kind === 1 ? 0 : memory.i32(at + 20);
    }
  }

  #liftOperations(list: number): void {
    const memory = this.#memory;
    const operations = this.operations;
    operations.memory = memory.bytes;
    operations.count = memory.i32(list + 4);
    for (let index = 0; index < operations.count; index++) {
      const at = memory.i32(list) + index * OPERATION_BYTES;
      const kind = memory.u8(at);
      operations.kind[index] = kind;
      if (kind <= OPERATION.drop) operations.n[index] = this.#u64(at + 8);
      else if (kind === OPERATION.close) operations.n[index] = memory.u8(at + 8);
      operations.direction[index] = memory.u8(at + 8);
      operations.start[index] = memory.i32(at + 12);
      operations.length[index] = memory.i32(at + 16);
    }
  }

  #u64(at: number): number {
    return (this.#memory.i32(at) >>> 0) + (this.#memory.i32(at + 4) >>> 0) * 2 ** 32;
  }
}
