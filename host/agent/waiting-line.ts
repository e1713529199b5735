/**
 * Work that takes long and much memory, one after the other: who comes while another is served
 * waits, and is sent away if too many wait already.
 */
import { ProblemError } from "../admin/problem.ts";

export class WaitingLine {
  readonly #waitingMax: number;
  #inLine = 0;
  #last: Promise<unknown> = Promise.resolve();

  /** @param waitingMax How many may wait beside the one that is served. */
  constructor(waitingMax: number) {
    this.#waitingMax = waitingMax;
  }

  /** @throws ProblemError 429 if too many wait. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inLine > this.#waitingMax) {
      throw new ProblemError(429, `Cannot begin: ${this.#waitingMax} others wait; try again later`);
    }
    this.#inLine++;
    const result = this.#last.then(work).finally(() => {
      this.#inLine--;
    });
    this.#last = result.catch(() => {});
    return result;
  }
}
