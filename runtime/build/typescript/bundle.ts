/**
 * A plugin in full TypeScript and the SDK as one module of JavaScript, which QuickJS runs: types
 * away, files and packages of npm joined, names shortened. What only a host has (files, sockets,
 * Node's own modules) cannot be imported: it would not be there.
 */
import { join, relative } from "node:path";
import { rolldown } from "rolldown";
import { BuildError } from "../compile.ts";

const ENTRY = "runtime/build/typescript/guest/entry.ts";
const SDK = "runtime/sdk";
const PLUGIN = "imker:plugin";
const HOST = /^imker:l7\//;

/**
 * Bundles the plugin in `folder`.
 * @throws BuildError with the bundler's messages, each with file and line.
 */
export async function bundlePlugin(root: string, folder: string): Promise<string> {
  try {
    const bundle = await rolldown({
      cwd: root,
      input: join(root, ENTRY),
      platform: "neutral",
      external: HOST,
      logLevel: "silent",
      plugins: [{ name: "imker", resolveId: (id) => resolveOurs(root, folder, id) }],
    });
    const { output } = await bundle.generate({ format: "esm", minify: true, codeSplitting: false });
    await bundle.close();
    return output[0].code;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new BuildError(`Cannot bundle ${folder}:\n${message.replaceAll(`${folder}/`, "")}`);
  }
}

function resolveOurs(root: string, folder: string, id: string): string | undefined {
  if (id === PLUGIN) return join(folder, "plugin.ts");
  if (id.startsWith("imker/sdk/")) return join(root, SDK, relative("imker/sdk", id));
  return undefined;
}
