/** Labels on a command line: an option that is given once for each. */
import { InvalidArgumentError } from "commander";

export function collectLabel(text: string, labels: Record<string, string>): Record<string, string> {
  const at = text.indexOf("=");
  if (at <= 0) throw new InvalidArgumentError("expected key=value");
  return { ...labels, [text.slice(0, at)]: text.slice(at + 1) };
}
