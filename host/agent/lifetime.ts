/** What has to be closed when the agent stops, last made first. */
import type { Logger } from "pino";

export class Lifetime {
  readonly #log: Logger;
  readonly #closers: (() => void)[] = [];

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Takes charge of `part` and hands it back. */
  own<T extends { close(): void }>(part: T): T {
    this.onEnd(() => part.close());
    return part;
  }

  onEnd(close: () => void): void {
    this.#closers.push(close);
  }

  /** Repeats `task` until the end; a failure is logged and does not stop the repetition. */
  every(intervalMs: number, task: () => Promise<unknown>): void {
    const timer = setInterval(() => {
      task().catch((error: unknown) => this.#log.error({ error }, "a periodic task failed"));
    }, intervalMs);
    this.onEnd(() => clearInterval(timer));
  }

  end(): void {
    for (const close of this.#closers.splice(0).reverse()) close();
  }
}
