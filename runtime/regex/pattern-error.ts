/** The error of this folder: a pattern that is not RE2 syntax, or too large to bound. */

export type PatternErrorCode = "syntax" | "limit";

export class PatternError extends Error {
  readonly code: PatternErrorCode;
  /** UTF-16 offset into the source where the trouble begins. */
  readonly position: number;

  constructor(code: PatternErrorCode, position: number, state: string) {
    super(`Cannot compile pattern: ${state} at ${position}`);
    this.name = "PatternError";
    this.code = code;
    this.position = position;
  }
}
