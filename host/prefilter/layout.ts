/**
 * The rows of bpf/abi/prefilter.h as numbers. layout.test.ts holds them against the built object.
 * Rows are in host order, little endian on both supported machines.
 */

/** Part of the pinned names. */
export const ABI_VERSION_PREFILTER = 1;

export const GENERATIONS = 2;

/** IPv4: one 64-bit row per /20. */
export const GROUPS = 1 << 20;
export const GROUP_BYTES = 8;
export const GROUP_PART_SHIFT = 16;
/** 256 bits, one per address of a /24. */
export const LEAF_BYTES = 32;

/** IPv6. */
export const NODE_KEYS = 16;
export const NODE_BYTES = 320;
/** In 64-bit words from the node's start; `values` in 32-bit words. */
export const NODE_HIGH_WORD64 = 0;
export const NODE_LOW_WORD64 = 16;
export const NODE_VALUES_WORD32 = 64;
/** Below the root. */
export const LEVELS_MAX = 8;

export const SETTINGS = { size: 8, active: 0, event_interval_us: 4 } as const;

export const COUNTERS = {
  size: 88,
  dropped_packets: 0,
  dropped_bytes: 16,
  passed_packets: 32,
  passed_bytes: 48,
  others: 64,
  events_lost: 72,
  last_event_ns: 80,
} as const;
