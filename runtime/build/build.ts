/**
 * A plugin folder to what is uploaded: one file with the component, its checked manifest and its
 * vectors (docs/decisions/0008).
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Manifest, manifestSchema } from "../contract/manifest.ts";
import { assemblePackage } from "../contract/package.ts";
import { BuildError, compilePlugin } from "./compile.ts";
import { wrapComponent, wrapNamed } from "./component.ts";
import { KEYS_MARK, keysSource } from "./keys.ts";

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
 * Brings the folder's `keys.ts` up to date with its manifest, and makes it if a source imports it.
 * @returns whether it was written.
 * @throws BuildError when a file of somebody's own has that name, and for the manifest.
 */
export function refreshKeys(folder: string): boolean {
  const file = join(folder, "keys.ts");
  const before = existsSync(file) ? readFileSync(file, "utf8") : undefined;
  if (before === undefined && !importsKeys(folder)) return false;
  if (before !== undefined && before.trim() !== "" && !before.startsWith(KEYS_MARK)) {
    throw new BuildError(
      `Cannot write ${file}: it is not one of ours; rename it, the names of plugin.json go there`,
    );
  }
  const source = keysSource(readPluginManifest(folder));
  if (before === source) return false;
  writeFileSync(file, source);
  return true;
}

function importsKeys(folder: string): boolean {
  if (!existsSync(folder)) return false;
  return readdirSync(folder)
    .filter((name) => name.endsWith(".ts"))
    .some((name) => /from "\.\/keys\.ts"/.test(readFileSync(join(folder, name), "utf8")));
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
