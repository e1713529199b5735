/** Exit codes of the command line, and the errors that carry them. */

/** `differs`: what was asked about is denied or different, with `--exit-code` only. */
export const EXIT = { ok: 0, user: 1, environment: 2, unreachable: 3, differs: 4 } as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** Ends the command with one line on stderr and `code`. */
export class CliError extends Error {
  override readonly name = "CliError";
  readonly code: ExitCode;
  constructor(code: ExitCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
