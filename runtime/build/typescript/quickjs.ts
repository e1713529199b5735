/**
 * Full TypeScript to a core module: the source, bundled (bundle.ts), inside the interpreter QuickJS
 * as componentize-qjs embeds it, linked to one module (link.ts). The interpreter has started and
 * the source has run when the module is made, so an instance begins where `createPlugin` returned.
 */
import { join } from "node:path";
import { componentize } from "componentize-qjs";
import { BuildError } from "../compile.ts";
import { bundlePlugin } from "./bundle.ts";
import { linkComponent } from "./link.ts";

export interface FullTypeScriptInput {
  /** Root of the tree, absolute. */
  root: string;
  /** Folder of the plugin, absolute, with `plugin.ts` in it. */
  plugin: string;
  /** Of the manifest. */
  capabilities: readonly string[];
}

/**
 * Compiles a plugin in full TypeScript.
 * @returns the core module, its exports named as the canonical ABI wants.
 * @throws BuildError with the bundler's or the interpreter's messages.
 */
export async function compileFullTypeScript(input: FullTypeScriptInput): Promise<Uint8Array> {
  const jsSource = await bundlePlugin(input.root, input.plugin);
  const component = await snapshot(join(input.root, "runtime/contract/l7.wit"), jsSource);
  return await linkComponent(component, input.capabilities);
}

async function snapshot(witPath: string, jsSource: string): Promise<Uint8Array> {
  try {
    const options = { witPath, jsSource, sync: true, optSize: true };
    return (await componentize(options)).component;
  } catch (cause) {
    const message = cause instanceof Error ? cause.message : String(cause);
    throw new BuildError(`Cannot start the plugin in QuickJS: ${message}`, { cause });
  }
}
