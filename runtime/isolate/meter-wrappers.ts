/**
 * The functions that metering adds to a module: what the host calls, with the budget of a call set
 * inside wasm, so that a call costs no JS global write and no BigInt; what stands before each
 * import and charges for it; guards of recursive functions; and one that has every function
 * compiled.
 */
import type { ByteWriter } from "./binary.ts";
import { RECURSIVE_STACK_BYTES_MAX } from "./call-depth.ts";
import type { CoreModule, CoreType } from "./core-module.ts";
import { functionType, signature } from "./core-module.ts";
import {
  EMIT_COUNT_MASK,
  EMIT_FIELD_SHIFT,
  IMPORT_COST,
  LOG_BYTES_SHIFT,
  MATCH_BYTE_SHIFT,
  MATCH_BYTES_MASK,
} from "./cost.ts";
import { PluginImageError } from "./errors.ts";
import { emitTrap, METER_FLAG } from "./meter-function.ts";
import { OP } from "./opcodes.ts";

const I32 = 0x7f;
const I64 = 0x7e;
const F32 = 0x7d;
const F64 = 0x7c;

/**
 * Most fuel one call may be given, whatever the manifest says: about a quarter of a second, for as
 * long as which nobody else on the worker is served. Also keeps i32 arithmetic exact.
 */
export const FUEL_PER_CALL_MAX = 2 ** 28;
/** Parameters of all functions together: each is written once more (addTouch). */
const PARAMETERS_MAX = 100_000;
/** Functions that one added function touches. */
const TOUCHED_MAX = 128;

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
  /** (n) -> whether there are fewer: calls function n without fuel, which has it compiled. */
  touch: "touch",
} as const;

interface AddedFunction {
  typeIndex: number;
  /** Writes the body with its length. */
  write: (section: ByteWriter) => void;
}

/** Global indices of what metering keeps. */
export interface MeterGlobals {
  fuel: number;
  budget: number;
  total: number;
  flag: number;
  stack: number;
}

/** A body of `code` with `locals` (their declarations), sized and ended. */
function writeBody(section: ByteWriter, locals: number[], code: (out: ByteWriter) => void): void {
  section.sized((writer) => {
    writer.u8(...locals);
    code(writer);
    writer.u8(OP.end);
  });
}

export class AddedFunctions {
  readonly types: CoreType[];
  readonly functions: AddedFunction[] = [];
  readonly exports: { name: string; kind: number; index: number }[] = [];
  readonly #module: CoreModule;
  readonly #limits: MeterLimits;
  readonly #globals: MeterGlobals;
  readonly #importWrappers: number[] = [];

  constructor(module: CoreModule, limits: MeterLimits, globals: MeterGlobals) {
    this.types = [...module.types];
    this.#module = module;
    this.#limits = limits;
    this.#globals = globals;
  }

