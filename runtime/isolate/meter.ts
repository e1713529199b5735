/**
 * Rewrites a plugin's core module: every function metered (meter-function.ts), memory and tables
 * bounded, and the export section replaced by wrappers that set the budget of a call inside wasm,
 * so that a call costs no JS global write and no BigInt. The input must have passed
 * `WebAssembly.validate`: only then do appended globals and functions stay out of its reach.
 */
import { ByteWriter } from "./binary.ts";
import { RECURSIVE_STACK_BYTES_MAX, recursiveFunctions } from "./call-depth.ts";
import type { CoreModule, CoreType } from "./core-module.ts";
import { functionType, signature } from "./core-module.ts";
import { PluginImageError } from "./errors.ts";
import type { MeterIndices } from "./meter-function.ts";
import { emitTrap, METER_FLAG, meterFunction } from "./meter-function.ts";
import { OP } from "./opcodes.ts";
import type { FunctionScan } from "./scan-function.ts";
import { scanFunction } from "./scan-function.ts";

const I32 = 0x7f;
const I64 = 0x7e;
const F64 = 0x7c;

/**
 * Most fuel one call may be given, whatever the manifest says: about a quarter of a second, for as
 * long as which nobody else on the worker is served. Also keeps i32 arithmetic exact.
 */
export const FUEL_PER_CALL_MAX = 2 ** 28;
/**
 * Pages a memory may begin with. Nobody pays fuel for their first use, 30 us each: beyond this a
 * plugin grows its memory, and pays.
 */
export const INITIAL_PAGES_MAX = 64;
/**
 * Places of all functions together that the meter adds code to. A module of as many bytes as a
 * package may have could have twenty times that many, and take a gigabyte and ten seconds.
 */
const PLACES_MAX = 500_000;
/** Units of a host import beside what its arguments add. */
const IMPORT_COST = 32;
/** Units for each field of an emitted record, as a shift; counts above the mask are a fault. */
const EMIT_FIELD_SHIFT = 3;
const EMIT_COUNT_MASK = 0xffff;
/** Bytes a unit of `log` covers, as a shift: most of its lines are left out. */
const LOG_BYTES_SHIFT = 3;
/** Units of a byte of `match`, as a shift: the host looks at each. Beyond 64 KiB it is a fault. */
const MATCH_BYTE_SHIFT = 4;
const MATCH_BYTES_MASK = 0x1_ffff;

export interface MeterLimits {
  memoryPagesMax: number;
  fuelBase: number;
  fuelPerByte: number;
}

/** What the host calls, as core function indices of the module before rewriting. */
export interface MeterExports {
  realloc: number;
  onData: number;
  /** Exported as they are; `ownBudget` ones begin a call themselves. */
  plain: { name: string; index: number; ownBudget: boolean }[];
}

/** Names of the exports that only the rewriter makes; instance.ts calls them. */
export const METERED_EXPORT = {
  memory: "memory",
  /** (bytes): starts a call's budget. */
  begin: "begin",
  /** (length) -> pointer: begin, then room for `data`. */
  data: "data",
  /** (old, old size, alignment, size) -> pointer. */
  realloc: "realloc",
  /** (connection, direction, pointer, length, end, now high, now low) -> operations. */
  onData: "on-data",
  /** () -> f64: units since instantiation. */
  fuelUsed: "fuel-used",
  /** () -> METER_FLAG of the current or last call. */
  flag: "flag",
} as const;

interface AddedFunction {
  typeIndex: number;
  /** Writes the body with its length. */
  write: (section: ByteWriter) => void;
}

/** A body of `code` with `locals` (their declarations), sized and ended. */
function writeBody(section: ByteWriter, locals: number[], code: (out: ByteWriter) => void): void {
  section.sized((writer) => {
    writer.u8(...locals);
    code(writer);
    writer.u8(OP.end);
  });
}

class Rewriter {
  readonly #module: CoreModule;
  readonly #limits: MeterLimits;
  readonly #types: CoreType[];
  readonly #added: AddedFunction[] = [];
  readonly #exports: { name: string; kind: number; index: number }[] = [];
  readonly #importWrappers: number[] = [];
  readonly #fuel: number;
  readonly #budget: number;
  readonly #total: number;
  readonly #flag: number;
  readonly #stack: number;
  readonly #scans: readonly FunctionScan[];
  /** By defined function: the one its metered body moved to, because it is recursive. */
  readonly #moved = new Map<number, number>();

