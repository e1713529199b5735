/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The agent's settings for all programs: one row, read at the start of every packet. */
#ifndef IMKER_CONFIG_H
#define IMKER_CONFIG_H

#include "lib/kernel.h"

/*
 * Pinned as config (vmlinux.h has a type of that name). Written by the agent. Never full, never
 * empty: an array of one row.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct config);
} settings SEC(".maps");

static __always_inline const struct config *config_get(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&settings, &row);
}

#endif
