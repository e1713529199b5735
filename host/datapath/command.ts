/** Runs iproute2 in batches: one process for many changes. */
import { spawnSync } from "node:child_process";
import { DatapathError } from "./errors.ts";

const COMMAND_TIMEOUT_MS = 10_000;

/** How a command line is to run. */
export interface RunOptions {
  input?: string;
  /** Path of the network namespace to run in; default: this one. */
  netns?: string | undefined;
  /** Go on after a line of this text on standard error; other lines are failures. */
  tolerate?: RegExp;
}

/** @throws DatapathError `command-failed` with what the command said. */
export function run(argv: readonly string[], options: RunOptions = {}): string {
  const full =
    options.netns === undefined ? argv : ["nsenter", `--net=${options.netns}`, "--", ...argv];
  const [command = "", ...rest] = full;
  const done = spawnSync(command, rest, {
    input: options.input ?? "",
    encoding: "utf8",
    timeout: COMMAND_TIMEOUT_MS,
  });
  const complaints = (done.stderr ?? "")
    .split("\n")
    .filter((line) => line.trim() !== "" && !/^Command failed -:\d+$/.test(line))
    .filter((line) => options.tolerate === undefined || !options.tolerate.test(line));
  const tolerated = options.tolerate !== undefined && complaints.length === 0;
  if (done.error !== undefined || (done.status !== 0 && !tolerated)) {
    const reason = done.error?.message ?? (complaints.join("; ") || `exit ${done.status}`);
    throw new DatapathError("command-failed", `Cannot run ${full.join(" ")}: ${reason}`, {
      cause: done.error,
    });
  }
  return done.stdout;
}

/** Each line is what would follow `ip`. With `tolerate` the batch goes on after a failed line. */
export function ipBatch(lines: readonly string[], options: Omit<RunOptions, "input"> = {}): void {
  if (lines.length === 0) return;
  const force = options.tolerate === undefined ? [] : ["-force"];
  run(["ip", ...force, "-batch", "-"], { ...options, input: `${lines.join("\n")}\n` });
}
