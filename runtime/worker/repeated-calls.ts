/**
 * What an instance may use in calls that follow each other for the same bytes. Each call has its
 * budget, but one that consumes a byte and is called again at once could take it thousands of
 * times, and nobody else on the worker is served meanwhile. So together they may use what a single
 * call may at most.
 */
import { PluginFault } from "../isolate/errors.ts";
import type { PluginInstance } from "../isolate/types.ts";

/** Fuel, beside that of the first call; as much as any single call may be given. */
const REPEATED_FUEL_MAX = 2 ** 28;

export class RepeatedCalls {
  /** Fuel the instance had used when the first call had come back. */
  #start = 0;
  #calls = 0;

  /** The bytes are new ones. */
  begin(): void {
    this.#calls = 0;
  }

  /** Before it is called again for the same bytes. @throws PluginFault when it used too much. */
  check(instance: PluginInstance): void {
    if (this.#calls++ === 0) {
      this.#start = instance.fuelUsed;
    } else if (instance.fuelUsed - this.#start > REPEATED_FUEL_MAX) {
      throw new PluginFault("fuel", `budget used up in ${this.#calls} calls for the same bytes`);
    }
  }
}
