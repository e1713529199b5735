/**
 * What a component means for world `imker:l7/l7-plugin`: checks that its imports and exports are
 * the world's, finds the one core module that runs code and the core functions behind each lifted
 * one, and proves that the shim and fix-up modules of wit-component only pass calls on, so that the
 * host's functions can be handed to the core module directly.
 */
import { ByteReader } from "./binary.ts";
import type { ComponentScope, CoreInstance, CoreItem } from "./component-scope.ts";
import { readComponent } from "./component-scope.ts";
import type { CoreModule } from "./core-module.ts";
import { functionType, signature } from "./core-module.ts";
import { PluginImageError } from "./errors.ts";
import { OP } from "./opcodes.ts";
import {
  HOST_FUNCTIONS,
  HOST_INTERFACE,
  PLUGIN_FUNCTIONS,
  PLUGIN_INTERFACE,
  TYPES_INTERFACE,
} from "./world.ts";

export const COMPONENT_BYTES_MAX = 8_388_608;

/** A component of the world, taken apart. Indices are core functions of `module`. */
export interface PluginComponent {
  /** The bytes of the core module alone. */
  moduleBytes: Uint8Array;
  module: CoreModule;
  /** By name within the plugin interface. */
  functions: Map<string, { index: number; postReturn: number | undefined }>;
  realloc: number;
}

function refuse(where: string, state: string): PluginImageError {
  return new PluginImageError("world", where, state);
}

/** Takes `bytes` apart. Throws PluginImageError. */
export function openComponent(bytes: Uint8Array, capabilities: readonly string[]): PluginComponent {
  if (bytes.length > COMPONENT_BYTES_MAX) {
    const state = `${bytes.length} bytes, limit ${COMPONENT_BYTES_MAX}`;
    throw new PluginImageError("limit", "component", state);
  }
  const scope = readComponent(new ByteReader(bytes, "component"));
  checkImports(scope, capabilities);
  return link(scope);
}

function checkImports(scope: ComponentScope, capabilities: readonly string[]): void {
  for (const { imported, items } of scope.instances) {
    if (imported === undefined) continue;
    for (const [name, item] of items) {
      const where = `import ${imported} ${name}`;
      if (item.sort !== "function") continue;
      const wanted = imported === HOST_INTERFACE ? HOST_FUNCTIONS.get(name) : undefined;
      if (wanted === undefined) throw refuse(where, "not in the world");
      if (item.function.text !== wanted.type) throw refuse(where, `type is ${item.function.text}`);
      if (!capabilities.includes(name)) {
        throw new PluginImageError("capability", where, "not a capability of the manifest");
      }
    }
    if (imported !== HOST_INTERFACE && imported !== TYPES_INTERFACE) {
      throw refuse(`import ${imported}`, "not in the world");
    }
  }
}

/** The linked world, and checks that need more than one part of it. */
function link(scope: ComponentScope): PluginComponent {
  const found = new Map<string, { index: number; postReturn: number | undefined }>();
  let main: (CoreInstance & { kind: "module" }) | undefined;
  let realloc: number | undefined;
  for (const [name, item] of pluginFunctions(scope)) {
    const where = `export ${name}`;
    const wanted = PLUGIN_FUNCTIONS.get(name);
    if (wanted === undefined) continue;
    if (item.text !== wanted.type) throw refuse(where, `type is ${item.text}`);
    const { core, options } = item;
    if (core.kind !== "export" || core.instance.kind !== "module") {
      throw refuse(where, "not a function of a core module");
    }
    main ??= core.instance;
    const resolve = (target: CoreItem, type: string): number =>
      resolveExport(where, main, target, type);
    const index = resolve(core, wanted.core);
    const postReturn = options.postReturn && resolve(options.postReturn, "(i32)->()");
    if (postReturn !== undefined && !wanted.memoryResult) throw refuse(where, "post-return");
    if (!options.utf8) throw new PluginImageError("unsupported", where, "strings other than UTF-8");
    checkMemory(where, main, options.memory);
    if (options.realloc) {
      const used = resolve(options.realloc, "(i32 i32 i32 i32)->(i32)");
      if (realloc !== undefined && realloc !== used) throw refuse(where, "second realloc");
      realloc = used;
    }
    found.set(name, { index, postReturn });
  }
  for (const name of PLUGIN_FUNCTIONS.keys()) {
    if (!found.has(name)) throw refuse(`export ${PLUGIN_INTERFACE}#${name}`, "missing");
  }
  if (main === undefined || realloc === undefined) throw refuse("component", "no realloc");
  checkLinks(scope, main);
  const { module } = main;
  const moduleBytes = module.bytes.subarray(module.range.start, module.range.end);
  return { moduleBytes, module, functions: found, realloc };
}

function* pluginFunctions(
  scope: ComponentScope,
): Generator<[string, ComponentScope["functions"][number] & { kind: "lifted" }]> {
  for (const [name, item] of scope.exports) {
    if (name !== PLUGIN_INTERFACE || item.sort !== "instance") {
      throw refuse(`export ${name}`, "not in the world");
    }
    for (const [member, entry] of item.instance.items) {
      if (entry.sort === "type") continue;
      if (entry.sort === "instance" || entry.function.kind !== "lifted") {
        throw refuse(`export ${name}#${member}`, "not a lifted function");
      }
      if (!PLUGIN_FUNCTIONS.has(member))
        throw refuse(`export ${name}#${member}`, "not in the world");
      yield [member, entry.function];
    }
  }
}

