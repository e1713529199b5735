/**
 * Starts a proxy process so that it outlives the agent: own process group, log file instead of
 * pipes, nothing inherited. Which runtime it runs on is decided here and nowhere else.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export type ProxyRuntime = "node" | "deno";

export interface ProxyProcessOptions {
  runtime: ProxyRuntime;
  workers: number;
  runDir: string;
  stateDir: string;
  bpffs: string;
}

const PROJECT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Program and arguments that run the proxy in the foreground. */
export function proxyCommand(options: ProxyProcessOptions): [string, string[]] {
  const main = join(PROJECT, "runtime", "main.ts");
  const flags = [
    ["--run-dir", options.runDir],
    ["--state-dir", options.stateDir],
    ["--bpffs", options.bpffs],
    ["--workers", String(options.workers)],
  ].flat();
  return options.runtime === "node"
    ? [process.execPath, ["--max-semi-space-size=1", main, ...flags]]
    : [join(PROJECT, "node_modules", ".bin", "deno"), ["run", "--no-prompt", "-A", main, ...flags]];
}

/** Spawns it detached and returns its pid. Throws when the program cannot be started. */
export function startProxyProcess(options: ProxyProcessOptions): number {
  const log = openSync(join(options.runDir, "proxy.log"), "a", 0o600);
  try {
    const [program, args] = proxyCommand(options);
    const child = spawn(program, args, {
      detached: true,
      stdio: ["ignore", log, log],
      cwd: PROJECT,
    });
    child.on("error", () => {});
    child.unref();
    if (child.pid === undefined) throw new Error(`Cannot start the proxy: ${program} did not run`);
    return child.pid;
  } finally {
    closeSync(log);
  }
}
