/**
 * What became of the tests: reads vitest's JSON report and turns it, and the plain checks, into one
 * list of results. A test that was skipped counts as failed: it proved nothing.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";
import type { Outcome } from "./processes.ts";

export interface Result {
  readonly name: string;
  readonly passed: boolean;
  /** Empty when passed. */
  readonly message: string;
}

const reportSchema = z.object({
  success: z.boolean(),
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string().default(""),
      assertionResults: z.array(
        z.object({
          fullName: z.string(),
          status: z.string(),
          failureMessages: z
            .array(z.string())
            .nullish()
            .transform((messages) => messages ?? []),
        }),
      ),
    }),
  ),
});

export type Report = z.infer<typeof reportSchema>;

function readReport(path: string): Report | undefined {
  try {
    return reportSchema.parse(JSON.parse(readFileSync(path, "utf8")));
  } catch {
    return undefined; // The runner died before it could write: the caller counts that as a failure.
  }
}

/** Results of one vitest report; paths are shown relative to `root`. */
export function resultsOfReport(report: Report, root: string): Result[] {
  return report.testResults.flatMap((file): Result[] => {
    const path = file.name.startsWith(`${root}/`) ? file.name.slice(root.length + 1) : file.name;
    const results = file.assertionResults.map((test): Result => {
      const passed = test.status === "passed";
      const ran = passed || test.status === "failed";
      // The report has no word of a failed hook; vitest prints its error as it happens.
      const why = file.status === "failed" ? "; if a hook failed, its error is above" : "";
      const message = ran ? test.failureMessages.join("\n") : `did not run (${test.status})${why}`;
      return { name: `${path} > ${test.fullName}`, passed, message };
    });
    if (file.status !== "passed" && results.every(({ passed }) => passed)) {
      results.push({ name: path, passed: false, message: file.message || "the file failed" });
    }
    return results;
  });
}

/** Results of a vitest run that was asked to write its report to `path`. */
export function resultsOfSuite(
  suite: string,
  path: string,
  outcome: Outcome,
  root: string,
): Result[] {
  const report = readReport(path);
  if (report === undefined) {
    const message = `vitest ended with ${outcome.code ?? "a signal"} and left no report`;
    return [{ name: `tests ${suite}`, passed: false, message }];
  }
  const results = resultsOfReport(report, root);
  // Errors outside any test (an unhandled rejection) show in the exit code only.
  if (outcome.code !== 0 && results.length > 0 && results.every(({ passed }) => passed)) {
    const message = `all tests passed, yet vitest ended with ${outcome.code ?? "a signal"}`;
    results.push({ name: `tests ${suite}`, passed: false, message });
  }
  return results;
}

const MESSAGE_LINES_MAX = 12;
/** Stack frames of the test runner itself. */
const FOREIGN = /^\s+at (.*node_modules|new Promise|.*node:internal)/;

/** The failures by name, how long it took, and as the very last line the two numbers. */
export function formatSummary(results: readonly Result[], durationMs: number): string {
  const failed = results.filter(({ passed }) => !passed);
  const lines: string[] = [];
  for (const { name, message } of failed) {
    lines.push(`FAILED ${name}`);
    const all = message.split("\n").filter((line) => line.trim() !== "" && !FOREIGN.test(line));
    for (const line of all.slice(0, MESSAGE_LINES_MAX)) lines.push(`    ${line}`);
    if (all.length > MESSAGE_LINES_MAX) lines.push("    …");
  }
  lines.push(`took ${(durationMs / 1000).toFixed(1)} s`);
  lines.push(`${results.length - failed.length} passed, ${failed.length} failed`);
  return lines.join("\n");
}
