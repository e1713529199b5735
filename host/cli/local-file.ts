/** Files that commands read and write themselves, with errors as the command line shows them. */
import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { CliError, EXIT } from "./errors.ts";

/** Nothing that a command reads whole is larger; what is for the agent has its own limits there. */
const FILE_BYTES_MAX = 32 << 20;

export function readLocalFile(name: string): Uint8Array {
  return locally(`Cannot read ${name}`, () => {
    if (name !== "-" && statSync(name).size > FILE_BYTES_MAX) {
      throw new Error(`over ${FILE_BYTES_MAX} bytes`);
    }
    return readFileSync(name === "-" ? 0 : name);
  });
}

/** The file is the old one or the new one, never half of it. */
export function writeLocalFile(name: string, content: Uint8Array): void {
  locally(`Cannot write ${name}`, () => {
    writeFileSync(`${name}.part`, content);
    renameSync(`${name}.part`, name);
  });
}

/** What fails in `action` is the user's to put right. Throws CliError. */
export function locally<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CliError(EXIT.user, `${what}: ${reason}`, { cause });
  }
}
