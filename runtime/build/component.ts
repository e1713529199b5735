/**
 * A core module to a component of the world `imker:l7/l7-plugin`: names the exports as the
 * canonical ABI wants, sees to it that the module is initialised before anything else runs (the
 * contract has no start functions), and lets jco embed the WIT and wrap it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { componentEmbed, componentNew } from "@bytecodealliance/jco";
import binaryen from "binaryen";
import { BuildError } from "./compile.ts";

const WIT = "runtime/contract/l7.wit";
const WORLD = "l7-plugin";
const START = "__start";

/** Function of the entry module → core export name of the contract's function. */
const EXPORTS: Record<string, string> = {
  cabi_realloc: "cabi_realloc",
  compile: "imker:l7/plugin@1.0.0#compile",
  load_: "imker:l7/plugin@1.0.0#load",
  unload: "imker:l7/plugin@1.0.0#unload",
  open: "imker:l7/plugin@1.0.0#open",
  setStages: "imker:l7/plugin@1.0.0#set-stages",
  onData: "imker:l7/plugin@1.0.0#on-data",
  close: "imker:l7/plugin@1.0.0#close",
};

/** Wraps a core module (from compilePlugin) as a component; `quick`: hardly optimised. */
export async function wrapComponent(
  root: string,
  core: Uint8Array,
  quick = false,
): Promise<Uint8Array> {
  return await wrapNamed(root, nameExports(core, quick));
}

/** Wraps a core module whose exports carry the contract's names already. */
export async function wrapNamed(root: string, binary: Uint8Array): Promise<Uint8Array> {
  const witSource = readFileSync(join(root, WIT), "utf8");
  const embedded = await componentEmbed({
    binary,
    witSource,
    world: WORLD,
    stringEncoding: "utf8",
  });
  return await componentNew(embedded);
}

/**
 * Renames the exports; each first runs the module's initialiser, which returns at once after the
 * first time.
 */
function nameExports(core: Uint8Array, quick: boolean): Uint8Array {
  const module = binaryen.readBinary(core);
  module.setFeatures(binaryen.Features.All);
  const start = internalName(module, START);
  for (const [name, exported] of Object.entries(EXPORTS)) {
    const inner = internalName(module, name);
    const info = binaryen.getFunctionInfo(module.getFunction(inner));
    const types = binaryen.expandType(info.params);
    const call = module.call(
      inner,
      types.map((type, index) => module.local.get(index, type)),
      info.results,
    );
    const body = module.block(null, [module.call(start, [], binaryen.none), call], info.results);
    module.addFunction(`${exported}/entry`, info.params, info.results, [], body);
    module.removeExport(name);
    module.addFunctionExport(`${exported}/entry`, exported);
  }
  module.removeExport(START);
  binaryen.setOptimizeLevel(quick ? 1 : 3);
  binaryen.setShrinkLevel(quick ? 0 : 1);
  module.optimize();
  const named = module.emitBinary();
  module.dispose();
  return named;
}

function internalName(module: binaryen.Module, name: string): string {
  for (let index = 0; index < module.getNumExports(); index++) {
    const info = binaryen.getExportInfo(module.getExportByIndex(index));
    if (info.name === name) return info.value;
  }
  throw new BuildError(`Cannot name the exports: the module has no ${name}`);
}
