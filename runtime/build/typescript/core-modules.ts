/**
 * What linking must know of the core modules inside a component: finds them, reads their imports,
 * exports and function types, and writes a module again with other names. Reads what our own build
 * made, not uploads; broken bytes are a PluginImageError all the same.
 */
import { ByteReader, ByteWriter } from "../../isolate/binary.ts";

const PREAMBLE_BYTES = 8;
/** Section ids of a component. */
const CORE_MODULE = 1;
const COMPONENT = 4;
/** Section ids of a core module. */
const CUSTOM = 0;
const TYPES = 1;
const IMPORTS = 2;
const EXPORTS = 7;
const VALUE_TYPES = new Map([
  [0x7f, "i32"],
  [0x7e, "i64"],
  [0x7d, "f32"],
  [0x7c, "f64"],
]);

export interface FunctionType {
  /** Value types in words: "i32". */
  params: string[];
  results: string[];
}

export interface ModuleImport {
  module: string;
  name: string;
  /** Of a function; undefined for tables, memories and globals. */
  type: FunctionType | undefined;
  /** The bytes behind the names. */
  description: Uint8Array;
}

export interface CoreModuleView {
  bytes: Uint8Array;
  imports: ModuleImport[];
  /** Name, and the bytes behind it. */
  exports: Map<string, Uint8Array>;
}

export interface Section {
  id: number;
  start: number;
  contents: ByteReader;
}

/** The sections of a component or a module. */
export function* sectionsOf(bytes: Uint8Array): Generator<Section> {
  const reader = new ByteReader(bytes, "component", PREAMBLE_BYTES);
  while (!reader.done) {
    const start = reader.offset;
    const id = reader.u8();
    yield { id, start, contents: reader.slice(reader.u32(), `section ${id}`) };
  }
}

/** The core modules of a component in order, those of nested components where these stand. */
export function coreModulesOf(component: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (const { id, contents } of sectionsOf(component)) {
    const inner = component.subarray(contents.offset, contents.end);
    if (id === CORE_MODULE) found.push(inner);
    if (id === COMPONENT) found.push(...coreModulesOf(inner));
  }
  return found;
}

export function viewModule(bytes: Uint8Array): CoreModuleView {
  const view: CoreModuleView = { bytes, imports: [], exports: new Map() };
  let types: FunctionType[] = [];
  for (const { id, contents } of sectionsOf(bytes)) {
    if (id === TYPES) types = contents.vector(() => readFunctionType(contents));
    if (id === IMPORTS) view.imports = contents.vector(() => readImport(contents, types));
    if (id !== EXPORTS) continue;
    contents.vector(() => {
      const name = contents.name();
      view.exports.set(
        name,
        taken(contents, () => contents.skip(1 + lebBytes(contents, 1))),
      );
    });
  }
  return view;
}

/** The module with names as `rename` gives them; exports without one go, custom sections too. */
export function renameModule(
  view: CoreModuleView,
  rename: {
    import: (from: ModuleImport) => { module: string; name: string };
    export: (name: string) => string | undefined;
  },
): Uint8Array {
  const { bytes } = view;
  const out = new ByteWriter(bytes.length + 65_536).raw(bytes, 0, PREAMBLE_BYTES);
  for (const { id, start, contents } of sectionsOf(bytes)) {
    if (id === CUSTOM) continue;
    if (id === IMPORTS) {
      out.section(id, (section) => {
        section.u32(view.imports.length);
        for (const from of view.imports) {
          const to = rename.import(from);
          section.name(to.module).name(to.name).raw(from.description);
        }
      });
    } else if (id === EXPORTS) {
      out.section(id, (section) => {
        const kept = [...view.exports].flatMap(([name, description]) => {
          const renamed = rename.export(name);
          return renamed === undefined ? [] : [{ renamed, description }];
        });
        section.u32(kept.length);
        for (const { renamed, description } of kept) section.name(renamed).raw(description);
      });
    } else {
      out.raw(bytes, start, contents.end);
    }
  }
  return out.bytes().slice();
}

function readFunctionType(reader: ByteReader): FunctionType {
  if (reader.u8() !== 0x60) throw reader.malformed("not a function type");
  const list = () =>
    reader.vector(() => {
      const type = VALUE_TYPES.get(reader.u8());
      if (type === undefined) throw reader.malformed("value type");
      return type;
    });
  return { params: list(), results: list() };
}

function readImport(reader: ByteReader, types: readonly FunctionType[]): ModuleImport {
  const module = reader.name();
  const name = reader.name();
  let type: FunctionType | undefined;
  const description = taken(reader, () => {
    const kind = reader.u8();
    if (kind === 0) type = types[reader.u32()];
    else if (kind === 3) reader.skip(2);
    else if (kind === 1 || kind === 2) {
      if (kind === 1) reader.skip(1);
      if ((reader.u8() & 1) === 1) reader.u32();
      reader.u32();
    } else throw reader.malformed("import kind");
  });
  return { module, name, type, description };
}

function taken(reader: ByteReader, read: () => void): Uint8Array {
  const start = reader.offset;
  read();
  return reader.bytes.subarray(start, reader.offset);
}

/** Bytes of the LEB128 number that stands `ahead` bytes from here. */
function lebBytes(reader: ByteReader, ahead: number): number {
  let length = 1;
  while (((reader.bytes[reader.offset + ahead + length - 1] ?? 0) & 0x80) !== 0) length += 1;
  return length;
}
