/** A plugin folder to what is uploaded: the package of component and checked manifest. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Manifest, manifestSchema } from "../contract/manifest.ts";
import { assemblePackage } from "../contract/package.ts";
import { BuildError, compilePlugin } from "./compile.ts";
import { wrapComponent } from "./component.ts";

export interface BuiltPlugin {
  manifest: Manifest;
  component: Uint8Array;
  /** The package: component and manifest in one file, not signed. */
  file: Uint8Array;
}

/**
 * Builds the plugin in a folder. The same source gives the same bytes.
 * @throws BuildError naming the file and what is wrong.
 */
export async function buildPlugin(root: string, folder: string): Promise<BuiltPlugin> {
  const manifest = readManifest(join(folder, "plugin.json"));
  const core = await compilePlugin({ root, plugin: folder });
  const component = await wrapComponent(root, core);
  return { manifest, component, file: assemblePackage(component, manifest, "") };
}

function readManifest(file: string): Manifest {
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
