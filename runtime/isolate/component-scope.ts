/**
 * Reads the sections of a component into its index spaces: core modules and instances, lifted and
 * lowered functions, imports and exports. The one nested component allowed is the adapter that
 * wit-component writes to name an exported interface: types, imports and exports, no code. What the
 * pieces mean for the plugin world is component.ts's part. Source: Component Model, Binary.md.
 */
import { ByteReader } from "./binary.ts";
import type { ComponentType, InstanceItem, TypeScope } from "./component-types.ts";
import {
  addType,
  functionTypeAt,
  readComponentType,
  readDescription,
  readExternalName,
  readOuterType,
} from "./component-types.ts";
import type { CoreModule } from "./core-module.ts";
import { readCoreModule } from "./core-module.ts";
import { PluginImageError } from "./errors.ts";
import { unsupported } from "./opcodes.ts";

/** Items of any one index space other than types. */
export const COMPONENT_ITEMS_MAX = 4_000;
/** Instances; each may read a nested component again. */
export const INSTANCES_MAX = 32;

export type CoreItem =
  | { kind: "export"; instance: CoreInstance; name: string }
  | { kind: "lowered"; callee: ComponentFunction; options: CanonOptions };

export type CoreInstance =
  | { kind: "module"; module: CoreModule; args: Map<string, CoreInstance> }
  | { kind: "inline"; exports: Map<string, CoreItem> };

export interface CanonOptions {
  utf8: boolean;
  memory: CoreItem | undefined;
  realloc: CoreItem | undefined;
  postReturn: CoreItem | undefined;
}

export type ComponentFunction =
  | { kind: "imported"; interface: string; name: string; text: string }
  | { kind: "lifted"; core: CoreItem; options: CanonOptions; text: string };

export type ComponentItem =
  | { sort: "type"; type: ComponentType }
  | { sort: "function"; function: ComponentFunction }
  | { sort: "instance"; instance: ComponentInstance };

export interface ComponentInstance {
  /** Name of the import it came from, if it did. */
  imported: string | undefined;
  items: Map<string, ComponentItem>;
}

/** A component's index spaces. */
export interface ComponentScope extends TypeScope {
  readonly nested: boolean;
  readonly coreModules: CoreModule[];
  readonly coreInstances: CoreInstance[];
  readonly coreFunctions: CoreItem[];
  readonly coreMemories: CoreItem[];
  readonly coreTables: CoreItem[];
  readonly coreGlobals: CoreItem[];
  readonly functions: ComponentFunction[];
  readonly instances: ComponentInstance[];
  /** Nested components, unread until instantiated. */
  readonly components: ByteReader[];
  readonly importNames: string[];
  readonly exports: Map<string, ComponentItem>;
}

function emptyScope(parent: TypeScope | undefined): ComponentScope {
  return {
    types: [],
    parent,
    nested: parent !== undefined,
    coreModules: [],
    coreInstances: [],
    coreFunctions: [],
    coreMemories: [],
    coreTables: [],
    coreGlobals: [],
    functions: [],
    instances: [],
    components: [],
    importNames: [],
    exports: new Map(),
  };
}

function at<T>(reader: ByteReader, space: readonly T[], index: number, what: string): T {
  const item = space[index];
  if (item === undefined) throw reader.malformed(`${what} ${index} does not exist`);
  return item;
}

function add<T>(reader: ByteReader, space: T[], item: T): void {
  if (space.length >= COMPONENT_ITEMS_MAX) {
    throw new PluginImageError("limit", reader.where, `more than ${COMPONENT_ITEMS_MAX} items`);
  }
  space.push(item);
}

const PREAMBLE = [0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00];

/** Reads a component; `args` are what a nested one is instantiated with. */
export function readComponent(
  reader: ByteReader,
  parent?: ComponentScope,
  args: ReadonlyMap<string, ComponentItem> = new Map(),
): ComponentScope {
  for (const byte of PREAMBLE) if (reader.u8() !== byte) throw reader.malformed("not a component");
  const scope = emptyScope(parent);
  const { where } = reader;
  while (!reader.done) {
    const id = reader.u8();
    const section = reader.slice(reader.u32(), `${where}, section ${id}`);
    if (scope.nested && id !== 0 && id !== 7 && id !== 10 && id !== 11) {
      throw unsupported(section, "nested components that are more than type adapters");
    }
    readSection(scope, id, section, args);
    if (id !== 0 && id !== 1 && id !== 4) section.expectEnd();
  }
  return scope;
}

