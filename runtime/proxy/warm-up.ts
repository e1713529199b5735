/**
 * Runs a version on its own vectors before its first connection: code that is warm when the first
 * byte comes, and a version that fails on what its author tested does not begin. V8 compiles a
 * module once for all threads of the process, so the main thread's run warms the workers too.
 */
import type { PluginPackage } from "../contract/package.ts";
import { instantiate, PluginFault } from "../isolate/index.ts";
import type { PluginImage, PluginInstance } from "../isolate/types.ts";
import { compilePattern } from "../regex/index.ts";
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
  const inTime = <T>(value: T): T => {
    if (performance.now() >= until) throw new Error("Cannot go on warming up: the time is over");
    return value;
  };
  const runner = new VectorRunner(
    image.manifest,
    (imports) => timed(instantiate(image, imports), inTime),
    (source) => compilePattern(inTime(source)),
  );
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

/** The instance, whose calls ask for the time first: a single vector may be long. */
function timed(instance: PluginInstance, inTime: <T>(value: T) => T): PluginInstance {
  const onData = instance.onData.bind(instance);
  const compile = instance.compile.bind(instance);
  instance.onData = (connection, ...call) => onData(inTime(connection), ...call);
  instance.compile = (rules) => compile(inTime(rules));
  return instance;
}
