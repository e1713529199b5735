/** Policy files as a command line names them: files, folders, standard input. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { PolicyFile } from "../admin/types.ts";
import { CliError, EXIT } from "./errors.ts";

const POLICY_FILE = /\.(ya?ml|json)$/;

/** `-R`, for every command that reads policies. */
export const RECURSIVE = ["-R, --recursive", "folders in folders too"] as const;

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file",
  EACCES: "permission denied",
  EISDIR: "it is a folder",
};

/** A folder stands for its YAML and JSON files, in order of name; `-` for standard input. */
export function readPolicyInput(names: readonly string[], recursive = false): PolicyFile[] {
  return names.flatMap((name) => filesOf(name, recursive)).map(readPolicyFile);
}

function filesOf(name: string, recursive: boolean): string[] {
  if (name === "-" || statSync(name, { throwIfNoEntry: false })?.isDirectory() !== true) {
    return [name];
  }
  const entries = readdirSync(name, { recursive, withFileTypes: true });
  const files = entries
    .filter((entry) => POLICY_FILE.test(entry.name) && !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  if (files.length > 0) return files.sort();
  const isDeeper = !recursive && entries.some((entry) => entry.isDirectory());
  const hint = isDeeper ? "; --recursive looks into its folders" : "";
  throw new CliError(EXIT.user, `Cannot read ${name}: no .yaml, .yml or .json file in it${hint}`);
}

function readPolicyFile(name: string): PolicyFile {
  try {
    const bytes = readFileSync(name === "-" ? 0 : name);
    return { file: name, text: new TextDecoder("utf-8", { fatal: true }).decode(bytes) };
  } catch (cause) {
    throw new CliError(EXIT.user, `Cannot read ${name}: ${reasonOf(cause)}`, { cause });
  }
}

function reasonOf(cause: unknown): string {
  if (cause instanceof TypeError) return "it is not UTF-8 text";
  const { code = "", message } = cause as NodeJS.ErrnoException;
  return REASONS[code] ?? message;
}
