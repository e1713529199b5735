/**
 * A runner that outlives what goes wrong: a fault or a nonsense operation becomes a result, and the
 * next vector gets a fresh instance. Also the meter: fuel and memory of what ran.
 */
import type { Manifest } from "../contract/manifest.ts";
import { PluginFault } from "../isolate/errors.ts";
import type { HostImports, PluginInstance } from "../isolate/types.ts";
import type { NamedCut } from "./cuts.ts";
import type { Result } from "./outcome-diff.ts";
import { OperationError } from "./peer-pair.ts";
import { type Runnable, VectorRunner } from "./run-vector.ts";

export class SteadyRunner {
  readonly #manifest: Manifest;
  readonly #instantiate: (imports: HostImports) => PluginInstance;
  #runner: VectorRunner | undefined;

  constructor(manifest: Manifest, instantiate: (imports: HostImports) => PluginInstance) {
    this.#manifest = manifest;
    this.#instantiate = instantiate;
  }

  /** The instance that runs the next vector. */
  get runner(): VectorRunner {
    this.#runner ??= new VectorRunner(this.#manifest, this.#instantiate);
    return this.#runner;
  }

  run(vector: Runnable, cut: NamedCut): Result {
    try {
      return this.runner.run(vector, cut.of);
    } catch (error) {
      this.#runner = undefined;
      return { failure: failureText(error) };
    }
  }
}

/** What went wrong, by whose fault. */
export function failureText(error: unknown): string {
  if (error instanceof OperationError) return `nonsense operation: ${error.message}`;
  if (error instanceof PluginFault) return `fault: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}
