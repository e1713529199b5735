/**
 * Runs a version on its own vectors before its first connection: code that is warm when the first
 * byte comes, and a version that fails on what its author tested does not begin. V8 compiles a
 * module once for all threads of the process, so the main thread's run warms the workers too.
 */
import type { PluginPackage } from "../contract/package.ts";
import { instantiate, PluginFault } from "../isolate/index.ts";
import type { PluginImage } from "../isolate/types.ts";
import { VectorRunner } from "../testkit/run-vector.ts";
import { readVectors } from "../testkit/vectors.ts";

/** Of one version. */
const WARM_UP_MS_MAX = 50;
/** Bytes given at once: messages come whole, as they mostly do. */
const PIECE_BYTES = 16_384;

/**
 * Starts an instance and runs the package's vectors on it again and again. Throws PluginFault when
 * it traps, runs out of its budget or answers nonsense, and an Error for vectors that are none.
 */
export function warmUp(image: PluginImage, { vectors }: Pick<PluginPackage, "vectors">): void {
  const until = performance.now() + WARM_UP_MS_MAX;
  const runner = new VectorRunner(image.manifest, (imports) => instantiate(image, imports));
  const runs = readVectors(vectors);
  let ran = runs.length > 0;
  while (ran) {
    ran = false;
    for (const vector of runs) {
      if (performance.now() >= until) return;
      try {
        runner.run(vector, PIECE_BYTES);
        ran = true;
      } catch (error) {
        // A rule it refuses, or an outcome a test would not like, is not a fault.
        if (error instanceof PluginFault) throw error;
      }
    }
  }
}
