/** A child process in a network namespace that answers one JSON line per JSON line. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

const HERE = new URL(".", import.meta.url).pathname;

export class LineClient {
  readonly #process: ChildProcess;
  readonly #waiting: ((line: string) => void)[] = [];

  constructor(netns: string, script: string, args: readonly string[] = []) {
    this.#process = spawn(
      "nsenter",
      [`--net=${netns}`, "--", process.execPath, `${HERE}${script}`, ...args],
      { stdio: ["pipe", "pipe", "inherit"] },
    );
    if (this.#process.stdout !== null)
      createInterface({ input: this.#process.stdout }).on("line", (line) =>
        this.#waiting.shift()?.(line),
      );
  }

  call(request: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#waiting.push((line) => {
        const { result, error } = JSON.parse(line);
        if (error === undefined) resolve(result);
        else reject(new Error(error));
      });
      this.#process.stdin?.write(`${JSON.stringify(request)}\n`);
    });
  }

  /** Ends the process without giving it a chance to do anything. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const gone = new Promise((resolve) => this.#process.once("exit", resolve));
    this.#process.kill("SIGKILL");
    await gone;
  }
}
