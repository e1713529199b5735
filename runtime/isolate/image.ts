/**
 * From component bytes to a PluginImage: taken apart (component.ts), checked by the engine itself,
 * metered (meter.ts) and compiled. This is the only way in; an image can then be posted to workers.
 */
import type { Manifest } from "../contract/manifest.ts";
import { openComponent } from "./component.ts";
import type { CoreModule } from "./core-module.ts";
import { PluginImageError } from "./errors.ts";
import { meterModule } from "./meter.ts";
import type { MeterExports } from "./meter-wrappers.ts";
import { METERED_EXPORT } from "./meter-wrappers.ts";
import type { PluginImage } from "./types.ts";
import { HOST_INTERFACE } from "./world.ts";

/** Export name of a function's post-return in the metered module. */
export function postReturnName(name: string): string {
  return `post:${name}`;
}

/** A component's code, metered and not yet compiled. */
export interface MeteredComponent {
  bytes: Uint8Array<ArrayBuffer>;
  /** The core module before it was metered. */
  source: CoreModule;
  exports: PluginImage["exports"];
}

/**
 * Makes a component runnable.
 * @throws PluginImageError that says what is wrong, and where, for anything not supported or not
 * allowed by the manifest.
 */
export function prepareImage(
  component: Uint8Array,
  plugin: { digest: string; manifest: Manifest },
): PluginImage {
  const { bytes, exports } = meterComponent(component, plugin.manifest);
  return {
    digest: plugin.digest,
    manifest: plugin.manifest,
    module: compileModule(bytes),
    exports,
  };
}

/** The part of `prepareImage` before compiling. @throws PluginImageError. */
export function meterComponent(component: Uint8Array, manifest: Manifest): MeteredComponent {
  const { moduleBytes, module, functions, realloc } = openComponent(
    component,
    manifest.capabilities,
  );
  // The meter appends globals and functions: only a valid module is sure not to name them.
  if (!WebAssembly.validate(moduleBytes as Uint8Array<ArrayBuffer>)) {
    throw new PluginImageError("malformed", "core module", "not valid WebAssembly");
  }
  const names: Record<string, string> = {};
  const exports: MeterExports = {
    realloc,
    onData: functions.get("on-data")?.index ?? 0,
    plain: [],
  };
  for (const [name, { index, postReturn }] of functions) {
    names[name] = name;
    const ownBudget = name === "unload" || name === "close";
    if (name !== "on-data") exports.plain.push({ name, index, ownBudget });
    if (postReturn === undefined) continue;
    names[postReturnName(name)] = postReturnName(name);
    exports.plain.push({ name: postReturnName(name), index: postReturn, ownBudget: false });
  }
  for (const name of Object.values(METERED_EXPORT)) names[name] = name;
  const bytes = meterModule(module, manifest.limits, exports);
  return { bytes, source: module, exports: names };
}

function compileModule(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  let module: WebAssembly.Module;
  try {
    module = new WebAssembly.Module(bytes);
  } catch (cause) {
    throw new PluginImageError("unsupported", "metered core module", String(cause), { cause });
  }
  compileFunctions(module);
  return module;
}

/**
 * Has the engine compile every function now, for all threads: left to their first calls, compiling
 * would fall to whoever's bytes come first, and a plugin of many large functions could take far
 * longer for a call than its fuel says. An instance that cannot start says so when one is wanted.
 */
function compileFunctions(module: WebAssembly.Module): void {
  const nothing = (): number => 0;
  const host = Object.fromEntries(
    WebAssembly.Module.imports(module).map(({ name }) => [name, nothing]),
  );
  let touch: unknown;
  try {
    const instance = new WebAssembly.Instance(module, { [HOST_INTERFACE]: host });
    touch = instance.exports[METERED_EXPORT.touch];
  } catch {
    return;
  }
  if (typeof touch !== "function") return;
  for (let at = 0, compiled = false; !compiled; at += 1) {
    try {
      compiled = touch(at) === 1;
    } catch (error) {
      // Without fuel it traps, once it is compiled.
      if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    }
  }
}