  constructor(module: CoreModule, limits: MeterLimits) {
    this.#module = module;
    this.#limits = limits;
    this.#types = [...module.types];
    this.#fuel = module.globalCount;
    this.#budget = this.#fuel + 1;
    this.#total = this.#fuel + 2;
    this.#flag = this.#fuel + 3;
    this.#stack = this.#fuel + 4;
    let places = 0;
    this.#scans = module.bodies.map((_, index) => {
      const scan = scanFunction(module, index);
      places += scan.events.length;
      if (places <= PLACES_MAX) return scan;
      const state = `more than ${PLACES_MAX} blocks and calls`;
      throw new PluginImageError("limit", "core module", state);
    });
  }

  run(exports: MeterExports): Uint8Array<ArrayBuffer> {
    this.#wrapImports();
    const begin = this.#addBegin();
    this.#wrapExports(exports, begin);
    this.#addReaders();
    this.#moveRecursive();
    const out = new ByteWriter(this.#module.bytes.length * 2);
    out.u8(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
    this.#writeDeclarations(out);
    this.#writeCode(out);
    return out.bytes().slice() as Uint8Array<ArrayBuffer>;
  }

  #typeIndex(params: number[], results: number[]): number {
    const wanted = signature({ params, results });
    const known = this.#types.findIndex((type) => signature(type) === wanted);
    if (known >= 0) return known;
    return this.#types.push({ params, results }) - 1;
  }

  #add(
    params: number[],
    results: number[],
    code: (out: ByteWriter) => void,
    locals: number[] = [0],
  ): number {
    const typeIndex = this.#typeIndex(params, results);
    return this.#append({ typeIndex, write: (section) => writeBody(section, locals, code) });
  }

  #append(added: AddedFunction): number {
    const { imports, functions } = this.#module;
    this.#added.push(added);
    return imports.length + functions.length + this.#added.length - 1;
  }

  #export(name: string, index: number): void {
    this.#exports.push({ name, kind: 0, index });
  }

  /** Charges for each import by what its last argument, a length or count, says. */
  #wrapImports(): void {
    for (const [index, { name }] of this.#module.imports.entries()) {
      const type = functionType(this.#module, index);
      if (type === undefined) continue;
      const wrapper = this.#add(type.params, type.results, (out) => {
        out.u8(OP.globalGet).u32(this.#fuel).u8(OP.i32Const).s32(IMPORT_COST).u8(OP.i32Sub);
        out.u8(OP.localGet).u32(type.params.length - 1);
        if (name === "emit") {
          out.u8(OP.i32Const).s32(EMIT_COUNT_MASK).u8(0x71);
          out.u8(OP.i32Const).s32(EMIT_FIELD_SHIFT).u8(0x74);
        } else if (name === "match") {
          out.u8(OP.i32Const).s32(MATCH_BYTES_MASK).u8(0x71);
          out.u8(OP.i32Const).s32(MATCH_BYTE_SHIFT).u8(0x74);
        } else {
          out.u8(OP.i32Const).s32(LOG_BYTES_SHIFT).u8(OP.i32ShrU);
        }
        out.u8(OP.i32Sub, OP.globalSet).u32(this.#fuel);
        this.#emitFuelCheck(out);
        type.params.forEach((_, param) => {
          out.u8(OP.localGet).u32(param);
        });
        out.u8(OP.call).u32(index);
      });
      this.#importWrappers.push(wrapper);
    }
  }

  #emitFuelCheck(out: ByteWriter): void {
    out.u8(OP.globalGet).u32(this.#fuel).u8(OP.i32Const, 0, OP.i32LtS, OP.if, 0x40);
    emitTrap(out, METER_FLAG.fuel, this.#flag);
    out.u8(OP.end);
  }

  /** begin(bytes): adds the last call to the total, sets budget and fuel, clears the flag. */
  #addBegin(): number {
    const { fuelBase, fuelPerByte } = this.#limits;
    const code = (out: ByteWriter): void => {
      this.#emitTotal(out);
      out.u8(OP.globalSet).u32(this.#total);
      out.u8(OP.localGet, 0, OP.i64ExtendI32U, OP.i64Const).s64(fuelPerByte).u8(OP.i64Mul);
      out.u8(OP.i64Const).s64(fuelBase).u8(OP.i64Add, OP.localTee, 1);
      out.u8(OP.i64Const).s64(FUEL_PER_CALL_MAX);
      out.u8(OP.localGet, 1, OP.i64Const).s64(FUEL_PER_CALL_MAX).u8(0x54, 0x1b);
      out.u8(OP.i32WrapI64, OP.localTee, 0, OP.globalSet).u32(this.#fuel);
      out.u8(OP.localGet, 0, OP.globalSet).u32(this.#budget);
      out.u8(OP.i32Const, 0, OP.globalSet).u32(this.#flag);
    };
    // One local: the budget as i64.
    const index = this.#add([I32], [], code, [1, 1, I64]);
    this.#export(METERED_EXPORT.begin, index);
    return index;
  }

  /** total + budget - fuel, as i64. */
  #emitTotal(out: ByteWriter): void {
    out.u8(OP.globalGet).u32(this.#total);
    out.u8(OP.globalGet).u32(this.#budget).u8(OP.i64ExtendI32S, OP.i64Add);
    out.u8(OP.globalGet).u32(this.#fuel).u8(OP.i64ExtendI32S, 0x7d);
  }

  #wrapExports(exports: MeterExports, begin: number): void {
    const { realloc, onData } = exports;
    const data = this.#add([I32], [I32], (out) => {
      out.u8(OP.localGet, 0, OP.call).u32(begin);
      out.u8(OP.i32Const, 0, OP.i32Const, 0, OP.i32Const, 1, OP.localGet, 0);
      out.u8(OP.call).u32(realloc);
    });
    this.#export(METERED_EXPORT.data, data);
    this.#export(METERED_EXPORT.realloc, realloc);
    const params = [I32, I32, I32, I32, I32, I32, I32];
    const adapter = this.#add(params, [I32], (out) => {
      for (let param = 0; param < 5; param += 1) out.u8(OP.localGet, param);
      out.u8(OP.localGet, 5, OP.i64ExtendI32U, OP.i64Const, 32, OP.i64Shl);
      out.u8(OP.localGet, 6, OP.i64ExtendI32U, OP.i64Or);
      out.u8(OP.call).u32(onData);
    });
    this.#export(METERED_EXPORT.onData, adapter);
    for (const { name, index, ownBudget } of exports.plain) {
      this.#export(name, ownBudget ? this.#withBudget(index, begin) : index);
    }
  }

  #withBudget(index: number, begin: number): number {
    const type = functionType(this.#module, index) ?? { params: [], results: [] };
    return this.#add(type.params, type.results, (out) => {
      out.u8(OP.i32Const, 0, OP.call).u32(begin);
      type.params.forEach((_, param) => {
        out.u8(OP.localGet).u32(param);
      });
      out.u8(OP.call).u32(index);
    });
  }

  #addReaders(): void {
    const used = this.#add([], [F64], (out) => {
      this.#emitTotal(out);
      out.u8(OP.f64ConvertI64U);
    });
    this.#export(METERED_EXPORT.fuelUsed, used);
    const flag = this.#add([], [I32], (out) => {
      out.u8(OP.globalGet).u32(this.#flag);
    });
    this.#export(METERED_EXPORT.flag, flag);
    this.#exports.push({ name: METERED_EXPORT.memory, kind: 2, index: 0 });
  }

  #indices(): MeterIndices {
    return {
      fuelGlobal: this.#fuel,
      flagGlobal: this.#flag,
      importCount: this.#module.imports.length,
      importWrapper: (index) => this.#importWrappers[index] ?? index,
    };
  }

  /** Moves the bodies of recursive functions, so that a guard can take their place. */
  #moveRecursive(): void {
    const module = this.#module;
    for (const index of recursiveFunctions(module, this.#scans)) {
      const scan = this.#scans[index];
      const typeIndex = module.functions[index];
      if (scan === undefined || typeIndex === undefined) continue;
      const write = (section: ByteWriter): void =>
        meterFunction(section, module.bytes, scan, this.#indices());
      this.#moved.set(index, this.#append({ typeIndex, write }));
    }
  }

  /** In place of a recursive function: takes its frame off the stack budget while it runs. */
  #writeDepthGuard(section: ByteWriter, index: number, moved: number): void {
    const type = functionType(this.#module, index + this.#module.imports.length);
    const params = type?.params ?? [];
    // The guard's own frame comes on top.
    const bytes = (this.#scans[index]?.frameBytes ?? 0) + 96 + 8 * params.length;
    writeBody(section, [0], (out) => {
      out.u8(OP.globalGet).u32(this.#stack).u8(OP.i32Const).s32(bytes).u8(OP.i32Sub);
      out.u8(OP.globalSet).u32(this.#stack);
      out.u8(OP.globalGet).u32(this.#stack).u8(OP.i32Const, 0, OP.i32LtS, OP.if, 0x40);
      emitTrap(out, METER_FLAG.stack, this.#flag);
      out.u8(OP.end);
      params.forEach((_, param) => {
        out.u8(OP.localGet).u32(param);
      });
      out.u8(OP.call).u32(moved);
      out.u8(OP.globalGet).u32(this.#stack).u8(OP.i32Const).s32(bytes).u8(OP.i32Add);
      out.u8(OP.globalSet).u32(this.#stack);
      // What the frames run on their way back adds up: without this it would go unchecked.
      this.#emitFuelCheck(out);
    });
  }

  #writeDeclarations(out: ByteWriter): void {
    const module = this.#module;
    out.section(1, (section) => {
      section.u32(this.#types.length);
      for (const { params, results } of this.#types) {
        section
          .u8(0x60)
          .u32(params.length)
          .u8(...params);
        section.u32(results.length).u8(...results);
      }
    });
    out.section(2, (section) => {
      section.u32(module.imports.length);
      for (const imported of module.imports) {
        section.name(imported.module).name(imported.name).u8(0).u32(imported.typeIndex);
      }
    });
    out.section(3, (section) => {
      section.u32(module.functions.length + this.#added.length);
      for (const type of module.functions) section.u32(type);
      for (const { typeIndex } of this.#added) section.u32(typeIndex);
    });
    out.section(4, (section) => {
      section.u32(module.tables.length);
      for (const { elementType, minimum, maximum } of module.tables) {
        section.u8(elementType, 1).u32(minimum).u32(maximum);
      }
    });
    this.#writeMemory(out);
    out.section(6, (section) => {
      section.u32(module.globalCount + 5);
      section.raw(module.bytes, module.globals.start, module.globals.end);
      // Fuel, budget, total, flag; then the stack left for recursion.
      for (const type of [I32, I32, I64, I32]) {
        section.u8(type, 1, type === I64 ? OP.i64Const : OP.i32Const, 0, OP.end);
      }
      section.u8(I32, 1, OP.i32Const).s32(RECURSIVE_STACK_BYTES_MAX).u8(OP.end);
    });
    out.section(7, (section) => {
      section.u32(this.#exports.length);
      for (const { name, kind, index } of this.#exports) section.name(name).u8(kind).u32(index);
    });
  }

  #writeMemory(out: ByteWriter): void {
    const { memory } = this.#module;
    if (memory === undefined) {
      throw new PluginImageError("world", "core module", "no memory");
    }
    const { memoryPagesMax } = this.#limits;
    if (memory.minimum > memoryPagesMax) {
      const state = `${memory.minimum} pages at the start, manifest allows ${memoryPagesMax}`;
      throw new PluginImageError("limit", "memory", state);
    }
    if (memory.minimum > INITIAL_PAGES_MAX) {
      const state = `${memory.minimum} pages at the start, limit ${INITIAL_PAGES_MAX}`;
      throw new PluginImageError("limit", "memory", state);
    }
    const maximum = Math.min(memory.maximum ?? memoryPagesMax, memoryPagesMax);
    out.section(5, (section) => {
      section.u8(1, 1).u32(memory.minimum).u32(maximum);
    });
  }

  #writeCode(out: ByteWriter): void {
    const module = this.#module;
    const copy = (id: number): void => {
      const range = module.copied.get(id);
      if (range) out.section(id, (section) => section.raw(module.bytes, range.start, range.end));
    };
    copy(9);
    copy(12);
    out.section(10, (section) => {
      section.u32(module.bodies.length + this.#added.length);
      for (const [index, scan] of this.#scans.entries()) {
        const moved = this.#moved.get(index);
        if (moved === undefined) meterFunction(section, module.bytes, scan, this.#indices());
        else this.#writeDepthGuard(section, index, moved);
      }
      for (const { write } of this.#added) write(section);
    });
    copy(11);
    if (module.names) {
      const { start, end } = module.names;
      out.section(0, (section) => section.raw(module.bytes, start, end));
    }
  }
}

/** The metered module's bytes. Throws PluginImageError. */
export function meterModule(
  module: CoreModule,
  limits: MeterLimits,
  exports: MeterExports,
): Uint8Array<ArrayBuffer> {
  const reserved = module.referencedFunctions.find((index) => index < module.imports.length);
  if (reserved !== undefined) {
    const imported = module.imports[reserved];
    const where = `reference to import ${imported?.module} ${imported?.name}`;
    throw new PluginImageError("unsupported", where, "an import may only be called directly");
  }
  return new Rewriter(module, limits).run(exports);
}
