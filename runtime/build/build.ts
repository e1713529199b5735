/**
 * A plugin folder to what is uploaded: one file with the component, its checked manifest and its
 * vectors (docs/decisions/0008).
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Manifest, manifestSchema } from "../contract/manifest.ts";
import { assemblePackage } from "../contract/package.ts";
import { BuildError, compilePlugin } from "./compile.ts";
import { wrapComponent, wrapNamed } from "./component.ts";
import { keysSource } from "./keys.ts";

export interface BuiltPlugin {
  manifest: Manifest;
  /** Text of `vectors.md`; empty without one. */
  vectors: string;
  component: Uint8Array;
  /** The package: component, manifest and vectors in one file, not signed. */
  file: Uint8Array;
}

export interface BuildOptions {
  /** Less optimised and much sooner. */
  quick?: boolean;
  /** In place of the manifest's version, and of its language. */
  version?: string;
  language?: Manifest["language"];
}

/**
 * Builds the plugin in a folder. The same source gives the same bytes, wherever it lies.
 * @throws BuildError naming the file and what is wrong.
 */
export async function buildPlugin(
  root: string,
  folder: string,
  options: BuildOptions = {},
): Promise<BuiltPlugin> {
  const { quick = false } = options;
  const read = readPluginManifest(folder);
  const { version = read.version, language = read.language } = options;
  const manifest: Manifest = { ...read, version, ...(language && { language }) };
  const vectors = readVectorText(folder);
  const component = await buildComponent(root, folder, manifest, quick);
  return { manifest, vectors, component, file: assemblePackage(component, manifest, vectors) };
}

async function buildComponent(
  root: string,
  folder: string,
  { language, capabilities }: Manifest,
  quick: boolean,
): Promise<Uint8Array> {
  if (language !== "typescript") {
    const core = await compilePlugin({ root, plugin: folder, quick });
    return await wrapComponent(root, core, quick);
  }
  // The bundler and the interpreter are loaded when they are needed.
  const { compileFullTypeScript } = await import("./typescript/quickjs.ts");
  return await wrapNamed(root, await compileFullTypeScript({ root, plugin: folder, capabilities }));
}

/** Text of the folder's `vectors.md`; empty without one. */
export function readVectorText(folder: string): string {
  const file = join(folder, "vectors.md");
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}

/**
 * Brings the folder's `keys.ts` up to date with its manifest, if it has one.
 * @returns whether it changed.
 */
export function refreshKeys(folder: string): boolean {
  const file = join(folder, "keys.ts");
  if (!existsSync(file)) return false;
  const source = keysSource(readPluginManifest(folder));
  if (readFileSync(file, "utf8") === source) return false;
  writeFileSync(file, source);
  return true;
}

/** The folder's `plugin.json`. @throws BuildError naming the field that is wrong. */
export function readPluginManifest(folder: string): Manifest {
  const file = join(folder, "plugin.json");
  if (!existsSync(file)) throw new BuildError(`Cannot read ${file}: no such file`);
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    throw new BuildError(`Cannot read ${file}: not JSON`, { cause });
  }
  const parsed = manifestSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  const issues = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new BuildError(`Cannot use ${file}: ${issues.join("; ")}`);
}
