/**
 * Reads the type section of a component and spells each type structurally ("list<u8>",
 * "record{offset:u32,length:u32}"), so that two types are the same exactly when their spellings
 * are. Resources, streams, futures and async functions are refused by name. Source: the Component
 * Model's Binary.md, "Type Definitions".
 */
import type { ByteReader } from "./binary.ts";
import { PluginImageError } from "./errors.ts";
import { unsupported } from "./opcodes.ts";

/** Characters of one spelled type; nested references could double it at each step. */
export const TYPE_TEXT_MAX = 32_768;
/** Types of one component. */
export const COMPONENT_TYPES_MAX = 2_000;

export type ComponentType =
  | { kind: "value"; text: string }
  | { kind: "function"; text: string }
  | { kind: "instance"; exports: Map<string, InstanceItem> };

/** What an instance type promises under a name. */
export type InstanceItem =
  | { sort: "type"; type: ComponentType }
  | { sort: "function"; text: string };

/** Where type indices are looked up; `parent` for `outer` aliases. */
export interface TypeScope {
  readonly types: ComponentType[];
  readonly parent: TypeScope | undefined;
}

const PRIMITIVES = new Map([
  [0x7f, "bool"],
  [0x7e, "s8"],
  [0x7d, "u8"],
  [0x7c, "s16"],
  [0x7b, "u16"],
  [0x7a, "s32"],
  [0x79, "u32"],
  [0x78, "s64"],
  [0x77, "u64"],
  [0x76, "f32"],
  [0x75, "f64"],
  [0x74, "char"],
  [0x73, "string"],
]);

const REFUSED = new Map([
  [0x3f, "resources"],
  [0x3e, "async resources"],
  [0x41, "component types"],
  [0x43, "async functions"],
  [0x64, "error-context"],
  [0x65, "futures"],
  [0x66, "streams"],
  [0x68, "borrowed resources"],
  [0x69, "owned resources"],
]);

function bounded(reader: ByteReader, text: string): string {
  if (text.length <= TYPE_TEXT_MAX) return text;
  throw new PluginImageError("limit", reader.where, `type above ${TYPE_TEXT_MAX} characters`);
}

export function addType(reader: ByteReader, scope: TypeScope, type: ComponentType): void {
  if (scope.types.length >= COMPONENT_TYPES_MAX) {
    throw new PluginImageError("limit", reader.where, `more than ${COMPONENT_TYPES_MAX} types`);
  }
  scope.types.push(type);
}

export function typeAt(reader: ByteReader, scope: TypeScope, index: number): ComponentType {
  const type = scope.types[index];
  if (type === undefined) throw reader.malformed(`type ${index} does not exist`);
  return type;
}

/** The spelling of function type `index`. */
export function functionTypeAt(reader: ByteReader, scope: TypeScope, index: number): string {
  const type = typeAt(reader, scope, index);
  if (type.kind !== "function") throw reader.malformed(`type ${index} is not a function type`);
  return type.text;
}

/** One entry of the type section. */
export function readComponentType(reader: ByteReader, scope: TypeScope): ComponentType {
  const form = reader.u8();
  if (form === 0x40) return { kind: "function", text: readFunctionType(reader, scope) };
  if (form === 0x42) return readInstanceType(reader, scope);
  const refused = REFUSED.get(form);
  if (refused !== undefined) throw unsupported(reader, refused);
  return { kind: "value", text: bounded(reader, readDefinedType(reader, scope, form)) };
}

function readFunctionType(reader: ByteReader, scope: TypeScope): string {
  const parameters = reader.vector(() => `${reader.name()}:${readValueType(reader, scope)}`);
  let text = `func(${parameters.join(",")})`;
  if (reader.u8() === 0x00) text += `->${readValueType(reader, scope)}`;
  else if (reader.u8() !== 0x00) throw reader.malformed("result list");
  return bounded(reader, text);
}

function readValueType(reader: ByteReader, scope: TypeScope): string {
  const start = reader.offset;
  const index = reader.s33();
  if (index < 0) {
    const code = reader.bytes[start] ?? 0;
    const primitive = PRIMITIVES.get(code);
    if (primitive !== undefined) return primitive;
    throw unsupported(reader, REFUSED.get(code) ?? `value type 0x${code.toString(16)}`);
  }
  const type = typeAt(reader, scope, index);
  if (type.kind !== "value") throw reader.malformed(`type ${index} is not a value type`);
  return type.text;
}

