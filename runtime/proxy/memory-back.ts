/**
 * Gives memory back after versions were replaced. Reading and compiling a package leaves a few MiB
 * of garbage in the main thread, which has little to do otherwise and would keep it for hours: V8
 * collects when it allocates. So it is told to, once changes have come to rest; workers do the same
 * for themselves (runtime/worker/thread.ts).
 */

/** After the last of several changes in a row. */
const REST_MS = 1_000;

export class MemoryBack {
  readonly #collect: () => void;
  readonly #restMs: number;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `collect`: V8's own, there when it was started with --expose-gc. */
  constructor(collect: () => void, restMs = REST_MS) {
    this.#collect = collect;
    this.#restMs = restMs;
  }

  /** Something large may have become garbage. */
  changed(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#collect, this.#restMs);
    this.#timer.unref();
  }
}
