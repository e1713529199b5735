/**
 * How many records the agent decodes. L7 records can arrive at 100,000 a second for every core,
 * and the agent must stay cheap and answer its API meanwhile: beyond the budget, whole exchanges
 * are counted as lost instead of decoded. One budget is shared by the streams of all workers.
 */

/** Length of a tick of the budget. */
export const DECODE_TICK_MS = 200;
/** 50,000 requests a second, each with its response: about a tenth of a core (hubble/README.md). */
export const REQUESTS_PER_TICK_MAX = 10_000;

export class DecodeBudget {
  readonly #nowMs: () => number;
  #tickEndMs = 0;
  #left = 0;

  constructor(deps: { nowMs: () => number }) {
    this.#nowMs = deps.nowMs;
  }

  /** Whether one more may be decoded in this tick. */
  take(): boolean {
    if (this.#left === 0) {
      const now = this.#nowMs();
      if (now < this.#tickEndMs && this.#tickEndMs - now <= DECODE_TICK_MS) return false;
      this.#tickEndMs = now + DECODE_TICK_MS;
      this.#left = REQUESTS_PER_TICK_MAX;
    }
    this.#left--;
    return true;
  }
}
