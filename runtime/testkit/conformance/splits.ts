/** However the network cuts the bytes of a vector, the same comes of it. */
import { SteadyRunner } from "../steady-runner.ts";
import { checkVectors, type Finding } from "../vector-check.ts";
import type { Check } from "./types.ts";

const FINDINGS_MAX = 3;

export const splitsDoNotMatter: Check = {
  name: "splits",
  run({ image, vectors, instantiate, options }) {
    const wasm = new SteadyRunner(image.manifest, instantiate);
    const report = checkVectors(
      vectors,
      { wasm },
      { seed: options.seed, mutations: 0, findingsMax: FINDINGS_MAX },
    );
    return {
      ok: report.findings.length === 0,
      detail: `${report.runs} runs, every place of the first 64 bytes, then samples`,
      findings: report.findings.flatMap(lines),
      figures: { runs: report.runs },
    };
  },
};

/** A finding's lines. */
export function lines(finding: Finding): string[] {
  return [
    `${finding.vector}, ${finding.cut}:`,
    ...(finding.mutated ?? []).map((text, step) => `  step ${step + 1}: ${JSON.stringify(text)}`),
    ...finding.difference.map((line) => `  ${line}`),
  ];
}
