/** What `imker plugin test` found, for people: a line for each part, then every finding in full. */
import type { PluginTestReport, ToolRun } from "../../../runtime/testkit/plugin-test.ts";
import type { Finding, VectorReport } from "../../../runtime/testkit/vector-check.ts";

/** Lines of a failed tool that are shown. */
const TOOL_LINES_MAX = 60;

export function testReportText(report: PluginTestReport): string {
  const lines = [
    `✓ build    ${report.plugin}, ${report.bytes} bytes, ${report.digest}`,
    ...toolLines("types", report.types),
    vectorLine(report.vectors),
    ...report.vectors.findings.flatMap(findingLines),
    ...toolLines("unit", report.unit),
  ];
  return `${lines.join("\n")}\n`;
}

function vectorLine(report: VectorReport): string {
  const mark = report.findings.length === 0 ? "✓" : "✗";
  const counts = `${report.vectors} vectors, ${report.runs} runs, ${report.mutations} mutations`;
  const hint = report.vectors === 0 ? "; write some into vectors.md" : "";
  return `${mark} vectors  ${counts} (seed ${report.seed}), natively and sandboxed${hint}`;
}

function toolLines(name: string, run: ToolRun | undefined): string[] {
  const label = name.padEnd(8);
  if (run === undefined) return [`- ${label} nothing to run`];
  const lines = run.output.split("\n");
  if (!run.ok) return [`✗ ${label}`, ...lines.slice(-TOOL_LINES_MAX).map((line) => `  ${line}`)];
  const summary = lines.find((line) => /^\s*Tests\s/.test(line))?.trim() ?? "";
  return [`✓ ${label} ${summary}`.trimEnd()];
}

export function findingLines(finding: Finding): string[] {
  return [
    "",
    `✗ ${finding.vector} (${finding.way}, ${finding.cut})`,
    ...(finding.mutated ?? []).map((text, step) => `  step ${step + 1}: ${JSON.stringify(text)}`),
    ...finding.difference.map((line) => `  ${line}`),
  ];
}
