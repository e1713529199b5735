/**
 * Bytes that are not the protocol: mutated vectors and plain noise. Nothing may fault, every
 * operation is valid, and how they are cut still does not matter.
 */
import { seededRandom } from "../mutation.ts";
import { SteadyRunner } from "../steady-runner.ts";
import { checkVectors } from "../vector-check.ts";
import type { Vector } from "../vectors.ts";
import { lines } from "./splits.ts";
import type { Check } from "./types.ts";

const FINDINGS_MAX = 3;
const NOISE_VECTORS = 8;
const NOISE_BYTES = 200;

export const garbageIsHarmless: Check = {
  name: "garbage",
  run({ image, vectors, instantiate, options }) {
    const wasm = new SteadyRunner(image.manifest, instantiate);
    const { seed, mutations } = options;
    const noise = noiseVectors(seed);
    const all = { seed, mutations, findingsMax: FINDINGS_MAX, mutatedOnly: true };
    const report = checkVectors([...vectors, ...noise], { wasm }, all);
    return {
      ok: report.findings.length === 0,
      detail: `${report.mutations} mutated or random streams (seed ${seed})`,
      findings: report.findings.flatMap(lines),
      figures: { streams: report.mutations },
    };
  },
};

function noiseVectors(seed: number): Vector[] {
  const random = seededRandom(seed);
  return Array.from({ length: NOISE_VECTORS }, (_, index) => {
    const bytes = () => Buffer.from(Array.from({ length: NOISE_BYTES }, () => random() * 256));
    return {
      name: `noise ${index}`,
      stages: [[{}]],
      steps: [
        { kind: "request" as const, bytes: bytes() },
        { kind: "response" as const, bytes: bytes() },
        { kind: "end" as const, direction: "request" as const, how: "closed" as const },
        { kind: "end" as const, direction: "response" as const, how: "failed" as const },
      ],
      upstream: "",
      client: "",
      records: [],
      close: undefined,
    };
  });
}
