/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The prefilter's contract with the agent (host/prefilter/layout.ts): the rows of the maps that
 * hold the list of denied sources, its settings and its counters. The same rules as for abi.h.
 *
 * A list is one generation: a slot in each of the outer maps. The agent fills the idle slot and
 * then sets prefilter_settings.active, one aligned word, so that both families change at once.
 */
#ifndef IMKER_ABI_PREFILTER_H
#define IMKER_ABI_PREFILTER_H

#ifdef __bpf__
#include "vmlinux.h"
#else
#include <linux/types.h>
#endif

/* Part of the pinned names of all maps of the prefilter. */
#define ABI_VERSION_PREFILTER 1

#define PREFILTER_GENERATIONS 2

/*
 * groups, IPv4: array, one word per /20, changed as a whole. Bit n of the low 16: the n-th /24 is
 * denied; bit n of the next 16: some of it is denied, by a leaf; high 32: the leaf of the first
 * such /24, the others follow in order.
 */
#define PREFILTER_GROUPS (1 << 20)
#define PREFILTER_GROUP_PART_SHIFT 16
#define PREFILTER_GROUP_LEAF_SHIFT 32

/* leaves, IPv4: array, 256 bits for the addresses of a /24. */
struct prefilter_leaf {
	__u64 words[4];
};

/*
 * nodes, IPv6: array that holds a search tree. Node 0 is its root pointer: low half of high[0] the
 * index of the root (0: no prefix), high half the levels below it. Keys ascend; those not used
 * repeat the last one with its value. A node that can be reached is never changed.
 * On the lowest level the keys are prefixes that do not overlap and the values their lengths; above
 * it a value is the node that holds the keys from this one on. A key is 128 bits; its lower half
 * stands in tails, under the same index, so that what nearly every search reads is half the memory.
 */
#define PREFILTER_NODE_KEYS 16
#define PREFILTER_LEVELS_MAX 8

struct prefilter_node {
	__u64 high[PREFILTER_NODE_KEYS]; /* upper half of the address as a number */
	__u32 values[PREFILTER_NODE_KEYS];
};

/* In values: the key's lower half is not 0. */
#define PREFILTER_HAS_TAIL 0x80000000u

struct prefilter_tail {
	__u64 low[PREFILTER_NODE_KEYS];
};

/* settings: array of one row. */
struct prefilter_settings {
	__u32 active;            /* generation in force */
	__u32 event_interval_us; /* at least this long from one drop event of a CPU to its next */
};

#define PREFILTER_IPV4 0
#define PREFILTER_IPV6 1

/* counters: per-CPU array of one row. By family; others are frames that are neither. */
struct prefilter_counters {
	__u64 dropped_packets[2];
	__u64 dropped_bytes[2];
	__u64 passed_packets[2];
	__u64 passed_bytes[2];
	__u64 others;
	__u64 events_lost;
	__u64 last_event_ns; /* CLOCK_MONOTONIC_COARSE */
};

#endif