function readSection(
  scope: ComponentScope,
  id: number,
  reader: ByteReader,
  args: ReadonlyMap<string, ComponentItem>,
): void {
  switch (id) {
    case 0:
      return;
    case 1: {
      reader.where = `core module ${scope.coreModules.length}`;
      add(reader, scope.coreModules, readCoreModule(reader));
      return;
    }
    case 2:
      each(reader, () => add(reader, scope.coreInstances, readCoreInstance(scope, reader)));
      return;
    case 4:
      add(reader, scope.components, reader);
      return;
    case 5:
      each(reader, () => add(reader, scope.instances, readInstance(scope, reader)));
      return;
    case 6:
      each(reader, () => readAlias(scope, reader));
      return;
    case 7:
      each(reader, () => addType(reader, scope, readComponentType(reader, scope)));
      return;
    case 8:
      each(reader, () => readCanon(scope, reader));
      return;
    case 10:
      each(reader, () => readImport(scope, reader, args));
      return;
    case 11:
      each(reader, () => readExport(scope, reader));
      return;
    default:
      throw unsupported(
        reader,
        { 3: "core types", 9: "start functions", 12: "values" }[id] ?? `section ${id}`,
      );
  }
}

function each(reader: ByteReader, item: () => void): void {
  reader.vector(item);
}

function readCoreInstance(scope: ComponentScope, reader: ByteReader): CoreInstance {
  if (reader.u8() === 0x00) {
    const module = at(reader, scope.coreModules, reader.u32(), "core module");
    const args = new Map<string, CoreInstance>();
    each(reader, () => {
      const name = reader.name();
      if (reader.u8() !== 0x12) throw reader.malformed("instantiation argument");
      args.set(name, at(reader, scope.coreInstances, reader.u32(), "core instance"));
    });
    return { kind: "module", module, args };
  }
  const exports = new Map<string, CoreItem>();
  each(reader, () => {
    const name = reader.name();
    const space = coreSpace(scope, reader, reader.u8());
    exports.set(name, at(reader, space, reader.u32(), "core item"));
  });
  return { kind: "inline", exports };
}

function coreSpace(scope: ComponentScope, reader: ByteReader, sort: number): CoreItem[] {
  if (sort === 0x00) return scope.coreFunctions;
  if (sort === 0x01) return scope.coreTables;
  if (sort === 0x02) return scope.coreMemories;
  if (sort === 0x03) return scope.coreGlobals;
  throw unsupported(reader, `core sort ${sort}`);
}

function readAlias(scope: ComponentScope, reader: ByteReader): void {
  const sort = reader.u8();
  const space = sort === 0x00 ? coreSpace(scope, reader, reader.u8()) : undefined;
  const target = reader.u8();
  if (space !== undefined) {
    if (target !== 0x01) throw unsupported(reader, "alias of a core item outside");
    const instance = at(reader, scope.coreInstances, reader.u32(), "core instance");
    add(reader, space, { kind: "export", instance, name: reader.name() });
    return;
  }
  if (target === 0x02 && sort === 0x03) {
    addType(reader, scope, readOuterType(reader, scope));
    return;
  }
  if (target !== 0x00) throw unsupported(reader, "outer alias");
  const instance = at(reader, scope.instances, reader.u32(), "instance");
  const name = reader.name();
  const item = instance.items.get(name);
  if (item === undefined) throw reader.malformed(`instance has no ${name}`);
  addItem(scope, reader, sort, item);
}

/** Puts `item` at the end of the index space `sort` names. */
function addItem(
  scope: ComponentScope,
  reader: ByteReader,
  sort: number,
  item: ComponentItem,
): void {
  if (sort === 0x01 && item.sort === "function") add(reader, scope.functions, item.function);
  else if (sort === 0x03 && item.sort === "type") addType(reader, scope, item.type);
  else if (sort === 0x05 && item.sort === "instance") add(reader, scope.instances, item.instance);
  else throw reader.malformed("item of another sort");
}

/** Reads a sort and index, and finds the item. */
function readItem(scope: ComponentScope, reader: ByteReader): [number, ComponentItem] {
  const sort = reader.u8();
  const index = reader.u32();
  if (sort === 0x01) {
    return [sort, { sort: "function", function: at(reader, scope.functions, index, "function") }];
  }
  if (sort === 0x03) return [sort, { sort: "type", type: at(reader, scope.types, index, "type") }];
  if (sort === 0x05) {
    return [sort, { sort: "instance", instance: at(reader, scope.instances, index, "instance") }];
  }
  throw unsupported(reader, `sort ${sort}`);
}

