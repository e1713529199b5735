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
export const NODE_BYTES = 192;
/** Where `values` begin, in 32-bit words; the upper halves of the keys begin the node. */
export const NODE_VALUES_WORD32 = 32;
/** The lower halves. */
export const TAIL_BYTES = 128;
/** In a value: the key's lower half is not 0. */
export const HAS_TAIL = 0x8000_0000;
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
