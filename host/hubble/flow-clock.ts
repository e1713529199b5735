/**
 * Distinct times: clients tell the flows of a node apart by their nanosecond. Every source of
 * events (the datapath, each proxy worker) gets a lane, its share of the nanoseconds, and rises
 * strictly within it; so a flow is moved by at most `TIME_LANES` ns, and sources need not agree.
 */

/** Sources that can be told apart: the datapath and 63 workers. */
export const TIME_LANES = 64;
/** A clock that went back further than this was set, and is followed. */
const SETBACK_NS_MAX = 1_000_000_000n;
const LANES = BigInt(TIME_LANES);

export class FlowClock {
  readonly #last: bigint[] = [];

  /** The distinct time next to `time` in the lane of `source` (datapath 0, worker n is n + 1). */
  distinct(time: bigint, source: number): bigint {
    const lane = source % TIME_LANES;
    const last = this.#last[lane] ?? 0n;
    let slot = time - (time % LANES) + BigInt(lane);
    if (slot <= last && last - slot < SETBACK_NS_MAX) slot = last + LANES;
    this.#last[lane] = slot;
    return slot;
  }
}
