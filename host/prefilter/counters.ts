/** The program's counters, summed over CPUs. */
import { COUNTERS } from "./layout.ts";

export interface FamilyCounters {
  droppedPackets: number;
  droppedBytes: number;
  passedPackets: number;
  passedBytes: number;
}

export interface CounterRow {
  ipv4: FamilyCounters;
  ipv6: FamilyCounters;
  /** Frames that are neither or cannot be read; they pass. */
  others: number;
  eventsLost: number;
}

const LITTLE = true;
const IPV4 = 0;
const IPV6 = 8;

/** `values`: one row per possible CPU. */
export function decodeCounters(values: Uint8Array): CounterRow {
  const view = new DataView(values.buffer, values.byteOffset, values.byteLength);
  const sum = (offset: number): number => {
    let total = 0n;
    for (let row = 0; row < values.length; row += COUNTERS.size) {
      total += view.getBigUint64(row + offset, LITTLE);
    }
    return Number(total);
  };
  const family = (at: number): FamilyCounters => ({
    droppedPackets: sum(COUNTERS.dropped_packets + at),
    droppedBytes: sum(COUNTERS.dropped_bytes + at),
    passedPackets: sum(COUNTERS.passed_packets + at),
    passedBytes: sum(COUNTERS.passed_bytes + at),
  });
  return {
    ipv4: family(IPV4),
    ipv6: family(IPV6),
    others: sum(COUNTERS.others),
    eventsLost: sum(COUNTERS.events_lost),
  };
}
