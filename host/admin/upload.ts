/**
 * Bodies that are files: read whole within a bound of bytes, time and number, so that clients
 * cannot fill the agent's memory. Those over the number wait; a client that is slow is sent away.
 */
import { ProblemError } from "./problem.ts";

/** Bodies in memory at the same time. */
const READING_MAX = 8;
/** Requests that wait for that; one more is refused. */
const WAITING_MAX = 256;
const READ_MS_MAX = 30_000;

export class Uploads {
  #reading = 0;
  readonly #waiting: (() => void)[] = [];

  /**
   * Gives `use` the whole body. Throws ProblemError: 413 over `bytesMax`, 408 when it takes longer
   * than READ_MS_MAX, 503 when too many wait.
   */
  async take<T>(request: Request, bytesMax: number, use: (body: Uint8Array) => T): Promise<T> {
    await this.#enter();
    try {
      return use(await readBody(request, bytesMax));
    } finally {
      this.#leave();
    }
  }

  async #enter(): Promise<void> {
    if (this.#reading < READING_MAX) {
      this.#reading += 1;
      return;
    }
    if (this.#waiting.length >= WAITING_MAX) {
      throw new ProblemError(503, `Cannot take the upload: ${WAITING_MAX} are waiting`);
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** The place goes to the one who waits longest. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#reading -= 1;
    else next();
  }
}

async function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  const reader = request.body?.getReader();
  if (reader === undefined) return new Uint8Array();
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    reader.cancel().catch(() => {});
  }, READ_MS_MAX);
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      length += part.value.length;
      if (length > bytesMax) {
        await reader.cancel().catch(() => {});
        throw new ProblemError(413, `Cannot take the upload: over ${bytesMax} bytes`);
      }
      chunks.push(part.value);
    }
  } finally {
    clearTimeout(timer);
  }
  // A cancelled reader reports an end like any other.
  if (late) {
    throw new ProblemError(408, `Cannot take the upload: not whole after ${READ_MS_MAX / 1000} s`);
  }
  return Buffer.concat(chunks);
}
