/**
 * Runs vectors every way there is, natively and sandboxed, cut everywhere and mutated, and collects
 * what differs. One source, two executions: whatever they do not agree on is a finding.
 */
import { cutsOf, type NamedCut, randomCut, WHOLE } from "./cuts.ts";
import { expectedOutcome } from "./index.ts";
import { Mutator, seededRandom } from "./mutation.ts";
import { differences, type Result } from "./outcome-diff.ts";
import type { SteadyRunner } from "./steady-runner.ts";
import type { Vector, VectorStep } from "./vectors.ts";

export interface Finding {
  vector: string;
  /** `native`, `wasm`, or `native and wasm` when they differ. */
  way: string;
  cut: string;
  /** Lines for people. */
  difference: string[];
  /** The bytes, when they are not the vector's own: one latin1 text for each step. */
  mutated?: string[];
}

export interface VectorReport {
  vectors: number;
  runs: number;
  mutations: number;
  seed: number;
  findings: Finding[];
}

export interface VectorCheckOptions {
  seed: number;
  /** Mutated versions of each vector. */
  mutations: number;
  /** Findings after which it stops. */
  findingsMax: number;
  /** Leaves out what the vectors themselves say. */
  mutatedOnly?: boolean;
}

type Runners = Record<string, SteadyRunner>;

/** Checks all vectors; by name in `runners` (`native`, `wasm`), each must give the same. */
export function checkVectors(
  vectors: readonly Vector[],
  runners: Runners,
  options: VectorCheckOptions,
): VectorReport {
  const random = seededRandom(options.seed);
  const { seed } = options;
  const report = { vectors: vectors.length, runs: 0, mutations: 0, seed, findings: [] };
  const found: Collector = new Collector(report, options.findingsMax);
  for (const vector of vectors) {
    const cuts = options.mutatedOnly ? [] : cutsOf(vector.steps, random);
    for (const [way, runner] of Object.entries(runners)) {
      checkCuts(vector, cuts, way, runner, found);
    }
    for (let count = 0; count < options.mutations && !found.full; count++) {
      checkMutation(vector, runners, random, found);
    }
  }
  return report;
}

class Collector {
  readonly #report: VectorReport;
  readonly #max: number;

  constructor(report: VectorReport, max: number) {
    this.#report = report;
    this.#max = max;
  }

  get full(): boolean {
    return this.#report.findings.length >= this.#max;
  }

  ran(): void {
    this.#report.runs++;
  }

  mutated(): void {
    this.#report.mutations++;
  }

  /** Notes it if the results differ; whether they do. */
  compare(expected: Result, actual: Result, where: Omit<Finding, "difference">): boolean {
    const difference = differences(expected, actual);
    if (difference.length === 0) return false;
    if (!this.full) this.#report.findings.push({ ...where, difference });
    return true;
  }
}

/** A vector says what must come of it; only the first cut that breaks it is reported. */
function checkCuts(
  vector: Vector,
  cuts: readonly NamedCut[],
  way: string,
  runner: SteadyRunner,
  found: Collector,
): void {
  const expected = expectedOutcome(vector);
  for (const cut of cuts) {
    found.ran();
    const where = { vector: vector.name, way, cut: cut.name };
    if (found.compare(expected, runner.run(vector, cut), where)) return;
  }
}

/** Nobody knows what must come of mutated bytes: but always the same, and nothing may fail. */
function checkMutation(
  vector: Vector,
  runners: Runners,
  random: () => number,
  found: Collector,
): void {
  const steps = mutateSteps(vector.steps, random);
  const mutated = { stages: vector.stages, steps };
  const lengths = steps.map((step) => ("bytes" in step ? step.bytes.length : 0));
  const cut = randomCut(lengths, random);
  const bytes = steps.map((step) => ("bytes" in step ? latin1(step.bytes) : step.kind));
  found.mutated();
  let first: Result | undefined;
  for (const [way, runner] of Object.entries(runners)) {
    const where = { vector: vector.name, mutated: bytes };
    const whole = runner.run(mutated, WHOLE);
    found.ran();
    if ("failure" in whole) {
      const expected = { failure: "no failure" };
      found.compare(expected, whole, { ...where, way, cut: WHOLE.name });
      return;
    }
    if (first !== undefined) {
      const both = { ...where, way: Object.keys(runners).join(" and "), cut: WHOLE.name };
      if (found.compare(first, whole, both)) return;
    }
    first ??= whole;
    found.ran();
    const pieces = runner.run(mutated, cut);
    if (found.compare(whole, pieces, { ...where, way, cut: cut.name })) return;
  }
}

/** One or two of the steps' bytes, changed. */
export function mutateSteps(steps: readonly VectorStep[], random: () => number): VectorStep[] {
  const withBytes = steps.flatMap((step, index) => ("bytes" in step ? [index] : []));
  if (withBytes.length === 0) return [...steps];
  const words = withBytes.flatMap((index) => {
    const step = steps[index];
    return step !== undefined && "bytes" in step ? wordsOf(latin1(step.bytes)) : [];
  });
  const mutator = new Mutator(random, ["\r\n", "\0", " ", ...words]);
  const changed = [...steps];
  for (let count = 1 + mutator.integer(2); count > 0; count--) {
    const index = mutator.pick(withBytes);
    const step = changed[index];
    if (step === undefined || !("bytes" in step)) continue;
    const bytes = Buffer.from(mutator.mutate(latin1(step.bytes)), "latin1");
    changed[index] = { ...step, bytes };
  }
  return changed.filter((step) => !("bytes" in step) || step.bytes.length > 0);
}

function wordsOf(text: string): string[] {
  return text.split(/[^A-Za-z0-9_-]+/).filter((word) => word !== "");
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
