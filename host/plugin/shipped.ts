/** The plugins that this tree brings, for what compiles rules without an agent and its store. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { PluginVersion } from "../../runtime/contract/control.ts";
import { readPackage } from "../../runtime/contract/package.ts";
import { prepareImage } from "../../runtime/isolate/index.ts";
import type { PluginImage } from "../../runtime/isolate/types.ts";

export interface ShippedPlugin {
  version: PluginVersion;
  image: PluginImage;
}

/** Every `<folder>/<name>/plugin.wasm`. Throws what is wrong with one, with its path. */
export function readShipped(folder: string): ShippedPlugin[] {
  return readdirSync(folder)
    .sort()
    .map((name) => join(folder, name, "plugin.wasm"))
    .filter((path) => existsSync(path))
    .map(readPlugin);
}

function readPlugin(path: string): ShippedPlugin {
  try {
    const { digest, manifest, body } = readPackage(readFileSync(path));
    const image = prepareImage(body, { digest, manifest });
    return { version: { digest, manifest, path }, image };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot load ${path}: ${reason}`, { cause });
  }
}
