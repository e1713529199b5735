/**
 * A running plugin: one metered module, its memory, and the calls of world l7-plugin. Owns the
 * order of a call (budget, lower, run, lift, post-return), what the guest may do while it runs, and
 * the verdict on everything that goes wrong; after a fault it only repeats the fault.
 */
import { PluginFault, PluginLoadError, PluginRuleError } from "./errors.ts";
import { contractFault, GuestMemory } from "./guest-memory.ts";
import { postReturnName } from "./image.ts";
import type { DataRange } from "./lift.ts";
import {
  createOperations,
  createRecordView,
  keepInjections,
  liftFields,
  liftOperations,
} from "./lift.ts";
import { decodeText, Lowerer, liftBytes, liftString } from "./lower.ts";
import { METERED_EXPORT } from "./meter-wrappers.ts";
import type {
  FaultKind,
  HostImports,
  InstanceFacts,
  InstanceStage,
  Operations,
  PluginImage,
  PluginInstance,
  PluginRule,
  RecordView,
} from "./types.ts";
import { HOST_INTERFACE } from "./world.ts";

/** Records of one `onData`. */
export const EMITS_PER_CALL_MAX = 64;
/** Log lines of one call; more are left out. */
export const LOGS_PER_CALL_MAX = 64;
/** Bytes of a log line; longer ones are cut. */
export const LOG_BYTES_MAX = 1_024;
/** Bytes `compile` may return. */
export const COMPILED_BYTES_MAX = 4_194_304;
/**
 * A byte of rules is looked at more often than one of traffic: as many bytes' fuel is given for it.
 * `compile` compares rules with each other, and no connection waits for it.
 */
const COMPILE_BYTE_WEIGHT = 64;
const LOAD_BYTE_WEIGHT = 16;
/** Bytes one `match` may look at. */
export const MATCH_BYTES_MAX = 65_536;

/** By METER_FLAG. */
const FLAG_KINDS: readonly FaultKind[] = ["trap", "fuel", "memory", "stack"];
const FAULT_STATES: Partial<Record<FaultKind, string>> = {
  fuel: "budget of the call used up",
  memory: "trapped after memory could not grow",
  stack: "recursion too deep",
};

type CoreFunction = (...args: number[]) => number;

/** The metered module's exports, by METERED_EXPORT and the names of the contract. */
interface CoreExports {
  begin(bytes: number): void;
  data(length: number): number;
  onData(
    connection: number,
    direction: number,
    pointer: number,
    length: number,
    end: number,
    nowHigh: number,
    nowLow: number,
  ): number;
  onDataPost: ((result: number) => void) | undefined;
  close(connection: number): void;
  unload(ruleSet: number): void;
  open: CoreFunction;
  setStages: CoreFunction;
  compile: CoreFunction;
  compilePost: CoreFunction | undefined;
  load: CoreFunction;
  loadPost: CoreFunction | undefined;
  fuelUsed(): number;
  flag(): number;
}

function coreExports(image: PluginImage, exports: WebAssembly.Exports): CoreExports {
  const optional = (name: string): CoreFunction | undefined => {
    const found = exports[image.exports[name] ?? name];
    return typeof found === "function" ? (found as CoreFunction) : undefined;
  };
  const required = (name: string): CoreFunction => {
    const found = optional(name);
    if (found === undefined) throw contractFault(`the image has no ${name}`);
    return found;
  };
  return {
    begin: required(METERED_EXPORT.begin),
    data: required(METERED_EXPORT.data),
    onData: required(METERED_EXPORT.onData),
    onDataPost: optional(postReturnName("on-data")),
    close: required("close"),
    unload: required("unload"),
    open: required("open"),
    setStages: required("set-stages"),
    compile: required("compile"),
    compilePost: optional(postReturnName("compile")),
    load: required("load"),
    loadPost: optional(postReturnName("load")),
    fuelUsed: required(METERED_EXPORT.fuelUsed),
    flag: required(METERED_EXPORT.flag),
  };
}

class Instance implements PluginInstance {
  readonly operations: Operations;
  readonly #host: HostImports;
  readonly #core: CoreExports;
  readonly #memory: GuestMemory;
  readonly #lowerer: Lowerer;
  readonly #record: RecordView;
  readonly #data: DataRange = { pointer: 0, length: 0 };
  /** Injections of the last call of a plugin that has a post-return. */
  #injected: Uint8Array = new Uint8Array();
  /** Fields the manifest names, by record kind. */
  readonly #keyCounts: readonly [number, number];
  /** Connection of the `onData` that runs; -1 outside. */
  #emitter = -1;
  #emits = 0;
  #logs = 0;
  /** Memory is readable by imports: false while the module is being instantiated. */
  #running = false;
  #fault: unknown;

