/**
 * Rule sets: compiling gives the same bytes every time, loading and unloading leaves nothing
 * behind, and bytes of somebody else are refused with an error, never a fault.
 */
import { PluginLoadError } from "../../isolate/errors.ts";
import { prepareRules } from "../run-vector.ts";
import { failureText } from "../steady-runner.ts";
import type { VectorRules } from "../vectors.ts";
import type { Check, Subject } from "./types.ts";

/** Loads and unloads; memory must have come to rest after the first fifth. */
const LOADS = 50_000;
const LOADS_WARM = 10_000;

export const ruleSetsRoundTrip: Check = {
  name: "rule-sets",
  run(subject) {
    try {
      return check(subject);
    } catch (error) {
      return { ok: false, detail: failureText(error) };
    }
  },
};

function check({ image, vectors, instantiate }: Subject) {
  const instance = instantiate({ emit() {}, log() {}, match: () => false });
  const distinct = new Map<string, VectorRules>([["[]", []]]);
  for (const rules of vectors.flatMap(({ stages }) => stages)) {
    distinct.set(JSON.stringify(rules), rules);
  }
  const prepared = [...distinct.values()].map((rules) =>
    prepareRules(image.manifest, rules, () => 1),
  );
  const findings: string[] = [];
  const compiled = prepared.map((rules) => {
    const bytes = instance.compile(rules);
    const again = instance.compile(rules);
    if (!Buffer.from(bytes).equals(again)) findings.push("compile gives other bytes each time");
    return bytes;
  });
  let rested = 0;
  for (let count = 0; count < LOADS; count++) {
    const bytes = compiled[count % compiled.length];
    if (bytes !== undefined) instance.unload(instance.load(bytes));
    if (count === LOADS_WARM) rested = instance.memoryBytes;
  }
  const grown = instance.memoryBytes - rested;
  if (grown > 0) findings.push(`${grown} bytes more after ${LOADS} loads`);
  for (const bytes of foreign(compiled)) {
    try {
      instance.unload(instance.load(bytes));
    } catch (error) {
      if (error instanceof PluginLoadError) continue;
      findings.push(`load of ${bytes.length} foreign bytes: ${failureText(error)}`);
      break;
    }
  }
  return {
    ok: findings.length === 0,
    detail: `${distinct.size} rule sets, ${LOADS} loads and unloads`,
    findings,
    figures: { ruleSets: distinct.size, loads: LOADS, grownBytes: grown },
  };
}

/** Nothing, zeros, noise, and own bytes that lack their end. */
function foreign(compiled: readonly Uint8Array[]): Uint8Array[] {
  return [
    new Uint8Array(0),
    new Uint8Array(100),
    new Uint8Array(100).fill(255),
    ...compiled.flatMap((bytes) => [
      bytes.subarray(0, bytes.length >> 1),
      bytes.subarray(0, Math.max(0, bytes.length - 1)),
    ]),
  ];
}