function readInstance(scope: ComponentScope, reader: ByteReader): ComponentInstance {
  if (scope.instances.length >= INSTANCES_MAX) {
    throw new PluginImageError("limit", reader.where, `more than ${INSTANCES_MAX} instances`);
  }
  const form = reader.u8();
  const component = form === 0x00 ? at(reader, scope.components, reader.u32(), "component") : null;
  const items = new Map<string, ComponentItem>();
  each(reader, () => {
    const name = component ? reader.name() : readExternalName(reader);
    items.set(name, readItem(scope, reader)[1]);
  });
  if (component === null) return { imported: undefined, items };
  const { bytes, offset, end } = component;
  const nested = readComponent(
    new ByteReader(bytes, "nested component", offset, end),
    scope,
    items,
  );
  return { imported: undefined, items: nested.exports };
}

function readCanonOptions(scope: ComponentScope, reader: ByteReader): CanonOptions {
  const options: CanonOptions = {
    utf8: true,
    memory: undefined,
    realloc: undefined,
    postReturn: undefined,
  };
  each(reader, () => {
    const option = reader.u8();
    if (option === 0x01 || option === 0x02) options.utf8 = false;
    else if (option === 0x03) {
      options.memory = at(reader, scope.coreMemories, reader.u32(), "core memory");
    } else if (option === 0x04) {
      options.realloc = at(reader, scope.coreFunctions, reader.u32(), "core function");
    } else if (option === 0x05) {
      options.postReturn = at(reader, scope.coreFunctions, reader.u32(), "core function");
    } else if (option !== 0x00) {
      throw unsupported(reader, option <= 0x07 ? "async functions" : `canonical option ${option}`);
    }
  });
  return options;
}

function readCanon(scope: ComponentScope, reader: ByteReader): void {
  const form = reader.u8();
  if (form > 0x01 || reader.u8() !== 0x00) {
    throw unsupported(reader, "canonical built-ins (resources, tasks, streams)");
  }
  if (form === 0x00) {
    const core = at(reader, scope.coreFunctions, reader.u32(), "core function");
    const options = readCanonOptions(scope, reader);
    const text = functionTypeAt(reader, scope, reader.u32());
    add(reader, scope.functions, { kind: "lifted", core, options, text });
    return;
  }
  const callee = at(reader, scope.functions, reader.u32(), "function");
  const options = readCanonOptions(scope, reader);
  add(reader, scope.coreFunctions, { kind: "lowered", callee, options });
  return;
}

function readImport(
  scope: ComponentScope,
  reader: ByteReader,
  args: ReadonlyMap<string, ComponentItem>,
): void {
  const name = readExternalName(reader);
  const sort = reader.bytes[reader.offset] ?? 0;
  const described = readDescription(reader, scope);
  if (scope.nested) {
    const given = args.get(name);
    if (given === undefined || spell(given) !== spellPromise(described)) {
      throw reader.malformed(`import ${name} of the nested component is not what it is given`);
    }
    addItem(scope, reader, sort, given);
    return;
  }
  if (described.sort !== "type" || described.type.kind !== "instance") {
    throw new PluginImageError("world", `import ${name}`, "not an interface of the world");
  }
  scope.importNames.push(name);
  const items = new Map<string, ComponentItem>();
  for (const [key, item] of described.type.exports) items.set(key, importedItem(name, key, item));
  add(reader, scope.instances, { imported: name, items });
}

function importedItem(origin: string, name: string, item: InstanceItem): ComponentItem {
  if (item.sort === "type") return item;
  const imported = { kind: "imported", interface: origin, name, text: item.text } as const;
  return { sort: "function", function: imported };
}

function readExport(scope: ComponentScope, reader: ByteReader): void {
  const name = readExternalName(reader);
  const [sort, item] = readItem(scope, reader);
  if (reader.u8() !== 0x00) {
    const ascribed = readDescription(reader, scope);
    if (spell(item) !== spellPromise(ascribed)) {
      throw reader.malformed(`export ${name} is not of the type it states`);
    }
  }
  scope.exports.set(name, item);
  addItem(scope, reader, sort, item);
}

function spell(item: ComponentItem): string {
  if (item.sort === "function") return item.function.text;
  return item.sort === "type" && item.type.kind !== "instance" ? item.type.text : "an instance";
}

function spellPromise(item: InstanceItem): string {
  if (item.sort === "function") return item.text;
  return item.type.kind === "instance" ? "an instance" : item.type.text;
}
