/**
 * The public conformance kit: what every plugin is held against, whoever wrote it, from its package
 * alone. Works from the file; no source, no agent, no network. `imker plugin check` prints it.
 */
import { type PluginPackage, readPackage } from "../../contract/package.ts";
import { instantiate, prepareImage } from "../../isolate/index.ts";
import type { PluginImage } from "../../isolate/types.ts";
import { readVectors, type Vector } from "../vectors.ts";
import { fuelIsLinear } from "./fuel.ts";
import { garbageIsHarmless } from "./garbage.ts";
import { memoryRests } from "./growth.ts";
import { survivesHostTraps } from "./host-traps.ts";
import { connectionsAreApart } from "./interleaved.ts";
import { ruleSetsRoundTrip } from "./rule-sets.ts";
import { splitsDoNotMatter } from "./splits.ts";
import { sameThroughJco } from "./standard-glue.ts";
import type { Check, CheckLine, CheckOptions } from "./types.ts";
import { vectorsHold } from "./vectors.ts";

export type { CheckLine, CheckOptions } from "./types.ts";

export const MESSAGES_DEFAULT = 1_000_000;
export const MESSAGES_QUICK = 20_000;

/** In this order; behind package and imports. A plugin that fails its own vectors ends there. */
const CHECKS: readonly Check[] = [
  vectorsHold,
  splitsDoNotMatter,
  garbageIsHarmless,
  connectionsAreApart,
  ruleSetsRoundTrip,
  fuelIsLinear,
  survivesHostTraps,
  sameThroughJco,
  memoryRests,
];

export interface ConformanceReport {
  ok: boolean;
  plugin?: string;
  digest?: string;
  checks: CheckLine[];
}

/** Holds a package against the kit; `onLine` gets every line as soon as it is known. */
export async function checkPackage(
  file: Uint8Array,
  options: CheckOptions,
  onLine: (line: CheckLine) => void = () => {},
): Promise<ConformanceReport> {
  const checks: CheckLine[] = [];
  const add = (line: CheckLine) => {
    checks.push(line);
    onLine(line);
  };
  const read = attempt("package", () => openPackage(file));
  add(read.line);
  if (read.value === undefined) return { ok: false, checks };
  const { plugin, vectors } = read.value;
  const prepared = attempt("imports", () => openImage(plugin, options.grants));
  add(prepared.line);
  const about = {
    plugin: `${plugin.manifest.name} ${plugin.manifest.version}`,
    digest: plugin.digest,
  };
  if (prepared.value === undefined) return { ok: false, ...about, checks };
  const image = prepared.value;
  const subject = {
    package: plugin,
    image,
    vectors,
    instantiate: (imports: Parameters<typeof instantiate>[1]) => instantiate(image, imports),
    options,
  };
  for (const check of CHECKS) {
    try {
      add({ name: check.name, ...(await check.run(subject)) });
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error);
      add({ name: check.name, ok: false, detail });
    }
    if (checks.at(-1)?.ok === false && check === vectorsHold) break;
  }
  return { ok: checks.every(({ ok }) => ok), ...about, checks };
}

function attempt<T extends { detail: string }>(
  name: string,
  run: () => T,
): { line: CheckLine; value?: T } {
  try {
    const value = run();
    return { line: { name, ok: true, detail: value.detail }, value };
  } catch (error) {
    return { line: { name, ok: false, detail: error instanceof Error ? error.message : "" } };
  }
}

/** Reads the file and its vectors. */
function openPackage(file: Uint8Array): {
  plugin: PluginPackage;
  vectors: Vector[];
  detail: string;
} {
  const plugin = readPackage(file);
  const vectors = readVectors(plugin.vectors);
  if (vectors.length === 0) {
    throw new Error("Cannot check the package: it has no vectors; write some into vectors.md");
  }
  const { signatures, digest } = plugin;
  const signed = signatures.length === 1 ? "1 signature" : `${signatures.length} signatures`;
  return { plugin, vectors, detail: `${file.length} bytes, ${digest}, ${signed}` };
}

/** Takes the component apart: every import is in the manifest, every capability is granted. */
function openImage(
  { body, digest, manifest }: PluginPackage,
  grants: readonly string[],
): PluginImage & { detail: string } {
  const refused = manifest.capabilities.filter((name) => !grants.includes(name));
  if (refused.length > 0) {
    throw new Error(`Cannot grant ${refused.join(", ")}: granted are ${grants.join(", ")}`);
  }
  const image = prepareImage(body, { digest, manifest });
  const imports = manifest.capabilities.join(", ") || "nothing";
  return { ...image, detail: `asks for ${imports}; granted ${grants.join(", ")}` };
}
