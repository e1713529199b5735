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
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { buildPlugin } from "../build/build.ts";
import { instantiate, prepareImage } from "../isolate/index.ts";
import type { HostImports, PluginImage, PluginInstance } from "../isolate/types.ts";
import { readManifest } from "./run-vector.ts";

/** Root of the tree. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

const SOURCES = [
  "runtime/sdk",
  "runtime/build",
  "runtime/build/assembly",
  "runtime/build/typescript",
  "runtime/build/typescript/guest",
  "runtime/testkit",
  "plugins/wire",
];

/** A build that takes longer was killed: its lock is void. */
const BUILD_MS_MAX = 120_000;
const WAIT_MS = 100;

/** The component of `plugins/<name>`. Test files run side by side: one builds, the others wait. */
export async function builtComponent(folder: string): Promise<Uint8Array> {
  const cache = join(ROOT, ".build/testkit");
  const file = join(cache, `${basename(folder)}-${sourceHash(folder)}.wasm`);
  const lock = `${file}.lock`;
  mkdirSync(cache, { recursive: true });
  while (!existsSync(file)) {
    if (!takeLock(lock)) {
      await setTimeout(WAIT_MS);
      continue;
    }
    try {
      const { component } = await buildPlugin(ROOT, folder);
      writeFileSync(`${file}.part`, component);
      renameSync(`${file}.part`, file);
    } finally {
      rmSync(lock, { recursive: true, force: true });
    }
  }
  return readFileSync(file);
}

function takeLock(lock: string): boolean {
  try {
    mkdirSync(lock);
    return true;
  } catch {
    const made = statSync(lock, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (made > 0 && Date.now() - made > BUILD_MS_MAX)
      rmSync(lock, { recursive: true, force: true });
    return false;
  }
}

function sourceHash(folder: string): string {
  const hash = createHash("sha256");
  for (const source of [...SOURCES.map((path) => join(ROOT, path)), folder]) {
    if (!existsSync(source)) continue;
    for (const entry of readdirSync(source, { withFileTypes: true })) {
      if (!/\.(as|json|ts)$/.test(entry.name) || entry.name.endsWith(".test.ts")) continue;
      hash.update(entry.name).update(readFileSync(join(source, entry.name)));
    }
  }
  hash.update(readFileSync(join(ROOT, "runtime/contract/l7.wit")));
  return hash.digest("hex").slice(0, 16);
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
