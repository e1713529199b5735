/**
 * Reads a core module into its sections, refuses what a plugin may not have (start function, tags,
 * shared or 64-bit or several memories, imports other than functions) and checks every size limit.
 * Function bodies stay bytes: meter.ts reads them.
 */
import type { ByteReader } from "./binary.ts";
import { PluginImageError } from "./errors.ts";
import { OP, readValueType, unsupported, valueTypeName } from "./opcodes.ts";

export const CORE_TYPES_MAX = 2_000;
export const FUNCTIONS_MAX = 20_000;
/** Bytes of one function body. */
export const FUNCTION_BYTES_MAX = 262_144;
/** Parameters and locals of one function. */
export const LOCALS_MAX = 2_000;
export const GLOBALS_MAX = 1_000;
export const TABLES_MAX = 16;
/** Elements of one table: its maximum is cut to this. */
export const TABLE_ELEMENTS_MAX = 16_384;
/** Entries of all element segments: each is written when an instance starts, which nobody pays. */
export const ELEMENTS_MAX = 32_768;
/** Data segments; the snapshot of an interpreter has as many. Their bytes are the file. */
export const DATA_SEGMENTS_MAX = 10_000;

export interface CoreType {
  params: number[];
  results: number[];
}

export interface CoreImport {
  module: string;
  name: string;
  typeIndex: number;
}

export interface CoreExport {
  name: string;
  /** 0 function, 1 table, 2 memory, 3 global. */
  kind: number;
  index: number;
}

export interface CoreTable {
  elementType: number;
  minimum: number;
  maximum: number;
}

export interface CoreBody {
  /** Byte range of the body in `bytes`: local declarations, instructions. */
  start: number;
  end: number;
}

export interface Range {
  start: number;
  end: number;
}

export interface CoreModule {
  /** What all ranges index; the module may be a part of it. */
  readonly bytes: Uint8Array;
  readonly range: Range;
  types: CoreType[];
  imports: CoreImport[];
  importedTables: CoreTable[];
  /** Type index of each defined function. */
  functions: number[];
  tables: CoreTable[];
  /** Pages, and the declared maximum if any; undefined without a memory. */
  memory: { minimum: number; maximum: number | undefined } | undefined;
  globalCount: number;
  exports: CoreExport[];
  bodies: CoreBody[];
  /** Function indices that element segments and globals refer to. */
  referencedFunctions: number[];
  /** Contents of the sections copied as they are, by id: 9 elements, 11 data, 12 data count. */
  copied: Map<number, Range>;
  /** The globals themselves, without their count. */
  globals: Range;
  /** The custom section `name`, so that a trap's stack can be read. */
  names: Range | undefined;
}

/** "(i32 i32)->(i32)": how messages and checks name a core function type. */
export function signature(type: CoreType | undefined): string {
  if (type === undefined) return "?";
  const list = (types: number[]): string => `(${types.map(valueTypeName).join(" ")})`;
  return `${list(type.params)}->${list(type.results)}`;
}

export function functionType(module: CoreModule, index: number): CoreType | undefined {
  const imported = module.imports[index];
  const typeIndex = imported?.typeIndex ?? module.functions[index - module.imports.length];
  return typeIndex === undefined ? undefined : module.types[typeIndex];
}

function limit(where: string, count: number, what: string, most: number): void {
  if (count > most) throw new PluginImageError("limit", where, `${count} ${what}, limit ${most}`);
}

/** Reads `reader`'s bytes as one core module. */
export function readCoreModule(reader: ByteReader): CoreModule {
  const module: CoreModule = {
    bytes: reader.bytes,
    range: { start: reader.offset, end: reader.end },
    types: [],
    imports: [],
    importedTables: [],
    functions: [],
    tables: [],
    memory: undefined,
    globalCount: 0,
    exports: [],
    bodies: [],
    referencedFunctions: [],
    copied: new Map(),
    globals: { start: 0, end: 0 },
    names: undefined,
  };
  for (const byte of [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]) {
    if (reader.u8() !== byte) throw reader.malformed("not a core module");
  }
  const where = reader.where;
  while (!reader.done) {
    const id = reader.u8();
    const section = reader.slice(reader.u32(), `${where}, section ${id}`);
    readSection(module, id, section);
  }
  if (module.bodies.length !== module.functions.length) {
    throw reader.malformed("function and code sections differ in length");
  }
  return module;
}

function readSection(module: CoreModule, id: number, section: ByteReader): void {
  const { where } = section;
  switch (id) {
    case 0: {
      const { offset: start, end } = section;
      if (section.name() === "name") module.names = { start, end };
      return;
    }
    case 1:
      module.types = section.vector(() => readType(section));
      limit(where, module.types.length, "types", CORE_TYPES_MAX);
      return;
    case 2:
      section.vector(() => readImport(module, section));
      return;
    case 3:
      module.functions = section.vector(() => section.u32());
      limit(where, module.functions.length, "functions", FUNCTIONS_MAX);
      return;
    case 4:
      module.tables = section.vector(() => readTable(section));
      limit(where, module.tables.length, "tables", TABLES_MAX);
      return;
    case 5:
      readMemories(module, section);
      return;
    case 6:
      readGlobals(module, section);
      return;
    case 7:
      module.exports = section.vector(() => ({
        name: section.name(),
        kind: section.u8(),
        index: section.u32(),
      }));
      return;
    case 8:
      throw unsupported(section, "start function");
    case 9:
      module.copied.set(id, { start: section.offset, end: section.end });
      readElements(module, section);
      return;
    case 10:
      module.bodies = section.vector((index) => readBody(section, index));
      return;
    case 11:
    case 12:
      module.copied.set(id, { start: section.offset, end: section.end });
      limit(where, section.u32(), "data segments", DATA_SEGMENTS_MAX);
      return;
    default:
      throw unsupported(section, id === 13 ? "exceptions" : `section ${id}`);
  }
}

