/** Writes traffic and its outcome as a vector, the reverse of vectors.ts. */
import type { Result } from "./outcome-diff.ts";
import type { Runnable } from "./run-vector.ts";

/** A Markdown section with the vector; without expectations when the result is a failure. */
export function vectorText(
  name: string,
  notes: readonly string[],
  { stages, steps }: Runnable,
  result: Result,
): string {
  const lines = stages.map((rules) => `stage ${JSON.stringify(rules)}`);
  for (const step of steps) {
    if ("bytes" in step) {
      lines.push(...textLines(step.kind === "request" ? ">" : "<", latin1(step.bytes)));
    } else if (step.kind === "end") {
      lines.push(`${step.direction === "request" ? ">." : "<."} ${step.how}`);
    } else lines.push(`! ${step.rules.map((rules) => JSON.stringify(rules)).join(" ")}`);
  }
  if (!("failure" in result)) {
    lines.push(...textLines("^", result.upstream), ...textLines("v", result.client));
    lines.push(...result.records.map((record) => `record ${record}`));
    if (result.close !== undefined) lines.push(`close ${result.close}`);
  }
  return `\n## ${name}\n\n${notes.join("\n")}\n\n\`\`\`vector\n${lines.join("\n")}\n\`\`\`\n`;
}

/** A line for each CR LF; what has none ends in a backslash. */
function textLines(mark: string, text: string): string[] {
  if (text === "") return [];
  const parts = text.split("\r\n");
  const last = parts.pop() ?? "";
  const lines = parts.map((part) => `${mark} ${escaped(part)}`.trimEnd());
  return last === "" ? lines : [...lines, `${mark} ${escaped(last)}\\`];
}

/** Only printable ASCII stands for itself; a space at the end would be lost to editors. */
function escaped(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll(/[^ -z|}~]| $/g, (mark) => {
    return `\\x${mark.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("latin1");
}
