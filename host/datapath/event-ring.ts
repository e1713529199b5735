/** The ring that the programs tell of drops, verdicts and traces in: drained, decoded, timed. */
import type { Native, RingBuffer } from "../native/index.ts";
import { decodeEvent } from "./abi.ts";
import { LAYOUT } from "./layout.ts";
import type { DatapathEvent } from "./types.ts";

const EVENTS_PER_READ = 256;

export class EventRing {
  readonly #ring: RingBuffer;
  readonly #records = new Uint8Array(EVENTS_PER_READ * LAYOUT.event.size);

  constructor(native: Native, fd: number) {
    this.#ring = new native.RingBuffer(fd, LAYOUT.event.size);
  }

  /** At most `max` events; returns how many were delivered. */
  read(max: number, deliver: (event: DatapathEvent) => void): number {
    const epochNs = BigInt(Date.now()) * 1_000_000n - process.hrtime.bigint();
    const { size } = LAYOUT.event;
    let total = 0;
    while (total < max) {
      const room = Math.min(max - total, EVENTS_PER_READ);
      const count = this.#ring.consume(this.#records.subarray(0, room * size));
      for (let at = 0; at < count * size; at += size)
        deliver(decodeEvent(this.#records.subarray(at, at + size), epochNs));
      total += count;
      if (count < room) break;
    }
    return total;
  }

  close(): void {
    this.#ring.close();
  }
}