function readOptionalValueType(reader: ByteReader, scope: TypeScope): string | undefined {
  return reader.u8() === 0x00 ? undefined : readValueType(reader, scope);
}

function readDefinedType(reader: ByteReader, scope: TypeScope, form: number): string {
  const primitive = PRIMITIVES.get(form);
  if (primitive !== undefined) return primitive;
  switch (form) {
    case 0x72: {
      const fields = reader.vector(() => `${reader.name()}:${readValueType(reader, scope)}`);
      return `record{${fields.join(",")}}`;
    }
    case 0x71: {
      const cases = reader.vector(() => {
        const label = reader.name();
        const payload = readOptionalValueType(reader, scope);
        if (reader.u8() !== 0x00) throw reader.malformed("refined variant case");
        return payload === undefined ? label : `${label}(${payload})`;
      });
      return `variant{${cases.join(",")}}`;
    }
    case 0x70:
      return `list<${readValueType(reader, scope)}>`;
    case 0x6f:
      return `tuple<${reader.vector(() => readValueType(reader, scope)).join(",")}>`;
    case 0x6e:
      return `flags{${reader.vector(() => reader.name()).join(",")}}`;
    case 0x6d:
      return `enum{${reader.vector(() => reader.name()).join(",")}}`;
    case 0x6b:
      return `option<${readValueType(reader, scope)}>`;
    case 0x6a: {
      const ok = readOptionalValueType(reader, scope) ?? "_";
      return `result<${ok},${readOptionalValueType(reader, scope) ?? "_"}>`;
    }
    default:
      throw unsupported(reader, `component type 0x${form.toString(16)}`);
  }
}

/** Import and export names: a kind byte, then the name. Later kinds carry options: refused. */
export function readExternalName(reader: ByteReader): string {
  const kind = reader.u8();
  if (kind > 1) throw unsupported(reader, "import or export name with options");
  return reader.name();
}

function readInstanceType(reader: ByteReader, parent: TypeScope): ComponentType {
  const scope: TypeScope = { types: [], parent };
  const exports = new Map<string, InstanceItem>();
  reader.vector(() => {
    const declaration = reader.u8();
    if (declaration === 0x01) return addType(reader, scope, readComponentType(reader, scope));
    if (declaration === 0x02) return addType(reader, scope, readTypeAlias(reader, scope));
    if (declaration !== 0x04) throw unsupported(reader, "core type in an instance type");
    const name = readExternalName(reader);
    const item = readDescription(reader, scope);
    if (item.sort === "type") addType(reader, scope, item.type);
    exports.set(name, item);
    return undefined;
  });
  return { kind: "instance", exports };
}

/** An alias within an instance type: only an outer type can stand there. */
function readTypeAlias(reader: ByteReader, scope: TypeScope): ComponentType {
  if (reader.u8() !== 0x03 || reader.u8() !== 0x02) {
    throw unsupported(reader, "alias other than an outer type in an instance type");
  }
  return readOuterType(reader, scope);
}

/** The count and index of an `outer` alias to a type. */
export function readOuterType(reader: ByteReader, scope: TypeScope): ComponentType {
  let target: TypeScope | undefined = scope;
  for (let count = reader.u32(); count > 0; count -= 1) {
    target = target?.parent;
    if (target === undefined) throw reader.malformed("outer alias beyond the component");
  }
  return typeAt(reader, target, reader.u32());
}

/** An extern description of a function, an instance (as its type) or an equal type. */
export function readDescription(reader: ByteReader, scope: TypeScope): InstanceItem {
  const sort = reader.u8();
  if (sort === 0x01) return { sort: "function", text: functionTypeAt(reader, scope, reader.u32()) };
  if (sort === 0x05) return { sort: "type", type: typeAt(reader, scope, reader.u32()) };
  if (sort !== 0x03) throw unsupported(reader, `import or export of sort ${sort}`);
  if (reader.u8() !== 0x00) throw unsupported(reader, "resources");
  return { sort: "type", type: typeAt(reader, scope, reader.u32()) };
}