function resolveExport(
  where: string,
  main: CoreInstance | undefined,
  target: CoreItem,
  type: string,
): number {
  if (target.kind !== "export" || target.instance.kind !== "module" || target.instance !== main) {
    throw refuse(where, "more than one core module runs code");
  }
  const { module } = target.instance;
  const found = module.exports.find(({ name, kind }) => name === target.name && kind === 0);
  if (found === undefined) throw refuse(where, `core module does not export ${target.name}`);
  if (found.index < module.imports.length) throw refuse(where, "an import is exported");
  const actual = signature(functionType(module, found.index));
  if (actual !== type) throw refuse(where, `core type of ${target.name} is ${actual}, not ${type}`);
  return found.index;
}

function checkMemory(where: string, main: CoreInstance, memory: CoreItem | undefined): void {
  if (memory === undefined) return;
  if (memory.kind !== "export" || memory.instance !== main) {
    throw refuse(where, "memory of another module");
  }
}

/** Every import of the main module must come out as the host function of its own name. */
function checkLinks(scope: ComponentScope, main: CoreInstance & { kind: "module" }): void {
  const { module } = main;
  if (module.importedTables.length > 0) throw refuse("core module", "imports a table");
  for (const [index, { module: from, name }] of module.imports.entries()) {
    const where = `core import ${from} ${name}`;
    const arg = main.args.get(from);
    const item = arg && exported(arg, name);
    const lowered = item && throughShim(scope, where, item);
    if (lowered?.kind !== "lowered" || lowered.callee.kind !== "imported") {
      throw refuse(where, "not a function of the world");
    }
    const { callee, options } = lowered;
    if (callee.name !== name || callee.interface !== HOST_INTERFACE) {
      throw refuse(where, `linked to ${callee.interface} ${callee.name}`);
    }
    const actual = signature(functionType(module, index));
    if (actual !== HOST_FUNCTIONS.get(name)?.core) throw refuse(where, `core type is ${actual}`);
    if (!options.utf8) throw new PluginImageError("unsupported", where, "strings other than UTF-8");
    checkMemory(where, main, options.memory);
  }
  for (const instance of scope.coreInstances) {
    if (instance.kind === "module" && instance !== main && !isAdapter(instance.module)) {
      throw refuse("component", "more than one core module runs code");
    }
  }
}

function exported(instance: CoreInstance, name: string): CoreItem | undefined {
  if (instance.kind === "inline") return instance.exports.get(name);
  return { kind: "export", instance, name };
}

/** Follows `item` through a shim's table slot to what the fix-up puts there. */
function throughShim(scope: ComponentScope, where: string, item: CoreItem): CoreItem | undefined {
  if (item.kind === "lowered") return item;
  const { instance, name } = item;
  if (instance.kind === "inline") return undefined;
  const slot = shimSlots(instance.module)?.get(name);
  if (slot === undefined) throw refuse(where, "comes from another core module");
  for (const fixup of scope.coreInstances) {
    if (fixup.kind !== "module" || !fillsTableOf(fixup, instance)) continue;
    const filled = fixup.module.imports[slot];
    const source = filled && fixup.args.get(filled.module);
    return filled && source && exported(source, filled.name);
  }
  throw refuse(where, "its shim is never filled");
}

/**
 * Export name → table slot, when each function of the module is exactly "pass my parameters to
 * call_indirect of constant slot"; undefined when any is not.
 */
function shimSlots(module: CoreModule): Map<string, number> | undefined {
  if (module.imports.length > 0 || module.tables.length !== 1 || module.memory) return undefined;
  const slots: number[] = [];
  for (const [index, { start, end }] of module.bodies.entries()) {
    const type = functionType(module, index);
    const reader = new ByteReader(module.bytes, "shim", start, end);
    if (type === undefined || reader.u8() !== 0) return undefined;
    for (let param = 0; param < type.params.length; param += 1) {
      if (reader.u8() !== OP.localGet || reader.u32() !== param) return undefined;
    }
    if (reader.u8() !== OP.i32Const) return undefined;
    slots.push(reader.s33());
    if (reader.u8() !== OP.callIndirect || reader.u32() !== module.functions[index]) {
      return undefined;
    }
    if (reader.u32() !== 0 || reader.u8() !== OP.end || !reader.done) return undefined;
  }
  const named = new Map<string, number>();
  for (const { name, kind, index } of module.exports) {
    const slot = slots[index];
    if (kind === 0 && slot !== undefined) named.set(name, slot);
  }
  return named;
}

/** Whether `fixup` writes its imports 0..n-1 into slots 0..n-1 of the table `shim` exports. */
function fillsTableOf(fixup: CoreInstance & { kind: "module" }, shim: CoreInstance): boolean {
  const { module, args } = fixup;
  if (!isFixup(module) || ![...args.values()].includes(shim)) return false;
  return module.referencedFunctions.every((index, slot) => index === slot);
}

function isFixup(module: CoreModule): boolean {
  const elements = module.copied.get(9);
  if (module.bodies.length > 0 || module.importedTables.length !== 1 || !elements) return false;
  // One active segment of functions for table 0 at offset 0.
  const head = module.bytes.subarray(elements.start, elements.start + 5);
  return [1, 0, OP.i32Const, 0, OP.end].every((byte, index) => head[index] === byte);
}

function isAdapter(module: CoreModule): boolean {
  return isFixup(module) || shimSlots(module) !== undefined;
}
