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

/**
 * V8 lets a heap grow fourfold between collections unless it is told to mind a small maximum. The
 * proxy collects by itself after versions changed (runtime/proxy/memory-back.ts).
 */
const V8_FLAGS = ["--max-semi-space-size=1", "--max-old-space-size=1024", "--expose-gc"];
/** glibc would keep an arena of what V8's compiler threads freed for each of them: 40 MB. */
const ENVIRONMENT = { MALLOC_ARENA_MAX: "2" };

/** Program and leading arguments that run the proxy; the proxy's own options follow. */
export function runtimeCommand(runtime: ProxyRuntime): [string, ...string[]] {
  const main = join(PROJECT, "runtime", "main.ts");
  if (runtime === "node") return [process.execPath, ...V8_FLAGS, main];
  const deno = join(PROJECT, "node_modules", ".bin", "deno");
  return [deno, "run", `--v8-flags=${V8_FLAGS.join(",")}`, "--no-prompt", "-A", main];
}

/** The command line that runs the proxy in the foreground. */
export function proxyCommand(options: ProxyProcessOptions): [string, ...string[]] {
  const flags = [
    ["--run-dir", options.runDir],
    ["--state-dir", options.stateDir],
    ["--bpffs", options.bpffs],
    ["--workers", String(options.workers)],
  ].flat();
  return [...runtimeCommand(options.runtime), ...flags];
}

/** Spawns it detached and returns its pid. Throws when the program cannot be started. */
export function startProxyProcess(options: ProxyProcessOptions): number {
  const log = openSync(join(options.runDir, "proxy.log"), "a", 0o600);
  try {
    const [program, ...args] = proxyCommand(options);
    const child = spawn(program, args, {
      detached: true,
      stdio: ["ignore", log, log],
      cwd: PROJECT,
      env: { ...process.env, ...ENVIRONMENT },
    });
    child.on("error", () => {});
    child.unref();
    if (child.pid === undefined) throw new Error(`Cannot start the proxy: ${program} did not run`);
    return child.pid;
  } finally {
    closeSync(log);
  }
}
