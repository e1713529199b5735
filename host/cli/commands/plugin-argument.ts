/** What the commands about plugins have in common: paths of resources, and seconds. */
import { InvalidArgumentError } from "commander";
import { CliError, EXIT } from "../errors.ts";

/** `/v1/plugins/NAME/…`. Throws CliError for what would be taken for a step in the path. */
export function pluginPath(name: string, ...rest: string[]): string {
  return ["/v1/plugins", ...[name, ...rest].map(segment)].join("/");
}

export function parseSeconds(text: string): number {
  const value = Number(text);
  if (text === "" || !Number.isFinite(value) || value < 0) {
    throw new InvalidArgumentError("expected seconds");
  }
  return value;
}

function segment(text: string): string {
  if (!/^\.*$/.test(text)) return encodeURIComponent(text);
  throw new CliError(EXIT.user, `Cannot use "${text}": it is no name`);
}
