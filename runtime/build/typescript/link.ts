/**
 * The component that componentize-qjs makes to one core module as the sandbox takes it. Inside are
 * a memory with the state of the started interpreter, the interpreter, the glue of the WIT world,
 * and a component of their own for what they import. Here the modules become one: named after each
 * other, stubs in place of WASI (host-stubs.ts), merged by Binaryen, exporting only the contract.
 * docs/decisions/0011 says why here and not in the sandbox.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import binaryen from "binaryen";
import { HOST_INTERFACE, PLUGIN_FUNCTIONS, PLUGIN_INTERFACE } from "../../isolate/world.ts";
import { BuildError } from "../compile.ts";
import type { CoreModuleView, FunctionType, ModuleImport } from "./core-modules.ts";
import { coreModulesOf, renameModule, viewModule } from "./core-modules.ts";
import { stubName, stubsSource } from "./host-stubs.ts";
import { lowerTailCalls } from "./tail-calls.ts";

const PLUGIN = `${PLUGIN_INTERFACE}#`;
const MAIN = "main";
const RUNTIME = "componentize_qjs_runtime.wasm";
const GLUE = "wit-dylib.wasm";
const STUBS = "stubs";
const MEMORY = "memory";
const REALLOC = "cabi_realloc";

/** Of a module with a name: an export that only it has. */
const MARKS: Record<string, string> = {
  [MAIN]: `${RUNTIME}:memory_base`,
  [RUNTIME]: "wit_dylib_initialize",
  [GLUE]: `${PLUGIN}compile`,
  shim: "$imports",
};
const FIXUP = "fixup";

type Modules = ReadonlyMap<string, CoreModuleView>;

/**
 * Links the core modules of a component of the world `imker:l7/l7-plugin`.
 * @param capabilities what of `imker:l7/host` stays an import.
 * @throws BuildError when the component is not of the shape known here.
 */
export async function linkComponent(
  component: Uint8Array,
  capabilities: readonly string[],
): Promise<Uint8Array> {
  const modules = nameModules(coreModulesOf(component).map(viewModule));
  const stubs = new Map<string, FunctionType>();
  const parts = new Map<string, Uint8Array>();
  for (const [self, view] of modules) {
    const renamed = renameModule(view, {
      import: (from) => targetOf(modules, self, from, capabilities, stubs),
      export: (name) => exportedAs(self, name),
    });
    parts.set(self, renamed);
  }
  const memory = { module: MAIN, name: exportedAs(MAIN, MEMORY) };
  parts.set(STUBS, assemble(stubsSource(stubs, memory)));
  parts.set("contract", assemble(contractSource()));
  return lowerTailCalls(exportContract(await merge(parts)));
}

/** By what they export; the fix-up fills tables and exports nothing. */
function nameModules(views: readonly CoreModuleView[]): Modules {
  const named = new Map<string, CoreModuleView>();
  for (const [name, mark] of Object.entries(MARKS)) {
    const view = views.find(({ exports }) => exports.has(mark));
    if (view === undefined) throw new BuildError(`Cannot link the interpreter: no ${name} module`);
    named.set(name, view);
  }
  const fixup = views.find(({ imports }) => imports.some(({ module }) => module === RUNTIME));
  if (fixup !== undefined) named.set(FIXUP, fixup);
  return named;
}

function exportedAs(module: string, name: string): string {
  return `${module}/${name}`;
}

/** Where an import leads, by the names that wit-component links libraries by. */
function targetOf(
  modules: Modules,
  self: string,
  from: ModuleImport,
  capabilities: readonly string[],
  stubs: Map<string, FunctionType>,
): { module: string; name: string } {
  if (from.module === HOST_INTERFACE && capabilities.includes(from.name)) return from;
  const { module, name } = homeOf(modules, self, from);
  if (module !== STUBS) return { module, name: exportedAs(module, name) };
  if (from.type === undefined) {
    throw new BuildError(`Cannot link the interpreter: nothing gives ${from.module} ${from.name}`);
  }
  stubs.set(name, from.type);
  return { module, name };
}

