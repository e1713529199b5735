/**
 * Judges a case again, and says whether it comes out as it was observed; makes a vector of it. A
 * plugin that is shown bytes that nobody kept judges something else than was observed: for it the
 * case is not exact, whatever it was for the one before.
 */
import type { Case } from "../contract/case.ts";
import { WHOLE } from "./cuts.ts";
import { differences, type Result } from "./outcome-diff.ts";
import type { RunnablePlugin } from "./plugin-source.ts";
import type { Runnable } from "./run-vector.ts";
import { vectorText } from "./vector-text.ts";
import type { VectorStep } from "./vectors.ts";

export interface CaseReport {
  /** The outcome is the observed one. */
  reproduces: boolean;
  exact: boolean;
  /** Why it is not exact. */
  partial: string[];
  /** Bytes of the case that were not kept, because the plugin did not see them. */
  unseen: number;
  /** The plugin that ran is the one that was observed. */
  samePlugin: boolean;
  result: Result;
  /** Between what was observed and what came of it. */
  differences: string[];
  /** Between source and sandbox. */
  nativeDifferences: string[];
}

/** Runs a case on a plugin. */
export function runCase(recorded: Case, plugin: RunnablePlugin): CaseReport {
  const traffic = trafficOf(recorded);
  let looks = false;
  const unseenShown = (): void => {
    looks = true;
  };
  const result = plugin.wasm.run({ ...traffic, unseenShown }, WHOLE);
  const native = plugin.native?.run(traffic, WHOLE);
  const found = differences(observedResult(recorded, result), result);
  const unseen = unseenBytes(recorded);
  const partial = [...recorded.partial];
  if (looks) partial.push(`this plugin looks at some of ${unseen} bytes that were not kept`);
  return {
    reproduces: found.length === 0,
    exact: partial.length === 0,
    partial,
    unseen,
    samePlugin: plugin.digest === recorded.plugin.digest,
    result,
    differences: found,
    nativeDifferences: native === undefined ? [] : differences(native, result),
  };
}

/** The case as a vector for `vectors.md`, with what the plugin makes of it now. */
export function caseVector(recorded: Case, result: Result, name: string): string {
  const { plugin, partial } = recorded;
  const unseen = unseenBytes(recorded);
  const notes = [`From a connection judged by ${plugin.name} ${plugin.version}.`];
  if (partial.length > 0) notes.push(`Not all of it was recorded: ${partial.join("; ")}.`);
  if (unseen > 0) notes.push(`Zeros stand for ${unseen} bytes that passed unseen.`);
  if ("failure" in result) {
    notes.push(`It ended with: ${result.failure}. Write what must come of it instead.`);
  }
  return vectorText(name, notes, trafficOf(recorded), result);
}

function unseenBytes({ steps }: Case): number {
  return steps.reduce((sum, step) => sum + (step.unseen ?? 0), 0);
}

function trafficOf({ stages, facts, steps }: Case): Runnable {
  return {
    stages: stages.map(({ rules }) => rules),
    points: stages.map(({ point }) => (point === "egress" ? 0 : 1)),
    facts: {
      ...facts,
      sourceAddress: addressBytes(facts.source),
      destinationAddress: addressBytes(facts.destination),
    },
    steps: steps.flatMap((step): VectorStep[] => {
      const now = BigInt(step.now);
      const bytes = Buffer.from(step.bytes, "base64");
      const { direction, end, unseen = 0 } = step;
      return [
        ...(bytes.length > 0 ? [{ kind: direction, bytes, unseen, now }] : []),
        ...(end === "open" ? [] : [{ kind: "end" as const, direction, how: end, now }]),
      ];
    }),
  };
}

/** What was not recorded cannot differ. */
function observedResult({ observed }: Case, result: Result): Result {
  if (observed.fault !== undefined) return { failure: `fault: ${observed.fault}` };
  const text = (recorded: string | undefined, actual: string) =>
    recorded === undefined ? actual : Buffer.from(recorded, "base64").toString("latin1");
  const actual = "failure" in result ? { upstream: "", client: "" } : result;
  return {
    upstream: text(observed.upstream, actual.upstream),
    client: text(observed.client, actual.client),
    records: observed.records,
    close: observed.close,
  };
}

/** 16 bytes; IPv4 mapped. An address that is none becomes zeros: plugins are not to rely on it. */
function addressBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(16);
  const four = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text)?.slice(1).map(Number);
  if (four !== undefined) {
    bytes.set([0xff, 0xff, ...four], 10);
    return bytes;
  }
  const [head = "", tail] = text.split("::");
  const groups = (part: string) =>
    (part === "" ? [] : part.split(":")).map((one) => Number.parseInt(one, 16));
  const [front, back] = [groups(head), groups(tail ?? "")];
  const middle = Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => 0);
  [...front, ...middle, ...back].slice(0, 8).forEach((group, index) => {
    if (!Number.isInteger(group)) return;
    bytes[index * 2] = group >> 8;
    bytes[index * 2 + 1] = group & 255;
  });
  return bytes;
}
