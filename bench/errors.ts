/**
 * The two ways a benchmark ends early: the machine lacks something (exit code 2), or a run went
 * wrong and its numbers must not be believed (exit code 1).
 */
export class EnvironmentError extends Error {
  override readonly name = "EnvironmentError";
}

export class RunError extends Error {
  override readonly name = "RunError";
}