  #typeIndex(params: number[], results: number[]): number {
    const wanted = signature({ params, results });
    const known = this.types.findIndex((type) => signature(type) === wanted);
    if (known >= 0) return known;
    return this.types.push({ params, results }) - 1;
  }

  /** Of a function of the module, or one added to it. */
  #typeOf(index: number): CoreType | undefined {
    const { imports, functions } = this.#module;
    const added = this.functions[index - imports.length - functions.length];
    return added ? this.types[added.typeIndex] : functionType(this.#module, index);
  }

  #add(
    params: number[],
    results: number[],
    code: (out: ByteWriter) => void,
    locals: number[] = [0],
  ): number {
    const typeIndex = this.#typeIndex(params, results);
    return this.append({ typeIndex, write: (section) => writeBody(section, locals, code) });
  }

  append(added: AddedFunction): number {
    const { imports, functions } = this.#module;
    this.functions.push(added);
    return imports.length + functions.length + this.functions.length - 1;
  }

  #export(name: string, index: number): void {
    this.exports.push({ name, kind: 0, index });
  }

  /** Charges for each import by what its last argument, a length or count, says. */
  wrapImports(): void {
    for (const [index, { name }] of this.#module.imports.entries()) {
      const type = functionType(this.#module, index);
      if (type === undefined) continue;
      const wrapper = this.#add(type.params, type.results, (out) => {
        out.u8(OP.globalGet).u32(this.#globals.fuel).u8(OP.i32Const).s32(IMPORT_COST).u8(OP.i32Sub);
        out.u8(OP.localGet).u32(type.params.length - 1);
        if (name === "emit") {
          out.u8(OP.i32Const).s32(EMIT_COUNT_MASK).u8(OP.i32And);
          out.u8(OP.i32Const).s32(EMIT_FIELD_SHIFT).u8(OP.i32Shl);
        } else if (name === "match") {
          out.u8(OP.i32Const).s32(MATCH_BYTES_MASK).u8(OP.i32And);
          out.u8(OP.i32Const).s32(MATCH_BYTE_SHIFT).u8(OP.i32Shl);
        } else {
          out.u8(OP.i32Const).s32(LOG_BYTES_SHIFT).u8(OP.i32ShrU);
        }
        out.u8(OP.i32Sub, OP.globalSet).u32(this.#globals.fuel);
        this.#emitFuelCheck(out);
        type.params.forEach((_, param) => {
          out.u8(OP.localGet).u32(param);
        });
        out.u8(OP.call).u32(index);
      });
      this.#importWrappers.push(wrapper);
    }
  }

  /** Of import `index`: what to call in its place. */
  importWrapper(index: number): number {
    return this.#importWrappers[index] ?? index;
  }

  #emitFuelCheck(out: ByteWriter): void {
    out.u8(OP.globalGet).u32(this.#globals.fuel).u8(OP.i32Const, 0, OP.i32LtS, OP.if, 0x40);
    emitTrap(out, METER_FLAG.fuel, this.#globals.flag);
    out.u8(OP.end);
  }

  /** begin(bytes): adds the last call to the total, sets budget and fuel, clears the flag. */
  addBegin(): number {
    const { fuelBase, fuelPerByte } = this.#limits;
    const code = (out: ByteWriter): void => {
      this.#emitTotal(out);
      out.u8(OP.globalSet).u32(this.#globals.total);
      out.u8(OP.localGet, 0, OP.i64ExtendI32U, OP.i64Const).s64(fuelPerByte).u8(OP.i64Mul);
      out.u8(OP.i64Const).s64(fuelBase).u8(OP.i64Add, OP.localTee, 1);
      out.u8(OP.i64Const).s64(FUEL_PER_CALL_MAX);
      out.u8(OP.localGet, 1, OP.i64Const).s64(FUEL_PER_CALL_MAX).u8(0x54, 0x1b);
      out.u8(OP.i32WrapI64, OP.localTee, 0, OP.globalSet).u32(this.#globals.fuel);
      out.u8(OP.localGet, 0, OP.globalSet).u32(this.#globals.budget);
      out.u8(OP.i32Const, 0, OP.globalSet).u32(this.#globals.flag);
    };
    // One local: the budget as i64.
    const index = this.#add([I32], [], code, [1, 1, I64]);
    this.#export(METERED_EXPORT.begin, index);
    return index;
  }

  /** total + budget - fuel, as i64. */
  #emitTotal(out: ByteWriter): void {
    out.u8(OP.globalGet).u32(this.#globals.total);
    out.u8(OP.globalGet).u32(this.#globals.budget).u8(OP.i64ExtendI32S, OP.i64Add);
    out.u8(OP.globalGet).u32(this.#globals.fuel).u8(OP.i64ExtendI32S, 0x7d);
  }

  wrapExports(exports: MeterExports, begin: number): void {
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

  addReaders(): void {
    const used = this.#add([], [F64], (out) => {
      this.#emitTotal(out);
      out.u8(OP.f64ConvertI64U);
    });
    this.#export(METERED_EXPORT.fuelUsed, used);
    const flag = this.#add([], [I32], (out) => {
      out.u8(OP.globalGet).u32(this.#globals.flag);
    });
    this.#export(METERED_EXPORT.flag, flag);
    this.exports.push({ name: METERED_EXPORT.memory, kind: 2, index: 0 });
  }

  /** In place of a recursive function: takes its frame off the stack budget while it runs. */
  writeDepthGuard(
    section: ByteWriter,
    guarded: { index: number; frameBytes: number; moved: number },
  ): void {
    const params = functionType(this.#module, guarded.index)?.params ?? [];
    // The guard's own frame comes on top.
    const bytes = guarded.frameBytes + 96 + 8 * params.length;
    writeBody(section, [0], (out) => {
      out.u8(OP.globalGet).u32(this.#globals.stack).u8(OP.i32Const).s32(bytes).u8(OP.i32Sub);
      out.u8(OP.globalSet).u32(this.#globals.stack);
      out.u8(OP.globalGet).u32(this.#globals.stack).u8(OP.i32Const, 0, OP.i32LtS, OP.if, 0x40);
      emitTrap(out, METER_FLAG.stack, this.#globals.flag);
      out.u8(OP.end);
      params.forEach((_, param) => {
        out.u8(OP.localGet).u32(param);
      });
      out.u8(OP.call).u32(guarded.moved);
      out.u8(OP.globalGet).u32(this.#globals.stack).u8(OP.i32Const).s32(bytes).u8(OP.i32Add);
      out.u8(OP.globalSet).u32(this.#globals.stack);
      // What the frames run on their way back adds up: without this it would go unchecked.
      this.#emitFuelCheck(out);
    });
  }

  /**
   * Has each of `indices` called by its place in the list, without fuel. V8 compiles a function at
   * its first call: this is how the first connection does not pay for that.
   */
  addTouch(indices: readonly number[]): void {
    const count = indices.reduce(
      (sum, index) => sum + (this.#typeOf(index)?.params.length ?? 0),
      0,
    );
    if (count > PARAMETERS_MAX) {
      const state = `${count} parameters of all functions, limit ${PARAMETERS_MAX}`;
      throw new PluginImageError("limit", "core module", state);
    }
    // The engine reads the whole function when one it calls traps, so each touches a few only.
    const parts: number[] = [];
    for (let from = 0; from < indices.length; from += TOUCHED_MAX) {
      const some = indices.slice(from, from + TOUCHED_MAX);
      parts.push(this.#add([I32], [I32], (out) => this.#writeSwitch(out, some)));
    }
    const touch = this.#add([I32], [I32], (out) => {
      out.u8(OP.i32Const).s32(-1).u8(OP.globalSet).u32(this.#globals.fuel);
      out.u8(OP.i32Const).s32(RECURSIVE_STACK_BYTES_MAX).u8(OP.globalSet).u32(this.#globals.stack);
      for (const [at, part] of parts.entries()) {
        const from = at * TOUCHED_MAX;
        out
          .u8(OP.localGet, 0, OP.i32Const)
          .s32(from + TOUCHED_MAX)
          .u8(OP.i32LtU, OP.if, 0x40);
        out.u8(OP.localGet, 0, OP.i32Const).s32(from).u8(OP.i32Sub);
        out.u8(OP.call).u32(part).u8(OP.return, OP.end);
      }
      out.u8(OP.i32Const, 1);
    });
    this.#export(METERED_EXPORT.touch, touch);
  }

  /** Calls the function of the given number with zeros and returns 0; without one, 1. */
  #writeSwitch(out: ByteWriter, indices: readonly number[]): void {
    for (let depth = 0; depth <= indices.length; depth += 1) out.u8(OP.block, 0x40);
    out.u8(OP.localGet, 0, OP.brTable).u32(indices.length);
    for (let depth = 0; depth <= indices.length; depth += 1) out.u32(depth);
    for (const index of indices) {
      const type = this.#typeOf(index);
      out.u8(OP.end);
      for (const param of type?.params ?? []) writeZero(out, param);
      out.u8(OP.call).u32(index);
      for (let left = type?.results.length ?? 0; left > 0; left -= 1) out.u8(OP.drop);
      out.u8(OP.i32Const, 0, OP.return);
    }
    out.u8(OP.end, OP.i32Const, 1);
  }
}

function writeZero(out: ByteWriter, type: number): void {
  if (type === I32) out.u8(OP.i32Const, 0);
  else if (type === I64) out.u8(OP.i64Const, 0);
  else if (type === F64) out.u8(0x44, 0, 0, 0, 0, 0, 0, 0, 0);
  else if (type === F32) out.u8(0x43, 0, 0, 0, 0);
  else out.u8(0xd0, type);
}
