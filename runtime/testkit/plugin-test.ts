/**
 * Everything a plugin's source must pass before it is packaged, as `imker plugin test` runs it:
 * it builds, its types hold, every vector gives the same natively and sandboxed at every cut and
 * under mutation, and the author's own tests pass.
 */
import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { type BuiltPlugin, buildPlugin, refreshKeys } from "../build/build.ts";
import { digestOf } from "../contract/package.ts";
import { instantiate, prepareImage } from "../isolate/index.ts";
import { loadSource } from "./index.ts";
import { instantiateNative } from "./native.ts";
import { SteadyRunner } from "./steady-runner.ts";
import { checkVectors, type VectorReport } from "./vector-check.ts";
import { readVectors } from "./vectors.ts";

export interface ToolRun {
  ok: boolean;
  /** Everything it printed. */
  output: string;
}

export interface PluginTestReport {
  ok: boolean;
  plugin: string;
  digest: string;
  /** Of the package. */
  bytes: number;
  vectors: VectorReport;
  /** Absent: there is nothing to run, or nothing to run it with. */
  types?: ToolRun;
  unit?: ToolRun;
}

export interface PluginTestOptions {
  seed: number;
  /** Mutated versions of each vector. */
  mutations: number;
}

const FINDINGS_MAX = 10;

/** Tests the plugin in a folder. @throws BuildError when it does not build. */
export async function testPlugin(
  root: string,
  folder: string,
  options: PluginTestOptions,
): Promise<PluginTestReport> {
  refreshKeys(folder);
  const built = await buildPlugin(root, folder);
  const vectors = await runVectors(folder, built, options);
  const types = await checkTypes(folder);
  const unit = await runUnitTests(folder);
  const ok = vectors.findings.length === 0 && types?.ok !== false && unit?.ok !== false;
  return {
    ok,
    plugin: `${built.manifest.name} ${built.manifest.version}`,
    digest: digestOf(built.file),
    bytes: built.file.length,
    vectors,
    ...(types && { types }),
    ...(unit && { unit }),
  };
}

async function runVectors(
  folder: string,
  built: BuiltPlugin,
  options: PluginTestOptions,
): Promise<VectorReport> {
  const { manifest } = built;
  const image = prepareImage(built.component, { digest: digestOf(built.component), manifest });
  const createPlugin = await loadSource(folder);
  const runners = {
    native: new SteadyRunner(manifest, (imports) => instantiateNative(createPlugin, imports)),
    wasm: new SteadyRunner(manifest, (imports) => instantiate(image, imports)),
  };
  const vectors = readVectors(built.vectors);
  return checkVectors(vectors, runners, { ...options, findingsMax: FINDINGS_MAX });
}

async function checkTypes(folder: string): Promise<ToolRun | undefined> {
  if (!existsSync(join(folder, "tsconfig.json"))) return undefined;
  const tool = toolOf(folder, "typescript", "bin/tsc");
  return tool === undefined ? undefined : run(folder, [tool, "-p", "tsconfig.json"]);
}

async function runUnitTests(folder: string): Promise<ToolRun | undefined> {
  if (!readdirSync(folder).some((name) => name.endsWith(".test.ts"))) return undefined;
  const tool = toolOf(folder, "vitest", "vitest.mjs");
  if (tool === undefined) return undefined;
  return run(folder, [tool, "run", "--root", folder, "--no-color"]);
}

/** A tool of the project, else of this installation. */
function toolOf(folder: string, name: string, file: string): string | undefined {
  for (const from of [join(folder, "package.json"), import.meta.filename]) {
    try {
      const path = join(createRequire(from).resolve(`${name}/package.json`), "..", file);
      if (existsSync(path)) return path;
    } catch {
      // Not there: the next place.
    }
  }
  return undefined;
}

function run(folder: string, argv: string[]): Promise<ToolRun> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, NO_COLOR: "1" };
    const child = spawn(process.execPath, argv, { cwd: folder, env });
    let output = "";
    const collect = (chunk: Buffer) => {
      output += chunk.toString();
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.once("error", reject);
    child.once("close", (code) => resolve({ ok: code === 0, output: output.trim() }));
  });
}
