/**
 * What an instance may use in calls that follow each other for the same bytes. Each call has its
 * budget, but one that consumes a byte and is called again at once could take it thousands of
 * times, and nobody else on the worker is served meanwhile. So together they may use a few budgets:
 * a plugin that its operator let take long may take long for many messages that came at once.
 */
import type { Manifest } from "../contract/manifest.ts";
import { PluginFault } from "../isolate/errors.ts";
import type { PluginInstance } from "../isolate/types.ts";

/** Beside the first call. */
const REPEATED_BUDGETS_MAX = 16;
/** Fuel, whatever the plugin's own budget is: about a second of the slowest code there is. */
const REPEATED_FUEL_MAX = 2 ** 30;

export class RepeatedCalls {
  /** Fuel the instance had used when the first call had come back. */
  #start = 0;
  #calls = 0;
  #fuelMax = 0;

  /** So many new bytes came for a plugin with these limits. */
  begin({ fuelBase, fuelPerByte }: Manifest["limits"], bytes: number): void {
    const budget = fuelBase + fuelPerByte * bytes;
    this.#calls = 0;
    this.#fuelMax = Math.min(REPEATED_BUDGETS_MAX * budget, REPEATED_FUEL_MAX);
  }

  /** Before it is called again for the same bytes. @throws PluginFault when it used too much. */
  check(instance: PluginInstance): void {
    if (this.#calls++ === 0) {
      this.#start = instance.fuelUsed;
    } else if (instance.fuelUsed - this.#start > this.#fuelMax) {
      throw new PluginFault("fuel", `budget used up in ${this.#calls} calls for the same bytes`);
    }
  }
}
