/**
 * Results come from vitest's own report: failed files, skipped tests and crashes all count.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { formatSummary, type Report, resultsOfReport, resultsOfSuite } from "./report.ts";

const report = (status: string, tests: [string, string, string?][]): Report => ({
  success: status === "passed",
  testResults: [
    {
      name: "/root/of/it/host/a.test.ts",
      status,
      message: "cannot load",
      assertionResults: tests.map(([fullName, state, message]) => ({
        fullName,
        status: state,
        failureMessages: message === undefined ? [] : [message],
      })),
    },
  ],
});

const cases = [
  { name: "passed", given: report("passed", [["a", "passed"]]), passed: 1, failed: 0 },
  { name: "failed", given: report("failed", [["a", "failed", "no"]]), passed: 0, failed: 1 },
  { name: "skipped", given: report("passed", [["a", "skipped"]]), passed: 0, failed: 1 },
  { name: "file did not load", given: report("failed", []), passed: 0, failed: 1 },
];

test.each(cases)("resultsOfReport() counts: $name", ({ given, passed, failed }) => {
  const results = resultsOfReport(given, "/root/of/it");
  expect(results.filter((result) => result.passed)).toHaveLength(passed);
  expect(results.filter((result) => !result.passed)).toHaveLength(failed);
  expect(results.every(({ name }) => name.startsWith("host/a.test.ts"))).toBe(true);
});

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "imker-report-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

test("resultsOfSuite() fails a run that left no report, or whose exit code contradicts it", () => {
  const path = join(folder, "report.json");
  const crashed = { code: undefined, output: "", durationMs: 1 };
  expect(resultsOfSuite("unit", path, crashed, "/")).toMatchObject([{ passed: false }]);
  writeFileSync(path, JSON.stringify(report("passed", [["a", "passed"]])));
  const wrong = { code: 1, output: "", durationMs: 1 };
  expect(resultsOfSuite("unit", path, wrong, "/").map(({ passed }) => passed)).toEqual([
    true,
    false,
  ]);
});

test("formatSummary() names failures and ends with the two numbers", () => {
  const lines = formatSummary(
    [
      { name: "a", passed: true, message: "" },
      { name: "b", passed: false, message: "expected 1\ngot 2" },
    ],
    1500,
  ).split("\n");
  expect(lines).toEqual(
    ["FAILED b", "    expected 1", "    got 2", "took 1.5 s"].concat("1 passed, 1 failed"),
  );
});
