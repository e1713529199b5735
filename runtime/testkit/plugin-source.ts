/**
 * A plugin to run recorded traffic on: a package, which runs sandboxed, or a project folder, which
 * is built and runs both ways.
 */
import { readFileSync, statSync } from "node:fs";
import { buildPlugin } from "../build/build.ts";
import { BuildError } from "../build/compile.ts";
import type { Manifest } from "../contract/manifest.ts";
import { readPackage } from "../contract/package.ts";
import { instantiate, prepareImage } from "../isolate/index.ts";
import { loadSource } from "./index.ts";
import { instantiateNative } from "./native.ts";
import { SteadyRunner } from "./steady-runner.ts";

export interface RunnablePlugin {
  manifest: Manifest;
  /** Of the package. */
  digest: string;
  wasm: SteadyRunner;
  /** Absent: there is no source. */
  native?: SteadyRunner;
}

/** Opens a package or a project. @throws PackageError, BuildError, PluginImageError. */
export async function openPlugin(root: string, path: string): Promise<RunnablePlugin> {
  const folder = statSync(path, { throwIfNoEntry: false })?.isDirectory();
  if (folder === undefined) throw new BuildError(`Cannot open ${path}: no such file or folder`);
  const file = folder ? (await buildPlugin(root, path)).file : readFileSync(path);
  const { body, digest, manifest } = readPackage(file);
  const image = prepareImage(body, { digest, manifest });
  const wasm = new SteadyRunner(manifest, (imports) => instantiate(image, imports));
  if (!folder) return { manifest, digest, wasm };
  const createPlugin = await loadSource(path);
  const native = new SteadyRunner(manifest, (imports) => instantiateNative(createPlugin, imports));
  return { manifest, digest, wasm, native };
}
