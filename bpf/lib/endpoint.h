/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The local pods, by address and by interface. */
#ifndef IMKER_ENDPOINT_H
#define IMKER_ENDPOINT_H

#include "lib/kernel.h"

#define ENDPOINT_ADDRESSES 8192
#define ENDPOINT_INTERFACES 4096

/* By address (both of a dual-stack pod). Written by the agent; full: its write fails. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINT_ADDRESSES);
	__type(key, struct address);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

/* By ifindex of the host side of the veth. Written by the agent; full: its write fails. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, ENDPOINT_INTERFACES);
	__type(key, __u32);
	__type(value, struct endpoint);
} interfaces SEC(".maps");

static __always_inline const struct endpoint *endpoint_by_address(const struct address *address)
{
	return bpf_map_lookup_elem(&endpoints, address);
}

static __always_inline const struct endpoint *endpoint_by_interface(__u32 ifindex)
{
	return bpf_map_lookup_elem(&interfaces, &ifindex);
}

/* An absent address is all zero, and so is the unspecified IPv6 address: nobody owns that. */
static __always_inline bool endpoint_owns(const struct endpoint *endpoint,
					  const struct address *address)
{
	if (address_is_unspecified(address))
		return false;
	return address_equal(address, address_is_ipv4(address) ? &endpoint->ipv4 : &endpoint->ipv6);
}

#endif
