/**
 * Runs a vector against a plugin instance, native or sandboxed, with the bytes cut as a test wants,
 * and says what came of it in the vector's own terms.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Manifest, manifestSchema } from "../contract/manifest.ts";
import type { HostImports, InstanceFacts, PluginInstance, PluginRule } from "../isolate/types.ts";
import { compilePattern, createMatcher, type Matcher } from "../regex/index.ts";
import { type Cut, PeerPair } from "./peer-pair.ts";
import { RecordLog } from "./record-log.ts";
import type { Vector, VectorRules, VectorStep } from "./vectors.ts";

/** What came of a vector. */
export interface Outcome {
  upstream: string;
  client: string;
  records: string[];
  close: string | undefined;
}

/** What can be run: a vector, or traffic that was recorded, which also knows who talked. */
export type Runnable = Pick<Vector, "stages" | "steps"> & {
  facts?: Omit<InstanceFacts, "stages">;
  /** Of each stage; without it the first is egress, the second ingress. */
  points?: readonly number[];
  /** Called when the plugin is shown bytes that only stand for others that nobody kept. */
  unseenShown?: () => void;
};

const FACTS: Omit<InstanceFacts, "stages"> = {
  sourceIdentity: 1000,
  destinationIdentity: 2000,
  sourceAddress: new Uint8Array(16),
  destinationAddress: new Uint8Array(16),
  sourcePort: 40000,
  destinationPort: 80,
};

/** The manifest of a plugin folder. */
export function readManifest(folder: string): Manifest {
  return manifestSchema.parse(JSON.parse(readFileSync(join(folder, "plugin.json"), "utf8")));
}

/** Policy rules as the host gives them to `compile`. */
export function prepareRules(
  manifest: Manifest,
  rules: VectorRules,
  handleOf: (source: string) => number,
  compile: typeof compilePattern = compilePattern,
): PluginRule[] {
  return rules.map((rule) =>
    Object.entries(rule).map(([key, value]): PluginRule[number] => {
      // "headers#2" repeats the key "headers".
      const name = key.replace(/#\d+$/, "");
      const match = manifest.rules.fields[name.replaceAll(/\.\d+(?=\.|$)/g, ".N")]?.match;
      if (match !== "regex") return { key: name, value, pattern: { kind: "literal" } };
      const compiled = compile(value);
      if (compiled.kind === "automaton") {
        return { key: name, value, pattern: { kind: "automaton", table: compiled.table } };
      }
      return { key: name, value, pattern: { kind: "handle", handle: handleOf(value) } };
    }),
  );
}

/** One instance with its records, to run any number of vectors on. */
export class VectorRunner {
  readonly instance: PluginInstance;
  readonly #manifest: Manifest;
  readonly #log: RecordLog;
  readonly #compilePattern: typeof compilePattern;
  /** Of the handles 1, 2, …: made once, a plugin asks often. */
  readonly #matchers: Matcher[] = [];
  readonly #ruleSets = new Map<string, number>();

  constructor(
    manifest: Manifest,
    instantiate: (imports: HostImports) => PluginInstance,
    patterns: typeof compilePattern = compilePattern,
  ) {
    this.#manifest = manifest;
    this.#compilePattern = patterns;
    this.#log = new RecordLog(
      manifest,
      (handle, bytes) => this.#matchers[handle - 1]?.(bytes) ?? false,
    );
    this.instance = instantiate(this.#log);
  }

  /** Runs a vector, each step's bytes cut as given, or as a function of the step's index says. */
  run(vector: Runnable, cut: Cut | ((step: number) => Cut)): Outcome {
    this.#log.lines = [];
    const connection = this.instance.open({
      ...(vector.facts ?? FACTS),
      stages: this.#stages(vector.stages, vector.points),
    });
    const pair = new PeerPair(this.instance, connection, vector.unseenShown);
    vector.steps.forEach((step, index) => {
      pair.take(this.#step(step), typeof cut === "function" ? cut(index) : cut);
    });
    this.instance.close(connection);
    return {
      upstream: pair.received("request"),
      client: pair.received("response"),
      records: this.#log.lines,
      close: pair.closed,
    };
  }

  /** Handle of loaded rules; equal rules are loaded once. */
  load(rules: VectorRules): number {
    const key = JSON.stringify(rules);
    const known = this.#ruleSets.get(key);
    if (known !== undefined) return known;
    const handleOf = (source: string): number => this.#matchers.push(createMatcher(source));
    const prepared = prepareRules(this.#manifest, rules, handleOf, this.#compilePattern);
    const handle = this.instance.load(this.instance.compile(prepared));
    this.#ruleSets.set(key, handle);
    return handle;
  }

  #stages(
    stages: readonly VectorRules[],
    points: readonly number[] = [],
  ): { point: number; ruleSet: number }[] {
    return stages.map((rules, index) => ({
      point: points[index] ?? Math.min(index, 1),
      ruleSet: this.load(rules),
    }));
  }

  #step(step: VectorStep) {
    if (step.kind !== "stages") return step;
    return { kind: "stages" as const, stages: this.#stages(step.rules) };
  }
}