  constructor(image: PluginImage, host: HostImports) {
    this.#host = host;
    const { request, response } = image.manifest.records;
    this.#keyCounts = [request.fields.length, response.fields.length];
    const imports = {
      [HOST_INTERFACE]: {
        emit: (
          connection: number,
          kind: number,
          verdict: number,
          stage: number,
          exchange: number,
          list: number,
          count: number,
        ) => this.#emit(connection, kind, verdict, stage, exchange, list, count),
        log: (level: number, pointer: number, length: number) => this.#log(level, pointer, length),
        match: (handle: number, pointer: number, length: number) =>
          this.#match(handle, pointer, length),
      },
    };
    const { exports } = new WebAssembly.Instance(image.module, imports);
    const memory = exports[METERED_EXPORT.memory];
    if (!(memory instanceof WebAssembly.Memory)) throw contractFault("the image has no memory");
    this.#core = coreExports(image, exports);
    this.#memory = new GuestMemory(memory);
    const realloc = exports[METERED_EXPORT.realloc] as CoreFunction;
    this.#lowerer = new Lowerer(this.#memory, realloc);
    this.operations = createOperations(this.#memory);
    this.#record = createRecordView(this.#memory);
  }

  get fuelUsed(): number {
    return this.#core.fuelUsed();
  }

  get memoryBytes(): number {
    this.#memory.refresh();
    return this.#memory.bytes.length;
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
    this.#enter();
    const memory = this.#memory;
    const range = this.#data;
    try {
      const pointer = this.#core.data(length) >>> 0;
      memory.refresh();
      memory.check(pointer, length, 1, 1);
      memory.write(pointer, data, offset, length);
      range.pointer = pointer;
      range.length = length;
      this.#emitter = connection >>> 0;
      this.#emits = 0;
      const core = this.#core;
      const result =
        core.onData(connection, direction, pointer, length, end, nowHigh, nowLow) >>> 0;
      this.#emitter = -1;
      memory.refresh();
      liftOperations(memory, result, this.operations);
      if (core.onDataPost !== undefined) {
        this.#injected = keepInjections(this.operations, this.#injected);
        core.onDataPost(result);
        if (memory.refresh() && this.operations.memory !== this.#injected) {
          this.operations.memory = memory.bytes;
        }
      }
      this.#running = false;
    } catch (error) {
      throw this.#poison(error);
    }
  }

  compile(rules: readonly PluginRule[]): Uint8Array {
    return this.#control<Uint8Array>(rulesBytes(rules) * COMPILE_BYTE_WEIGHT, () => {
      const list = this.#lowerer.rules(rules);
      const result = this.#core.compile(list, rules.length) >>> 0;
      this.#memory.refresh();
      this.#memory.check(result, 1, 24, 4);
      const failed = this.#discriminant(result);
      const outcome = failed
        ? new PluginRuleError(
            this.#memory.u32(result + 4),
            liftString(this.#memory, result + 8),
            liftString(this.#memory, result + 16),
          )
        : liftBytes(this.#memory, result + 4, COMPILED_BYTES_MAX);
      this.#core.compilePost?.(result);
      return outcome;
    });
  }

  load(compiled: Uint8Array): number {
    return this.#control<number>(compiled.length * LOAD_BYTE_WEIGHT, () => {
      const list = this.#lowerer.bytes(compiled);
      const result = this.#core.load(list, compiled.length) >>> 0;
      this.#memory.refresh();
      this.#memory.check(result, 1, 12, 4);
      const failed = this.#discriminant(result);
      const outcome = failed
        ? new PluginLoadError(liftString(this.#memory, result + 4))
        : this.#memory.u32(result + 4);
      this.#core.loadPost?.(result);
      return outcome;
    });
  }

  unload(ruleSet: number): void {
    this.#control(0, () => this.#core.unload(ruleSet));
  }

  open(facts: InstanceFacts): number {
    return this.#control(0, () => {
      const source = this.#lowerer.bytes(facts.sourceAddress);
      const destination = this.#lowerer.bytes(facts.destinationAddress);
      const stages = this.#lowerer.stages(facts.stages);
      const handle = this.#core.open(
        facts.sourceIdentity,
        facts.destinationIdentity,
        source,
        facts.sourceAddress.length,
        destination,
        facts.destinationAddress.length,
        facts.sourcePort,
        facts.destinationPort,
        stages,
        facts.stages.length,
      );
      return handle >>> 0;
    });
  }

  setStages(connection: number, stages: readonly InstanceStage[]): void {
    this.#control(0, () => {
      const list = this.#lowerer.stages(stages);
      this.#core.setStages(connection, list, stages.length);
    });
  }

  close(connection: number): void {
    this.#control(0, () => this.#core.close(connection));
  }

  /** Runs a control call under the budget for `bytes` given; an Error it returns is thrown. */
  #control<T>(bytes: number, run: () => T | PluginRuleError | PluginLoadError): T {
    this.#enter();
    let outcome: T | PluginRuleError | PluginLoadError;
    try {
      this.#core.begin(Math.min(bytes, 0x7fff_ffff));
      outcome = run();
      this.#memory.refresh();
    } catch (error) {
      throw this.#poison(error);
    }
    this.#running = false;
    if (outcome instanceof PluginRuleError || outcome instanceof PluginLoadError) throw outcome;
    return outcome;
  }

  #enter(): void {
    if (this.#fault !== undefined) throw this.#fault;
    if (this.#running) throw new Error("Cannot call plugin: it is running");
    this.#running = true;
    this.#logs = 0;
  }

  #discriminant(pointer: number): boolean {
    const tag = this.#memory.u8(pointer);
    if (tag > 1) throw contractFault(`result discriminant ${tag}`);
    return tag === 1;
  }

  /** Remembers `error`, classified, as what every later call throws. */
  #poison(error: unknown): unknown {
    this.#emitter = -1;
    this.#running = false;
    this.operations.count = 0;
    this.#fault = this.#classify(error);
    return this.#fault;
  }

  #classify(error: unknown): unknown {
    if (error instanceof PluginFault) return error;
    let kind: FaultKind;
    if (error instanceof WebAssembly.RuntimeError) {
      kind = FLAG_KINDS[this.#core.flag()] ?? "trap";
    } else if (error instanceof RangeError) {
      kind = "stack";
    } else {
      return error;
    }
    const state = FAULT_STATES[kind] ?? error.message;
    return new PluginFault(kind, state, { cause: error });
  }

  #emit(
    connection: number,
    kind: number,
    verdict: number,
    stage: number,
    exchange: number,
    list: number,
    count: number,
  ): void {
    if (this.#emitter < 0) throw contractFault("emit outside on-data");
    if (connection >>> 0 !== this.#emitter) throw contractFault("emit for another connection");
    this.#emits += 1;
    if (this.#emits > EMITS_PER_CALL_MAX) {
      throw contractFault(`more than ${EMITS_PER_CALL_MAX} records in one call`);
    }
    if (kind >>> 0 > 1) throw contractFault(`record kind ${kind >>> 0}`);
    if (verdict >>> 0 > 2) throw contractFault(`record verdict ${verdict >>> 0}`);
    const record = this.#record;
    record.connection = connection >>> 0;
    record.kind = kind;
    record.verdict = verdict;
    record.stage = stage & 0xff;
    record.exchange = exchange >>> 0;
    const keyCount = kind === 0 ? this.#keyCounts[0] : this.#keyCounts[1];
    const memory = this.#memory;
    memory.refresh();
    liftFields(memory, list >>> 0, count >>> 0, keyCount, this.#data, record);
    this.#host.emit(record);
  }

  #log(level: number, pointer: number, length: number): void {
    if (level >>> 0 > 3) throw contractFault(`log level ${level >>> 0}`);
    this.#memory.refresh();
    this.#memory.check(pointer >>> 0, length >>> 0, 1, 1);
    this.#logs += 1;
    if (this.#logs > LOGS_PER_CALL_MAX) return;
    const cut = Math.min(length >>> 0, LOG_BYTES_MAX);
    this.#host.log(level, decodeText(this.#memory, pointer >>> 0, cut));
  }

  #match(handle: number, pointer: number, length: number): number {
    const start = pointer >>> 0;
    const count = length >>> 0;
    this.#memory.refresh();
    this.#memory.check(start, count, 1, 1);
    if (count > MATCH_BYTES_MAX) throw contractFault(`match of ${count} bytes`);
    const bytes = this.#memory.bytes.subarray(start, start + count);
    return this.#host.match(handle >>> 0, bytes) ? 1 : 0;
  }
}

/** What `compile` is budgeted for: every byte the rules carry. */
function rulesBytes(rules: readonly PluginRule[]): number {
  let bytes = 0;
  for (const rule of rules) {
    for (const { key, value, pattern } of rule) {
      bytes += key.length + value.length + 1;
      if (pattern.kind === "automaton") bytes += pattern.table.length;
    }
  }
  return bytes;
}

/** Starts an instance; 0.1 ms. `host` is called synchronously, within the instance's own calls. */
export function instantiate(image: PluginImage, host: HostImports): PluginInstance {
  return new Instance(image, host);
}
