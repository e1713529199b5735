/**
 * Portable TypeScript to a core WebAssembly module, with AssemblyScript's compiler. Owns what the
 * sandbox needs that the portable source does not say: the files that stand in for the native
 * memory and host, the entry module, and the collector's counter. component.ts takes it from here.
 */
import { existsSync, readFileSync } from "node:fs";
import { join, posix, relative } from "node:path";
import asc from "assemblyscript/asc";

/** The plugin's source is not in the portable subset, or not there. */
export class BuildError extends Error {
  override readonly name = "BuildError";
}

export interface CompileInput {
  /** Root of the tree, absolute. */
  root: string;
  /** Folder of the plugin, absolute, with `plugin.ts` in it. */
  plugin: string;
}

/** Native file → what the sandbox gets in its place. */
const REPLACED: Record<string, string> = {
  "runtime/sdk/memory.ts": "runtime/build/assembly/memory.as",
  "runtime/sdk/host.ts": "runtime/build/assembly/host.as",
  "runtime/build/assembly/entry.ts": "runtime/build/assembly/entry.as",
};

const ENTRY = "runtime/build/assembly/entry.ts";

/** The collector knows the bytes it manages, but tells nobody. */
const COLLECTOR = "rt/tcms";
const COLLECTOR_COUNTER = "\nexport function managedBytes(): usize { return total; }\n";

const OPTIONS = [
  "--outFile=plugin.wasm",
  "-O3",
  "--converge",
  "--runtime=minimal",
  "--exportStart=__start",
  "--use=abort=",
  "--disableWarning=235",
];

/**
 * Compiles a plugin.
 * @returns the core module: its exports carry the names of the entry module's functions.
 * @throws BuildError with the compiler's messages.
 */
export async function compilePlugin(input: CompileInput): Promise<Uint8Array> {
  exposeManagedBytes();
  const outputs = new Map<string, Uint8Array | string>();
  const messages: string[] = [];
  const collect = { write: (chunk: string | Uint8Array) => void messages.push(String(chunk)) };
  const { error } = await asc.main([ENTRY, ...OPTIONS], {
    stdout: collect,
    stderr: collect,
    readFile: (name: string) => readSource(input, name),
    writeFile: (name: string, contents: Uint8Array | string) => void outputs.set(name, contents),
    listFiles: () => [],
  });
  const module = outputs.get("plugin.wasm");
  if (error !== null || !(module instanceof Uint8Array)) {
    throw new BuildError(`Cannot compile ${input.plugin}: ${messages.join("").trim()}`);
  }
  return module;
}

function readSource(input: CompileInput, name: string): string | null {
  const path = posix.normalize(name.replaceAll("\\", "/"));
  const file = join(input.root, REPLACED[path] ?? path);
  if (!existsSync(file)) return null;
  const text = readFileSync(file, "utf8");
  const plugin = posix.join(
    relative(join(input.root, "runtime/build/assembly"), input.plugin),
    "plugin.ts",
  );
  if (path === ENTRY) return text.replace('"PLUGIN"', JSON.stringify(plugin));
  // The compiler has no word for a type-only import; to it a class is always both.
  return text
    .replaceAll(/^import type /gm, "import ")
    .replaceAll(
      /^import \{([^}]*)\}/gm,
      (_all, names: string) => `import {${names.replaceAll(/\btype /g, "")}}`,
    );
}

function exposeManagedBytes(): void {
  const files: Record<string, string> = asc.libraryFiles;
  const source = files[COLLECTOR];
  if (source?.includes("let total: usize") !== true) {
    throw new BuildError(`Cannot extend the collector: ${COLLECTOR} is not as expected`);
  }
  if (!source.includes(COLLECTOR_COUNTER)) files[COLLECTOR] = source + COLLECTOR_COUNTER;
}