function readType(reader: ByteReader): CoreType {
  const form = reader.u8();
  if (form !== 0x60) throw unsupported(reader, `type form 0x${form.toString(16)}`);
  const params = reader.vector(() => readValueType(reader));
  const results = reader.vector(() => readValueType(reader));
  return { params, results };
}

function readImport(module: CoreModule, reader: ByteReader): void {
  const moduleName = reader.name();
  const name = reader.name();
  const kind = reader.u8();
  if (kind === 0) {
    module.imports.push({ module: moduleName, name, typeIndex: reader.u32() });
    return;
  }
  if (kind === 1) {
    module.importedTables.push(readTable(reader));
    return;
  }
  const what = { 2: "memory", 3: "global", 4: "tag" }[kind] ?? `kind ${kind}`;
  throw unsupported(reader, `import of a ${what} (${moduleName} ${name})`);
}

function readTable(reader: ByteReader): CoreTable {
  const elementType = readValueType(reader);
  if (elementType !== 0x70 && elementType !== 0x6f) throw unsupported(reader, "table element type");
  const flags = reader.u8();
  if (flags > 1) throw unsupported(reader, flags & 4 ? "table64" : "shared table");
  const minimum = reader.u32();
  limit(reader.where, minimum, "table elements", TABLE_ELEMENTS_MAX);
  const declared = flags & 1 ? reader.u32() : TABLE_ELEMENTS_MAX;
  return { elementType, minimum, maximum: Math.min(declared, TABLE_ELEMENTS_MAX) };
}

function readMemories(module: CoreModule, reader: ByteReader): void {
  const count = reader.u32();
  if (count > 1) throw unsupported(reader, "multiple memories");
  if (count === 0) return;
  const flags = reader.u8();
  if (flags & 2) throw unsupported(reader, "shared memory");
  if (flags & 4) throw unsupported(reader, "memory64");
  if (flags > 1) throw unsupported(reader, "custom page sizes");
  const minimum = reader.u32();
  module.memory = { minimum, maximum: flags & 1 ? reader.u32() : undefined };
  reader.expectEnd();
}

function readGlobals(module: CoreModule, reader: ByteReader): void {
  module.globalCount = reader.u32();
  limit(reader.where, module.globalCount, "globals", GLOBALS_MAX);
  module.globals = { start: reader.offset, end: reader.end };
  for (let index = 0; index < module.globalCount; index += 1) {
    readValueType(reader);
    if (reader.u8() > 1) throw unsupported(reader, "shared global");
    readConstantExpression(reader, module.referencedFunctions);
  }
  reader.expectEnd();
}

function readElements(module: CoreModule, reader: ByteReader): void {
  let elements = 0;
  reader.vector(() => {
    const flags = reader.u32();
    if (flags > 7) throw reader.malformed("element segment flags");
    const active = (flags & 1) === 0;
    if (active && flags & 2) reader.u32();
    if (active) readConstantExpression(reader, []);
    // Flags 0 and 4 leave out the kind or type: functions.
    if (flags & 3) reader.u8();
    const entries = reader.vector(() => {
      if (flags & 4) readConstantExpression(reader, module.referencedFunctions);
      else module.referencedFunctions.push(reader.u32());
    });
    elements += entries.length;
    limit(reader.where, elements, "elements", ELEMENTS_MAX);
  });
  reader.expectEnd();
}

/** Skips a constant expression; functions it refers to are added to `functions`. */
export function readConstantExpression(reader: ByteReader, functions: number[]): void {
  for (;;) {
    const op = reader.u8();
    if (op === OP.end) return;
    if (op === OP.i32Const) reader.skipLeb(5);
    else if (op === OP.i64Const) reader.skipLeb(10);
    else if (op === 0x43) reader.skip(4);
    else if (op === 0x44) reader.skip(8);
    else if (op === OP.globalGet) reader.u32();
    else if (op === OP.refFunc) functions.push(reader.u32());
    else if (op === 0xd0) readValueType(reader);
    else if (!isExtendedConstant(op)) throw unsupported(reader, "constant expression");
  }
}

function isExtendedConstant(op: number): boolean {
  return (op >= OP.i32Add && op <= OP.i32Mul) || (op >= OP.i64Add && op <= OP.i64Mul);
}

function readBody(reader: ByteReader, index: number): CoreBody {
  const size = reader.u32();
  limit(`${reader.where}, function ${index}`, size, "bytes", FUNCTION_BYTES_MAX);
  const start = reader.offset;
  reader.skip(size);
  return { start, end: reader.offset };
}
