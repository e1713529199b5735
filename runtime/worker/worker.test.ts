import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { failureCases } from "./testing/failure-cases.ts";
import { policyCases } from "./testing/policy-cases.ts";
import { recordingCases } from "./testing/recording-cases.ts";
import { Rig } from "./testing/rig.ts";
import { streamCases } from "./testing/stream-cases.ts";
import { trialCases } from "./testing/trial-cases.ts";
import { versionCases } from "./testing/version-cases.ts";

const PROJECT = join(import.meta.dirname, "..", "..");

describe.each([
  ["streams", streamCases],
  ["policy", policyCases],
  ["failures and modes", failureCases],
  ["trials", trialCases],
  ["versions", versionCases],
  ["recordings", recordingCases],
])("%s", (_name, cases) => {
  test.each(cases)("$name", { timeout: 60_000 }, async ({ options, run }) => {
    const rig = await Rig.start(options);
    try {
      await run(rig);
    } finally {
      await rig.close();
    }
  });
});

test("the same cases in Deno", { timeout: 180_000 }, () => {
  const deno = join(PROJECT, "node_modules", ".bin", "deno");
  const script = join(import.meta.dirname, "testing", "deno-cases.ts");
  const run = spawnSync(deno, ["run", "-A", "--no-check", script], { encoding: "utf8" });
  expect(run.stdout.split("\n").filter((line) => line.startsWith("FAILED"))).toEqual([]);
  expect(run.stderr).not.toMatch(/error/i);
  expect(run.status).toBe(0);
});
