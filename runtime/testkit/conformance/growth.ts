/** A million messages over connections that come and go: memory comes to rest. */
import { WHOLE } from "../cuts.ts";
import { SteadyRunner } from "../steady-runner.ts";
import { MeteredInstance, newMeter } from "./metered-instance.ts";
import type { Check } from "./types.ts";

/** The part after which memory must have come to rest. */
const WARM = 0.2;

export const memoryRests: Check = {
  name: "growth",
  run({ image, vectors, instantiate, options }) {
    const { manifest } = image;
    const meter = newMeter();
    const runner = new SteadyRunner(
      manifest,
      (imports) => new MeteredInstance(instantiate(imports), manifest.limits, meter),
    );
    let messages = 0;
    let rested = 0;
    while (messages < options.messages) {
      for (const vector of vectors) {
        const result = runner.run(vector, WHOLE);
        if ("failure" in result) {
          const where = `${vector.name}, after ${messages} messages: ${result.failure}`;
          return { ok: false, detail: where };
        }
        messages += Math.max(1, result.records.length);
      }
      if (rested === 0 && messages >= options.messages * WARM) rested = meter.memoryBytesMax;
    }
    const grown = meter.memoryBytesMax - rested;
    const kibibytes = meter.memoryBytesMax / 1024;
    return {
      ok: grown === 0,
      detail: `${messages} messages, ${kibibytes} KiB, ${grown} bytes more after the first fifth`,
      figures: { messages, memoryBytes: meter.memoryBytesMax, grownBytes: grown },
    };
  },
};
