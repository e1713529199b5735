/**
 * The component of a plugin folder for tests: built from the sources as they are, once for each
 * state.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { buildPlugin } from "../build/build.ts";
import { instantiate, prepareImage } from "../isolate/index.ts";
import type { HostImports, PluginImage, PluginInstance } from "../isolate/types.ts";
import { readManifest } from "./run-vector.ts";

/** Root of the tree. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

const SOURCES = ["runtime/sdk", "runtime/build", "runtime/build/assembly", "plugins/wire"];

/** The component of `plugins/<name>`. */
export async function builtComponent(folder: string): Promise<Uint8Array> {
  const hash = createHash("sha256");
  for (const source of [...SOURCES.map((path) => join(ROOT, path)), folder]) {
    if (!existsSync(source)) continue;
    for (const entry of readdirSync(source, { withFileTypes: true })) {
      if (!entry.isFile() || entry.name.endsWith(".test.ts")) continue;
      hash.update(entry.name).update(readFileSync(join(source, entry.name)));
    }
  }
  hash.update(readFileSync(join(ROOT, "runtime/contract/l7.wit")));
  const cache = join(ROOT, ".build/testkit");
  const file = join(cache, `${basename(folder)}-${hash.digest("hex").slice(0, 16)}.wasm`);
  if (existsSync(file)) return readFileSync(file);
  const { component } = await buildPlugin(ROOT, folder);
  mkdirSync(cache, { recursive: true });
  // Test files run side by side: nobody may see half of it.
  writeFileSync(`${file}.${process.pid}`, component);
  renameSync(`${file}.${process.pid}`, file);
  return component;
}

/** The component as an image for `instantiateImage`. */
export async function builtImage(folder: string): Promise<PluginImage> {
  const component = await builtComponent(folder);
  const digest = `sha256:${createHash("sha256").update(component).digest("hex")}`;
  return prepareImage(component, { digest, manifest: readManifest(folder) });
}

/** A sandboxed instance. */
export function instantiateImage(image: PluginImage, imports: HostImports): PluginInstance {
  return instantiate(image, imports);
}
