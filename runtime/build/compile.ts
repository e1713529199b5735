/**
 * Portable TypeScript to a core WebAssembly module, with AssemblyScript's compiler. Owns what the
 * sandbox needs that the portable source does not say: the files that stand in for the native
 * memory and host, the entry module, and the collector. component.ts takes it from here.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, posix, relative } from "node:path";
import asc from "assemblyscript/asc";
import { changeCollector } from "./collector.ts";

/** The plugin's source is not in the portable subset, or not there. */
export class BuildError extends Error {
  override readonly name = "BuildError";
}

export interface CompileInput {
  /** Root of the tree, absolute. */
  root: string;
  /** Folder of the plugin, absolute, with `plugin.ts` in it; in the tree or anywhere else. */
  plugin: string;
  /** Less optimised and much sooner: while somebody waits for it (`plugin dev`). */
  quick?: boolean;
}

/** Native file → what the sandbox gets in its place. */
const REPLACED: Record<string, string> = {
  "runtime/sdk/memory.ts": "runtime/build/assembly/memory.as",
  "runtime/sdk/host.ts": "runtime/build/assembly/host.as",
  "runtime/build/assembly/entry.ts": "runtime/build/assembly/entry.as",
};

const ENTRY = "runtime/build/assembly/entry.ts";

/** Files outside the tree, to the compiler: it knows relative paths only. */
const OUTSIDE = "outside";
/** What authors call the SDK, wherever their project is. */
const SDK_SPECIFIER = /(\bfrom )"imker\/sdk\//g;
const SDK = "runtime/sdk";

/** A third smaller than without `shrinkLevel`, and as fast; `converge` changes neither. */
const OPTIMISED = ["-O3", "--shrinkLevel=1"];
const QUICK = ["-O0"];
const OPTIONS = [
  "--outFile=plugin.wasm",
  "--runtime=minimal",
  "--exportStart=__start",
  "--use=abort=",
  "--disableWarning=235",
  // The compiler colours its report wherever CI is set, and problems() reads that report.
  "--noColors",
];

/**
 * Compiles a plugin.
 * @returns the core module: its exports carry the names of the entry module's functions.
 * @throws BuildError with the compiler's messages.
 */
export async function compilePlugin(input: CompileInput): Promise<Uint8Array> {
  const unlike = changeCollector(asc.libraryFiles);
  if (unlike !== undefined) {
    throw new BuildError(`Cannot change the collector: ${unlike} is not as expected`);
  }
  const outputs = new Map<string, Uint8Array | string>();
  const messages: string[] = [];
  const collect = { write: (chunk: string | Uint8Array) => void messages.push(String(chunk)) };
  const { error } = await asc.main([ENTRY, ...OPTIONS, ...(input.quick ? QUICK : OPTIMISED)], {
    stdout: collect,
    stderr: collect,
    readFile: (name: string) => readSource(input, name),
    writeFile: (name: string, contents: Uint8Array | string) => void outputs.set(name, contents),
    listFiles: () => [],
  });
  const module = outputs.get("plugin.wasm");
  if (error !== null || !(module instanceof Uint8Array)) {
    throw new BuildError(`Cannot compile ${input.plugin}:\n${problems(input, messages.join(""))}`);
  }
  return module;
}

function readSource(input: CompileInput, name: string): string | null {
  const path = posix.normalize(name.replaceAll("\\", "/"));
  const file = fileOf(input, path);
  if (!existsSync(file)) return null;
  const text = readFileSync(file, "utf8");
  if (path === ENTRY) {
    const entry = relative(posix.dirname(ENTRY), `${compilerPath(input)}/plugin.ts`);
    return text.replace('"PLUGIN"', JSON.stringify(entry));
  }
  return portable(path, text);
}

/** The plugin's folder as the compiler is told. */
function compilerPath(input: CompileInput): string {
  const path = relative(input.root, input.plugin);
  return path.startsWith("..") ? OUTSIDE + input.plugin : path;
}

function fileOf(input: CompileInput, path: string): string {
  if (path.startsWith(`${OUTSIDE}/`)) return path.slice(OUTSIDE.length);
  return join(input.root, REPLACED[path] ?? path);
}

function portable(path: string, text: string): string {
  const sdk = relative(posix.dirname(path), SDK);
  // The compiler has no word for a type-only import; to it a class is always both.
  return text
    .replaceAll(SDK_SPECIFIER, `$1"${sdk}/`)
    .replaceAll(/^import type /gm, "import ")
    .replaceAll(
      /^import \{([^}]*)\}/gm,
      (_all, names: string) => `import {${names.replaceAll(/\btype /g, "")}}`,
    );
}

/** The compiler's report as one line for each problem: `plugin.ts:3:14: message`. */
function problems(input: CompileInput, report: string): string {
  const folder = `${compilerPath(input)}/`;
  const found: string[] = [];
  for (const block of report.split(/^(?=ERROR |FAILURE )/m)) {
    const message = /^(?:ERROR|FAILURE) (.*)/.exec(block)?.[1];
    const place = / in (\S+)\((\d+),(\d+)\)/.exec(block);
    if (message === undefined) continue;
    if (place === null) found.push(message);
    else found.push(`${(place[1] ?? "").replace(folder, "")}:${place[2]}:${place[3]}: ${message}`);
  }
  return found.length > 0 ? found.join("\n") : report.trim();
}
