/**
 * Rewrites a plugin's core module: every function metered (meter-function.ts), memory and tables
 * bounded, and the export section replaced by functions of our own (meter-wrappers.ts) that set the
 * budget of a call. The input must have passed `WebAssembly.validate`: only then do appended
 * globals and functions stay out of its reach.
 */
import { ByteWriter } from "./binary.ts";
import { RECURSIVE_STACK_BYTES_MAX, recursiveFunctions } from "./call-depth.ts";
import type { CoreModule } from "./core-module.ts";
import { PluginImageError } from "./errors.ts";
import type { MeterIndices } from "./meter-function.ts";
import { meterFunction } from "./meter-function.ts";
import type { MeterExports, MeterGlobals, MeterLimits } from "./meter-wrappers.ts";
import { AddedFunctions } from "./meter-wrappers.ts";
import { OP } from "./opcodes.ts";
import { paidCalls } from "./paid-calls.ts";
import type { FunctionScan } from "./scan-function.ts";
import { scanFunction } from "./scan-function.ts";

const I32 = 0x7f;
const I64 = 0x7e;

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
/**
 * FunctionScan.merges of all functions, 2 ns each when the engine compiles: while it does, an agent
 * or a proxy answers nobody. An interpreter's main loop has a few million.
 */
const MERGES_MAX = 64_000_000;

class Rewriter {
  readonly #module: CoreModule;
  readonly #limits: MeterLimits;
  readonly #exports: MeterExports;
  readonly #globals: MeterGlobals;
  readonly #added: AddedFunctions;
  readonly #scans: readonly FunctionScan[];
  /** By function: what a call of it costs, if its caller pays. */
  readonly #paid: ReadonlyMap<number, number>;
  /** By defined function: the one its metered body moved to, because it is recursive. */
  readonly #moved = new Map<number, number>();

  constructor(module: CoreModule, limits: MeterLimits, exports: MeterExports) {
    const fuel = module.globalCount;
    this.#module = module;
    this.#limits = limits;
    this.#exports = exports;
    this.#globals = {
      fuel,
      budget: fuel + 1,
      total: fuel + 2,
      flag: fuel + 3,
      stack: fuel + 4,
    };
    this.#added = new AddedFunctions(module, limits, this.#globals);
    this.#scans = scanFunctions(module);
    const called = [exports.realloc, exports.onData, ...exports.plain.map(({ index }) => index)];
    this.#paid = paidCalls(module, this.#scans, called);
  }

  run(): Uint8Array<ArrayBuffer> {
    const added = this.#added;
    const { imports, functions } = this.#module;
    added.wrapImports();
    added.wrapExports(this.#exports, added.addBegin());
    added.addReaders();
    this.#moveRecursive();
    added.addTouch([
      ...imports.map((_, index) => added.importWrapper(index)),
      ...functions.map((_, index) => imports.length + index),
      ...this.#moved.values(),
    ]);
    const out = new ByteWriter(this.#module.bytes.length * 2);
    out.u8(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
    this.#writeDeclarations(out);
    this.#writeCode(out);
    return out.bytes().slice() as Uint8Array<ArrayBuffer>;
  }

  #indices(): MeterIndices {
    return {
      fuelGlobal: this.#globals.fuel,
      flagGlobal: this.#globals.flag,
      importCount: this.#module.imports.length,
      importWrapper: (index) => this.#added.importWrapper(index),
      paidByCaller: (index) => this.#paid.get(index),
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
      this.#moved.set(index, this.#added.append({ typeIndex, write }));
    }
  }

  #writeDeclarations(out: ByteWriter): void {
    const module = this.#module;
    out.section(1, (section) => {
      section.u32(this.#added.types.length);
      for (const { params, results } of this.#added.types) {
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
      section.u32(module.functions.length + this.#added.functions.length);
      for (const type of module.functions) section.u32(type);
      for (const { typeIndex } of this.#added.functions) section.u32(typeIndex);
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
      section.u32(this.#added.exports.length);
      for (const { name, kind, index } of this.#added.exports)
        section.name(name).u8(kind).u32(index);
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
      section.u32(module.bodies.length + this.#added.functions.length);
      for (const [index, scan] of this.#scans.entries()) {
        const moved = this.#moved.get(index);
        const own = index + module.imports.length;
        const body = module.bodies[index];
        if (moved !== undefined) {
          const { frameBytes } = scan;
          this.#added.writeDepthGuard(section, { index: own, frameBytes, moved });
        } else if (this.#paid.has(own) && body !== undefined) {
          section.sized((writer) => writer.raw(module.bytes, body.start, body.end));
        } else {
          meterFunction(section, module.bytes, scan, this.#indices());
        }
      }
      for (const { write } of this.#added.functions) write(section);
    });
    copy(11);
    if (module.names) {
      const { start, end } = module.names;
      out.section(0, (section) => section.raw(module.bytes, start, end));
    }
  }
}

function scanFunctions(module: CoreModule): FunctionScan[] {
  let [places, merges] = [0, 0];
  return module.bodies.map((_, index) => {
    const scan = scanFunction(module, index);
    places += scan.events.length;
    merges += scan.merges;
    if (places > PLACES_MAX) {
      const state = `more than ${PLACES_MAX} blocks and calls`;
      throw new PluginImageError("limit", "core module", state);
    }
    if (merges > MERGES_MAX) {
      const state = `more than ${MERGES_MAX} locals at all branches`;
      throw new PluginImageError("limit", "core module", state);
    }
    return scan;
  });
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
  return new Rewriter(module, limits, exports).run();
}
