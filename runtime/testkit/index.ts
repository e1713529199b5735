/** What an author's own tests import, as `imker/testkit`: vectors, and a runner for the source. */
import { join } from "node:path";
import { readVectorText } from "../build/build.ts";
import { type CreatePlugin, instantiateNative } from "./native.ts";
import { type Outcome, readManifest, VectorRunner } from "./run-vector.ts";
import { readVectors, type Vector } from "./vectors.ts";

export { Mutator, seededRandom } from "./mutation.ts";
export type { CreatePlugin } from "./native.ts";
export { instantiateNative } from "./native.ts";
export type { Outcome } from "./run-vector.ts";
export { VectorRunner } from "./run-vector.ts";
export type { Vector, VectorRules, VectorStep } from "./vectors.ts";

/** The vectors of a plugin folder's `vectors.md`, each with what must come of it in one piece. */
export function vectorsOf(folder: string): (Vector & { expected: Outcome })[] {
  return readVectors(readVectorText(folder)).map((vector) => ({
    ...vector,
    expected: expectedOutcome(vector),
  }));
}

/** What a vector says must come of it. */
export function expectedOutcome(vector: Vector): Outcome {
  const { upstream, client, records, close } = vector;
  return { upstream, client, records: [...records], close };
}

/** Runs the plugin's source in this process: breakpoints and coverage work. */
export function nativeRunner(folder: string, createPlugin: CreatePlugin): VectorRunner {
  return new VectorRunner(readManifest(folder), (imports) =>
    instantiateNative(createPlugin, imports),
  );
}

/** Loads the plugin's source. @throws Error when it has no `createPlugin`. */
export async function loadSource(folder: string): Promise<CreatePlugin> {
  const file = join(folder, "plugin.ts");
  const module: unknown = await import(file);
  if (typeof module === "object" && module !== null && "createPlugin" in module) {
    if (typeof module.createPlugin === "function") return module.createPlugin as CreatePlugin;
  }
  throw new Error(`Cannot run ${file}: it exports no createPlugin`);
}
