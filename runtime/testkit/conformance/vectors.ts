/** The package's own vectors: what must come of them comes of them, when nothing is cut. */
import { WHOLE } from "../cuts.ts";
import { expectedOutcome } from "../index.ts";
import { differences } from "../outcome-diff.ts";
import { SteadyRunner } from "../steady-runner.ts";
import { MeteredInstance, newMeter } from "./metered-instance.ts";
import type { Check } from "./types.ts";

export const vectorsHold: Check = {
  name: "vectors",
  run({ image, vectors, instantiate }) {
    const { manifest } = image;
    const meter = newMeter();
    const runner = new SteadyRunner(
      manifest,
      (imports) => new MeteredInstance(instantiate(imports), manifest.limits, meter),
    );
    const findings = vectors.flatMap((vector) => {
      const result = runner.run(vector, WHOLE);
      const lines = differences(expectedOutcome(vector), result);
      return lines.length === 0 ? [] : [`${vector.name}:`, ...lines.map((line) => `  ${line}`)];
    });
    const share = (meter.budgetShareMax * 100).toFixed(1);
    return {
      ok: findings.length === 0,
      detail: `${vectors.length} vectors, ${meter.calls} calls, at most ${share} % of a budget`,
      findings,
      figures: {
        vectors: vectors.length,
        calls: meter.calls,
        budgetShareMax: meter.budgetShareMax,
      },
    };
  },
};
