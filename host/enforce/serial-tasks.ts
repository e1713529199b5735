/**
 * Tasks one after the other, in the order in which they come. Each is asked for by a request or an
 * event that waits for it, so those bound how many there are.
 */
import type { Logger } from "pino";

export class SerialTasks {
  readonly #log: Logger;
  #last: Promise<unknown> = Promise.resolve();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** Settles as the task does. One that fails does not keep the next from running. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch((error: unknown) => {
      this.#log.debug({ error }, "a policy change failed");
    });
    return result;
  }
}
