/**
 * What every command is given: streams, the client of the chosen socket, and the ways to print.
 * Commands never touch process.stdout, so that tests can read what they say.
 */
import type { Command } from "commander";
import { ApiClient } from "./client.ts";

export interface CliStreams {
  out: (text: string) => void;
  err: (text: string) => void;
  /** Socket to use when the command line names none (environment variable IMKER_SOCKET). */
  socket?: string | undefined;
  /** The connection by which the user came to this machine (environment SSH_CONNECTION). */
  sshConnection?: string | undefined;
  /** Asks who sits at the terminal for a yes; undefined: nobody does. */
  ask?: ((question: string) => Promise<boolean>) | undefined;
}

export const SOCKET_DEFAULT = "/var/run/imker/admin.sock";

export interface CliContext extends CliStreams {
  /** Runs `action` with a client that is closed afterwards. */
  withClient<T>(command: Command, action: (client: ApiClient) => Promise<T>): Promise<T>;
  /** `--json`: the value; else whatever `text` makes of it. */
  print<T>(command: Command, value: T, text: (value: T) => string): void;
}

export function createContext(streams: CliStreams): CliContext {
  return {
    ...streams,
    async withClient(command, action) {
      const socket = globalOption(command, "socket") ?? streams.socket ?? SOCKET_DEFAULT;
      const client = new ApiClient(socket);
      try {
        return await action(client);
      } finally {
        await client.close();
      }
    },
    print(command, value, text) {
      streams.out(wantsJson(command) ? `${JSON.stringify(value, undefined, 2)}\n` : text(value));
    },
  };
}

/** An option that may stand before or after the command's name; the innermost one given wins. */
export function globalOption(command: Command, name: string): string | undefined {
  for (let at: Command | null = command; at !== null; at = at.parent) {
    if (at.getOptionValueSource(name) === "cli") return String(at.getOptionValue(name));
  }
  return undefined;
}

export function wantsJson(command: Command): boolean {
  return globalOption(command, "json") !== undefined;
}

/** Columns padded to their widest cell, two spaces apart; a heading line first. */
export function table(head: string[], rows: (string | number)[][]): string {
  const cells = [head, ...rows].map((row) => row.map(String));
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .map((line) => `${line}\n`)
    .join("");
}
