/** A line of the conformance kit, for people. */
import type { CheckLine } from "../../../runtime/testkit/conformance/index.ts";

const NAME_COLUMNS = 12;

export function checkLineText({ name, ok, detail, findings = [] }: CheckLine): string {
  const head = `${ok ? "✓" : "✗"} ${name.padEnd(NAME_COLUMNS)} ${detail}`;
  return [head, ...findings.map((line) => `    ${line}`), ""].join("\n");
}
