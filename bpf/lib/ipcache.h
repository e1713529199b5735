/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Address → identity of a peer that is not a local pod. */
#ifndef IMKER_IPCACHE_H
#define IMKER_IPCACHE_H

#include "lib/config.h"

#define IPCACHE_ENTRIES 512000

/* Written by the agent, read by every hook. Full: the agent's write fails, it reports and retries.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, IPCACHE_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct ipcache_key);
	__type(value, struct ipcache_value);
} ipcache SEC(".maps");

/* Never 0: what is not listed is the world of its family. */
static __always_inline __u32 ipcache_identity(const struct address *address,
					      const struct config *settings)
{
	struct ipcache_key key = {.prefixlen = 128};
	const struct ipcache_value *value;
	__u32 world;

	for (int i = 0; i < 4; i++)
		((word32 *)&key.address)[i] = ((const word32 *)address)[i];
	value = bpf_map_lookup_elem(&ipcache, &key);
	if (value && value->identity)
		return value->identity;
	world = address_is_ipv4(address) ? settings->node_ipv4_world : settings->node_ipv6_world;
	return world ? world : IDENTITY_WORLD;
}

#endif
