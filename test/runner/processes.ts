/**
 * The processes of one test run. Each is started in a process group of its own and marked through
 * its environment, so that everything it leaves behind, daemons included, can be found and ended.
 */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

export interface Outcome {
  /** Exit code; 128 + signal number is not made up: a signal is `undefined`. */
  readonly code: number | undefined;
  readonly output: string;
  readonly durationMs: number;
}

export interface Stray {
  readonly pid: number;
  readonly command: string;
}

const MARK = "IMKER_TEST_RUN";
const OUTPUT_CHARACTERS_MAX = 200_000;

function killQuietly(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It ended by itself in the meantime.
  }
}

function readQuietly(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // The process is gone, or is not ours to look at.
  }
}

export class Processes {
  readonly #mark: string;
  readonly #root: string;
  readonly #groups = new Set<number>();

  /** @param root working folder of every process; @param name unique to this run. */
  constructor(root: string, name: string) {
    this.#root = root;
    this.#mark = `${MARK}=${name}`;
  }

  /** Runs to the end. `show`: straight to our own output; else collected in `output`. */
  run(command: readonly string[], show: boolean): Promise<Outcome> {
    const [program = "", ...args] = command;
    const started = performance.now();
    const [key, value] = [MARK, this.#mark.slice(MARK.length + 1)];
    // A log file with escape codes in it is hard to read.
    const colours = process.stdout.isTTY ? {} : { NO_COLOR: "1", FORCE_COLOR: undefined };
    return new Promise((resolve) => {
      const child = spawn(program, args, {
        cwd: this.#root,
        detached: true,
        env: { ...process.env, ...colours, [key]: value },
        stdio: show ? ["ignore", "inherit", "inherit"] : ["ignore", "pipe", "pipe"],
      });
      if (child.pid !== undefined) this.#groups.add(child.pid);
      let output = "";
      const collect = (chunk: Buffer): void => {
        if (output.length < OUTPUT_CHARACTERS_MAX) output += chunk.toString();
      };
      child.stdout?.on("data", collect);
      child.stderr?.on("data", collect);
      const finish = (code: number | undefined): void => {
        if (child.pid !== undefined) this.#groups.delete(child.pid);
        resolve({ code, output, durationMs: performance.now() - started });
      };
      child.once("error", (error) => {
        output += error.message;
        finish(undefined);
      });
      child.once("close", (code) => finish(code ?? undefined));
    });
  }

  /** Processes that carry our mark and still live. */
  strays(): Stray[] {
    const found: Stray[] = [];
    for (const entry of readdirSync("/proc")) {
      if (!/^\d+$/.test(entry)) continue;
      if (!readQuietly(`/proc/${entry}/environ`).split("\0").includes(this.#mark)) continue;
      const command = readQuietly(`/proc/${entry}/cmdline`).replaceAll("\0", " ").trim();
      if (command !== "") found.push({ pid: Number(entry), command });
    }
    return found;
  }

  killAll(): void {
    for (const group of this.#groups) killQuietly(-group);
    for (const { pid } of this.strays()) killQuietly(pid);
  }
}
