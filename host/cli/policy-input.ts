/** Policy files as a command line names them: files, folders, standard input. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { PolicyFile } from "../admin/types.ts";
import { CliError, EXIT } from "./errors.ts";

const POLICY_FILE = /\.(ya?ml|json)$/;

/** A folder stands for its YAML and JSON files, in order of name; `-` for standard input. */
export function readPolicyInput(names: readonly string[]): PolicyFile[] {
  return names.flatMap(filesOf).map(readPolicyFile);
}

function filesOf(name: string): string[] {
  if (name === "-" || statSync(name, { throwIfNoEntry: false })?.isDirectory() !== true) {
    return [name];
  }
  const files = readdirSync(name).filter((file) => POLICY_FILE.test(file));
  if (files.length === 0) {
    throw new CliError(EXIT.user, `Cannot read ${name}: no .yaml, .yml or .json file in it`);
  }
  return files.sort().map((file) => join(name, file));
}

function readPolicyFile(name: string): PolicyFile {
  try {
    const bytes = readFileSync(name === "-" ? 0 : name);
    return { file: name, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (cause) {
    if (cause instanceof TypeError) {
      throw new CliError(EXIT.user, `Cannot read ${name}: it is not UTF-8 text`, { cause });
    }
    throw new CliError(EXIT.user, `Cannot read ${name}: ${(cause as Error).message}`, { cause });
  }
}
