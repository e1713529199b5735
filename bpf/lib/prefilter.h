/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The list of denied sources and the question whether an address is in it. IPv4 takes two array
 * look-ups whatever the size of the list, IPv6 one per level of a tree of 16 keys a node (five for
 * a million prefixes). The maps are written by the agent alone, in an order that leaves no reader
 * with half a change; they cannot be full: the agent makes a larger generation.
 */
#ifndef IMKER_PREFILTER_H
#define IMKER_PREFILTER_H

#include "lib/kernel.h"
#include "abi/prefilter.h"

struct prefilter_group_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PREFILTER_GROUPS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, __u64);
};

/* Sized for the list, hence BPF_F_INNER_MAP: the kernel holds inner arrays to one size otherwise.
 */
struct prefilter_leaf_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct prefilter_leaf));
};

struct prefilter_node_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct prefilter_node));
};

struct prefilter_tail_map {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(struct prefilter_tail));
};

#define PREFILTER_OUTER_MAP(name, inner)                                                           \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);                                          \
		__uint(max_entries, PREFILTER_GENERATIONS);                                        \
		__uint(key_size, sizeof(__u32));                                                   \
		__uint(value_size, sizeof(__u32));                                                 \
		__array(values, struct inner);                                                     \
	} name SEC(".maps")

/* A family that has no prefix has no map in its slot. */
PREFILTER_OUTER_MAP(groups, prefilter_group_map);
PREFILTER_OUTER_MAP(leaves, prefilter_leaf_map);
PREFILTER_OUTER_MAP(nodes, prefilter_node_map);
PREFILTER_OUTER_MAP(tails, prefilter_tail_map);

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct prefilter_settings);
} prefilter_config SEC(".maps");

static __always_inline __u32 bits_set16(__u32 word)
{
	word -= (word >> 1) & 0x5555;
	word = (word & 0x3333) + ((word >> 2) & 0x3333);
	word = (word + (word >> 4)) & 0x0f0f;
	return (word + (word >> 8)) & 0x1f;
}

/* `ipv4` is in host order. */
static __always_inline bool prefilter_denies_ipv4(__u32 generation, __u32 ipv4)
{
	__u32 row = ipv4 >> 12, bit = (ipv4 >> 8) & 15, part, leaf_row;
	void *group_map = bpf_map_lookup_elem(&groups, &generation), *leaf_map;
	const struct prefilter_leaf *leaf;
	const __u64 *entry;
	__u64 group;

	if (!group_map)
		return false;
	entry = bpf_map_lookup_elem(group_map, &row);
	if (!entry)
		return false;
	group = *(const volatile __u64 *)entry;
	if (group >> bit & 1)
		return true;
	part = group >> PREFILTER_GROUP_PART_SHIFT & 0xffff;
	if (!(part >> bit & 1))
		return false;
	leaf_map = bpf_map_lookup_elem(&leaves, &generation);
	if (!leaf_map)
		return false;
	leaf_row = (group >> PREFILTER_GROUP_LEAF_SHIFT) + bits_set16(part & ((1 << bit) - 1));
	leaf = bpf_map_lookup_elem(leaf_map, &leaf_row);
	return leaf && (leaf->words[(ipv4 >> 6) & 3] >> (ipv4 & 63) & 1);
}

/*
 * The last key that is not above the address, or the first: by the upper half, and back from there
 * over keys with the same upper half and a higher lower one.
 */
static __always_inline __u32 prefilter_find(void *tail_map, const struct prefilter_node *node,
					    __u32 index, __u64 high, __u64 low)
{
	const struct prefilter_tail *tail;
	__u32 at = 0;

	for (__u32 i = 1; i < PREFILTER_NODE_KEYS; i++) {
		if (node->high[i] > high)
			break;
		at = i;
	}
	at &= PREFILTER_NODE_KEYS - 1;
	if (node->high[at] != high || !(node->values[at] & PREFILTER_HAS_TAIL))
		return at;
	tail = bpf_map_lookup_elem(tail_map, &index);
	for (__u32 i = 1; tail && i < PREFILTER_NODE_KEYS; i++) {
		at &= PREFILTER_NODE_KEYS - 1;
		if (!at || node->high[at] != high || tail->low[at] <= low)
			break;
		at--;
	}
	return at & (PREFILTER_NODE_KEYS - 1);
}

/* `index` and `at` name the key. */
static __always_inline bool prefilter_covers(void *tail_map, const struct prefilter_node *node,
					     __u32 index, __u32 at, __u64 high, __u64 low)
{
	__u32 bits = node->values[at] & ~PREFILTER_HAS_TAIL;
	const struct prefilter_tail *tail;

	if (bits == 0)
		return true;
	if (bits <= 64)
		return !((node->high[at] ^ high) >> (64 - bits));
	if (node->high[at] != high)
		return false;
	tail = bpf_map_lookup_elem(tail_map, &index);
	return tail && !((tail->low[at] ^ low) >> ((128 - bits) & 63));
}

/* Both halves are in host order. */
static __always_inline bool prefilter_denies_ipv6(__u32 generation, __u64 high, __u64 low)
{
	void *node_map = bpf_map_lookup_elem(&nodes, &generation), *tail_map;
	const struct prefilter_node *node;
	__u32 index = 0, levels, at;
	__u64 root;

	if (!node_map)
		return false;
	tail_map = bpf_map_lookup_elem(&tails, &generation);
	node = bpf_map_lookup_elem(node_map, &index);
	if (!node || !tail_map)
		return false;
	root = *(const volatile __u64 *)&node->high[0];
	index = root;
	levels = root >> 32;
	if (!index)
		return false;
	for (__u32 level = 0; level <= PREFILTER_LEVELS_MAX; level++) {
		node = bpf_map_lookup_elem(node_map, &index);
		if (!node)
			return false;
		at = prefilter_find(tail_map, node, index, high, low);
		if (level >= levels)
			return prefilter_covers(tail_map, node, index, at, high, low);
		index = node->values[at] & ~PREFILTER_HAS_TAIL;
	}
	return false;
}

#endif
