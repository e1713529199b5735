/**
 * Starts the programs of a benchmark where they belong (network namespace, CPU, cgroup) and ends
 * them again. A placed program is entered into its cgroup before it is executed, so that everything
 * it starts is counted there too.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { EnvironmentError, RunError } from "./errors.ts";

const STOP_TIMEOUT_MS = 3000;
const LISTEN_TIMEOUT_MS = 15_000;
const LISTEN_POLL_MS = 20;
const STDERR_BYTES_MAX = 16 * 1024;
const STDOUT_BYTES_MAX = 1024 * 1024;

export interface Placement {
  cpu: number;
  /** Name under /run/netns. */
  netns?: string;
  /** cgroup.procs files to enter. */
  procsFiles?: readonly string[];
}

/** The command line that puts `argv` in its place; every step execs the next, so the pid stays. */
export function placedArgv(placement: Placement, argv: readonly string[]): string[] {
  const enter =
    placement.netns === undefined ? [] : ["nsenter", `--net=/run/netns/${placement.netns}`];
  const placed = [...enter, "taskset", "-c", String(placement.cpu), ...argv];
  const files = placement.procsFiles ?? [];
  if (files.length === 0) return placed;
  const script = `${files.map((file) => `echo $$ > '${file}'`).join(" && ")} && exec "$@"`;
  return ["sh", "-c", script, "sh", ...placed];
}

/** Runs a short command to its end and returns its output. */
export function run(
  argv: readonly string[],
  options: { cwd?: string; input?: string } = {},
): string {
  const [command = "", ...args] = argv;
  const done = spawnSync(command, args, { encoding: "utf8", ...options });
  if (done.error !== undefined) {
    throw new EnvironmentError(`Cannot run ${command}: ${done.error.message}`);
  }
  if (done.status !== 0) {
    const state = done.stderr.trim() || done.stdout.trim() || `exit code ${done.status}`;
    throw new RunError(`Cannot run ${argv.join(" ")}: ${state}`);
  }
  return done.stdout;
}

export class Program {
  readonly name: string;
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #exited: Promise<number>;
  #hasExited = false;
  #stdout = "";
  #stderr = "";

  constructor(name: string, child: ChildProcess) {
    if (child.pid === undefined) throw new EnvironmentError(`Cannot start ${name}: no process`);
    this.name = name;
    this.pid = child.pid;
    this.#child = child;
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout = (this.#stdout + text).slice(-STDOUT_BYTES_MAX);
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_BYTES_MAX);
    });
    this.#exited = new Promise((resolve) => {
      child.on("close", (code, signal) => {
        this.#hasExited = true;
        resolve(code ?? (signal === null ? 1 : 128));
      });
    });
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  get stdout(): string {
    return this.#stdout;
  }

  get stderr(): string {
    return this.#stderr;
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Resolves with the output once the program ended; rejects unless it ended with 0. */
  async output(): Promise<string> {
    const code = await this.#exited;
    if (code !== 0) throw new RunError(`Cannot run ${this.name}: ${this.#stderr.trim() || code}`);
    return this.#stdout;
  }

  /** Waits until `ready` says so; rejects when the program ends or the time is over. */
  async waitFor(what: string, ready: () => boolean, timeoutMs = LISTEN_TIMEOUT_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs;
    while (!ready()) {
      const state = this.#stderr.trim() || this.#stdout.trim().slice(-500);
      if (this.#hasExited) throw new RunError(`Cannot start ${this.name}: it ended: ${state}`);
      if (performance.now() > deadline) {
        throw new RunError(`Cannot start ${this.name}: no ${what} after ${timeoutMs} ms: ${state}`);
      }
      await new Promise((resolve) => setTimeout(resolve, LISTEN_POLL_MS));
    }
  }

  waitForListener(port: number): Promise<void> {
    return this.waitFor(`listener on port ${port}`, () => isListening(this.pid, port));
  }

  async stop(): Promise<void> {
    if (this.#hasExited) return;
    this.#child.stdin?.end();
    this.#child.kill("SIGTERM");
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }
}

export function start(
  name: string,
  placement: Placement,
  argv: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Program {
  const [command = "", ...args] = placedArgv(placement, argv);
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: { ...process.env, ...options.env },
    stdio: ["pipe", "pipe", "pipe"],
  });
  // Writing to a program that has just ended is no error of ours; its exit code tells.
  child.stdin.on("error", () => undefined);
  child.on("error", () => undefined);
  return new Program(name, child);
}

/** Does the network namespace of `pid` hold a TCP listener on `port`? */
export function isListening(pid: number, port: number): boolean {
  return ["tcp", "tcp6"].some((table) => {
    try {
      return hasListener(readFileSync(`/proc/${pid}/net/${table}`, "utf8"), port);
    } catch {
      return false;
    }
  });
}

/** Reads the text of /proc/net/tcp: local address in field 1, state in field 3 (0A is LISTEN). */
export function hasListener(table: string, port: number): boolean {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return table.split("\n").some((line) => {
    const fields = line.trim().split(/\s+/);
    return fields[3] === "0A" && (fields[1] ?? "").endsWith(suffix);
  });
}

/** Resident memory of a process in bytes (proc(5): VmRSS is in kibibytes). */
export function residentBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kibibytes === undefined) throw new RunError(`Cannot read the memory of ${pid}: no VmRSS`);
  return Number(kibibytes) * 1024;
}
