/** The one error type of the datapath, and how a kernel failure is put into it. */
import { isNativeError } from "../native/index.ts";

/** How much of a verifier log goes into a message; the whole log is on the cause. */
const LOG_LINES_MAX = 6;

export type DatapathErrorCode =
  | "no-privilege"
  | "no-bpffs"
  | "in-use"
  | "map-full"
  | "load-failed"
  | "abi-mismatch"
  | "not-started"
  | "no-interface"
  | "no-policy"
  | "command-failed";

/** Something about this machine or this call; `message` says what and, if known, how to help it. */
export class DatapathError extends Error {
  override readonly name = "DatapathError";
  readonly code: DatapathErrorCode;
  constructor(code: DatapathErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The last lines of a verifier log: the refused instruction and why. */
export function summarizeLog(log: string): string {
  const lines = log.trimEnd().split("\n");
  const shown = lines.slice(-LOG_LINES_MAX);
  const omitted = lines.length - shown.length;
  return [...(omitted > 0 ? [`(${omitted} lines omitted)`] : []), ...shown].join("\n");
}

export function loadError(object: string, cause: unknown): DatapathError {
  if (isNativeError(cause, "EPERM"))
    return new DatapathError(
      "no-privilege",
      `Cannot load ${object}: not permitted; run as root or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON`,
      { cause },
    );
  const detail = isNativeError(cause) ? cause.message : String(cause);
  const log = isNativeError(cause) && cause.log ? `\n${summarizeLog(cause.log)}` : "";
  return new DatapathError("load-failed", `Cannot load ${object}: ${detail}${log}`, { cause });
}
