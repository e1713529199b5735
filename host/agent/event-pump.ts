/**
 * Moves events from the kernel's ring to the flow builder. The datapath never wakes the agent, so
 * the agent looks: often while there is traffic, rarely while there is none (decision 0006).
 */
import type { Datapath, DatapathEvent } from "../datapath/types.ts";

const BUSY_MS = 10;
const IDLE_MS = 50;
/** Under load records come in batches; once a batch is enough. */
const CATCH_UP_MS = 1;
/** More than this in one turn would stall the admin API; the ring keeps the rest. */
const EVENTS_PER_TURN_MAX = 2048;

export class EventPump {
  readonly #datapath: Pick<Datapath, "readEvents" | "lostEvents">;
  readonly #deliver: (event: DatapathEvent) => void;
  readonly #lost: (count: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #lostBefore: number;
  #lastDrain = 0;

  constructor(
    datapath: Pick<Datapath, "readEvents" | "lostEvents">,
    deliver: (event: DatapathEvent) => void,
    lost: (count: number) => void,
  ) {
    this.#datapath = datapath;
    this.#deliver = deliver;
    this.#lost = lost;
    this.#lostBefore = datapath.lostEvents();
    this.#turn();
  }

  /** Reads what is there now, so that an answer given next includes it. */
  drain(): number {
    this.#lastDrain = performance.now();
    const count = this.#datapath.readEvents(EVENTS_PER_TURN_MAX, this.#deliver);
    const lost = this.#datapath.lostEvents();
    if (lost > this.#lostBefore) this.#lost(lost - this.#lostBefore);
    this.#lostBefore = lost;
    return count;
  }

  /**
   * Lets the packets of a connection come before its messages: the proxy's records are pushed to
   * the agent at once, the kernel's events wait in the ring.
   */
  catchUp(): void {
    const now = performance.now();
    if (now - this.#lastDrain >= CATCH_UP_MS) this.drain();
  }

  close(): void {
    clearTimeout(this.#timer);
  }

  #turn(): void {
    const count = this.drain();
    const wait = count === EVENTS_PER_TURN_MAX ? 0 : count > 0 ? BUSY_MS : IDLE_MS;
    this.#timer = setTimeout(() => this.#turn(), wait);
  }
}
