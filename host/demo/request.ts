/** One request of the demo, made by curl inside a namespace, and its result in words. */
import { execFile } from "node:child_process";

const CONNECT_TIMEOUT_SECONDS = 1;
const TOTAL_TIMEOUT_SECONDS = 4;

export interface CurlRequest {
  netns: string;
  address: string;
  port: number;
  path: string;
  method: string;
  headers: readonly string[];
  askSource: boolean;
}

/** curl's exit codes: 7 refused or reset, 28 timed out, 52 and 56 cut after it opened. */
const FAILURES: Record<number, string> = {
  7: "refused",
  28: "no answer",
  52: "closed",
  56: "closed",
};

export function request(wanted: CurlRequest): Promise<string> {
  const host = wanted.address.includes(":") ? `[${wanted.address}]` : wanted.address;
  const args = [
    `--net=${wanted.netns}`,
    "curl",
    ...["--silent", "--path-as-is", "--noproxy", "*", "--request", wanted.method],
    ...["--connect-timeout", String(CONNECT_TIMEOUT_SECONDS)],
    ...["--max-time", String(TOTAL_TIMEOUT_SECONDS)],
    ...["--write-out", "\n%{http_code}"],
    ...wanted.headers.flatMap((header) => ["--header", header]),
    `http://${host}:${wanted.port}${wanted.path}`,
  ];
  return new Promise((resolve, reject) => {
    execFile("nsenter", args, (error, stdout) => {
      const code = error === null ? 0 : error.code;
      if (typeof code === "string") {
        reject(new Error(`Cannot run curl: ${code}; install the Debian package curl`));
      } else if (code !== 0 && code !== undefined && code !== null) {
        resolve(FAILURES[code] ?? `curl exit ${code}`);
      } else {
        resolve(wanted.askSource ? sourceIn(stdout) : (stdout.split("\n").at(-1) ?? ""));
      }
    });
  });
}

function sourceIn(stdout: string): string {
  const match = /"from":"([^"]*)"/.exec(stdout);
  return match === null ? (stdout.split("\n").at(-1) ?? "") : `from ${match[1]}`;
}