function homeOf(
  modules: Modules,
  self: string,
  { module, name, type }: ModuleImport,
): { module: string; name: string } {
  if (modules.has(module)) return { module, name };
  const isLibrary = module === "env" || module.startsWith("GOT.");
  if (isLibrary && type === undefined) {
    const base = /^__(memory|table)_base$/.exec(name)?.[1];
    if (base !== undefined) return { module: MAIN, name: `${self}:${base}_base` };
    return { module: MAIN, name: module === "GOT.func" ? `${self}:${name}` : name };
  }
  if (isLibrary && modules.get(RUNTIME)?.exports.has(name)) return { module: RUNTIME, name };
  if (isLibrary) throw new BuildError(`Cannot link the interpreter: nothing gives ${name}`);
  return { module: STUBS, name: stubName(module, name) };
}

function assemble(text: string): Uint8Array {
  const module = binaryen.parseText(text);
  module.setFeatures(binaryen.Features.All);
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

/** Binaryen's merger is a program only. */
async function merge(parts: ReadonlyMap<string, Uint8Array>): Promise<Uint8Array> {
  const folder = mkdtempSync(join(tmpdir(), "imker-link-"));
  try {
    const out = join(folder, "merged.wasm");
    const inputs: string[] = [];
    for (const [name, bytes] of parts) {
      const file = join(folder, `${name}.part`);
      writeFileSync(file, bytes);
      inputs.push(file, name);
    }
    const tool = createRequire(import.meta.url).resolve("binaryen/bin/wasm-merge");
    await run([tool, ...inputs, "--all-features", "-o", out]);
    return readFileSync(out);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function run(argv: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, argv, { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (chunk: Buffer) => {
      errors += chunk.toString();
    });
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) resolve();
      else reject(new BuildError(`Cannot merge the interpreter's modules: ${errors.trim()}`));
    });
  });
}

/**
 * The text of a module with the contract's functions whose result is no memory: each calls the
 * glue's, and then what ends the call there, because the host ends only calls that leave memory.
 */
function contractSource(): string {
  const functions = [...PLUGIN_FUNCTIONS].flatMap(([name, { core, memoryResult }]) => {
    if (memoryResult) return [];
    const [params = "", results = ""] = core.split("->").map((list) => list.slice(1, -1));
    const type = `(param ${params}) (result ${results})`;
    const args = params.split(" ").map((_, index) => `(local.get ${index})`);
    const call = `(call $${name} ${args.join(" ")})`;
    const body =
      results === ""
        ? `${call} (call $end-${name})`
        : `(local $result ${results}) (call $end-${name} (local.tee $result ${call})) ` +
          "(local.get $result)";
    const from = (exported: string) => `(import "${GLUE}" "${exportedAs(GLUE, exported)}"`;
    return [
      {
        imports:
          `${from(PLUGIN + name)} (func $${name} ${type}))\n` +
          `${from(`cabi_post_${PLUGIN}${name}`)} (func $end-${name} (param ${results})))`,
        body: `(func (export "${PLUGIN}${name}") ${type} ${body})`,
      },
    ];
  });
  const imports = functions.map((one) => one.imports).join("\n");
  return `(module ${imports}\n${functions.map(({ body }) => body).join("\n")}\n)`;
}

/** Leaves the contract's exports only, under its names. */
function exportContract(merged: Uint8Array): Uint8Array {
  const exported = new Map([
    [exportedAs(MAIN, MEMORY), MEMORY],
    [exportedAs(RUNTIME, REALLOC), REALLOC],
  ]);
  for (const [name, { memoryResult }] of PLUGIN_FUNCTIONS) {
    const names = memoryResult ? [PLUGIN + name, `cabi_post_${PLUGIN}${name}`] : [];
    for (const own of names) exported.set(exportedAs(GLUE, own), own);
  }
  return renameModule(viewModule(merged), {
    import: (from) => from,
    export: (name) => (name.startsWith(PLUGIN) ? name : exported.get(name)),
  });
}
