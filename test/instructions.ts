/**
 * What the BPF programs cost the verifier, beside what was recorded (bpf/tests/instructions.json):
 * `node test/instructions.ts` prints, `--write` records. A program that grows towards the kernel's
 * bound of a million is noticed when it grows, not when it no longer loads.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { release } from "node:os";
import { ProgramBench, type ProgramName } from "../host/datapath/testdata/program-bench.ts";
import type { ProgramInfo } from "../host/native/index.ts";

const RECORD = new URL("../bpf/tests/instructions.json", import.meta.url).pathname;
const PROGRAMS: readonly ProgramName[] = [
  "pod_egress",
  "pod_ingress",
  "netdev_ingress",
  "netdev_egress",
];

export interface InstructionRecord {
  /** Version of the kernel whose verifier counted: another one counts otherwise. */
  kernel: string;
  programs: Record<string, ProgramInfo>;
}

/** Loads the built objects and asks the kernel. Needs root. */
export function countInstructions(): InstructionRecord {
  const bench = new ProgramBench();
  try {
    const programs = PROGRAMS.map((name) => [name, bench.info(name)] as const);
    return {
      kernel: release().split(".").slice(0, 2).join("."),
      programs: Object.fromEntries(programs),
    };
  } finally {
    bench.close();
  }
}

export function readInstructionRecord(): InstructionRecord {
  return JSON.parse(readFileSync(RECORD, "utf8"));
}

if (import.meta.main) {
  const text = `${JSON.stringify(countInstructions(), null, 2)}\n`;
  if (process.argv[2] === "--write") writeFileSync(RECORD, text);
  process.stdout.write(text);
}
