/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Fragments: the first one of a datagram leaves its ports for the later ones. Called once per
 * packet, after the sender's right to its address was checked: nobody can leave ports for another's
 * datagrams. What the receiver puts together needs the first fragment, which policy sees in full.
 */
#ifndef IMKER_FRAGMENT_H
#define IMKER_FRAGMENT_H

#include "lib/ct.h"

#define FRAGMENT_ENTRIES 8192
/* As long as a receiver waits for the rest: RFC 8200 section 4.5. */
#define FRAGMENT_SECONDS 60

/* Written and read here. Full: the oldest entry goes, the rest of its datagram is untracked. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, FRAGMENT_ENTRIES);
	__type(key, struct fragment_key);
	__type(value, struct fragment_value);
} fragments SEC(".maps");

static __always_inline void fragment_store(const struct fragment_key *key,
					   const struct packet *packet, __u64 now)
{
	struct fragment_value value = {
	    .expires_ns = now + FRAGMENT_SECONDS * NANOSECONDS_PER_SECOND,
	    .source_port = packet->tuple.source_port,
	    .destination_port = packet->tuple.destination_port,
	    .protocol = packet->tuple.protocol,
	    .icmp_type = packet->icmp_type,
	    .icmp_code = packet->icmp_code,
	    .icmp_answer = packet->icmp_answer,
	};

	bpf_map_update_elem(&fragments, key, &value, BPF_ANY);
}

/* Fills in what a later fragment lacks, or marks it as untracked. */
__noinline int fragment_track(struct packet *packet, __u64 now)
{
	struct fragment_key key __attribute__((aligned(8))) = {};
	const struct fragment_value *value;

	if (!packet)
		return 0;
	address_copy(&key.source, &packet->tuple.source);
	address_copy(&key.destination, &packet->tuple.destination);
	key.id = packet->fragment_id;
	key.protocol = packet->ethertype == ETH_P_IP ? packet->tuple.protocol : 0;
	if (packet->fragment == FRAGMENT_FIRST) {
		/* An error about another packet is no connection's: the rest of it has no ports. */
		if (!packet->icmp_error)
			fragment_store(&key, packet, now);
		return 0;
	}
	value = bpf_map_lookup_elem(&fragments, &key);
	if (!value || value->expires_ns <= now) {
		packet->fragment = FRAGMENT_UNTRACKED;
		return 0;
	}
	packet->tuple.source_port = value->source_port;
	packet->tuple.destination_port = value->destination_port;
	packet->tuple.protocol = value->protocol;
	packet->icmp_type = value->icmp_type;
	packet->icmp_code = value->icmp_code;
	packet->icmp_answer = value->icmp_answer;
	return 0;
}

/* Is there a port (or an ICMP type) for policy to look at? */
static __always_inline bool packet_has_ports(const struct packet *packet)
{
	return packet->fragment != FRAGMENT_UNTRACKED &&
	       !protocol_has_no_ports(packet->tuple.protocol);
}

#endif
