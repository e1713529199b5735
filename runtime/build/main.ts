/**
 * `node runtime/build/main.ts plugins/NAME --out DIR`: builds one plugin. Writes its package,
 * DIR/plugin.wasm.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { buildPlugin } from "./build.ts";
import { BuildError } from "./compile.ts";

const USAGE = "usage: node runtime/build/main.ts PLUGIN-FOLDER --out FOLDER";

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { out: { type: "string" }, help: { type: "boolean" } },
  });
  const [folder] = positionals;
  if (values.help || folder === undefined || values.out === undefined) {
    process.stderr.write(`${USAGE}\n`);
    return values.help ? 0 : 1;
  }
  const root = fileURLToPath(new URL("../..", import.meta.url));
  try {
    const built = await buildPlugin(root, resolve(folder));
    mkdirSync(values.out, { recursive: true });
    writeFileSync(join(values.out, "plugin.wasm"), built.file);
    const { name, version } = built.manifest;
    process.stdout.write(`${name} ${version}: ${built.file.length} bytes\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
}

process.exitCode = await main();
