/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Packet and byte counters per reason and direction; every program ends in one of these. */
#ifndef IMKER_METRICS_H
#define IMKER_METRICS_H

#include "lib/kernel.h"

#define METRICS_ENTRIES 512 /* every reason in both directions: cannot be full */

/* Written here, read and never reset by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, METRICS_ENTRIES);
	__type(key, struct metrics_key);
	__type(value, struct metrics_value);
} metrics SEC(".maps");

static __always_inline void metrics_count(__u8 reason, __u8 direction, __u32 bytes)
{
	struct metrics_key key = {.reason = reason, .direction = direction};
	struct metrics_value *value = bpf_map_lookup_elem(&metrics, &key);

	if (value) {
		value->packets++;
		value->bytes += bytes;
	} else {
		struct metrics_value first = {.packets = 1, .bytes = bytes};

		bpf_map_update_elem(&metrics, &key, &first, BPF_ANY);
	}
}

#endif
