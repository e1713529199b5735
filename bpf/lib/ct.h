/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Connection tracking: one entry per connection, found from either side. It knows states and
 * timeouts; what a state means for policy or the proxy is connection.h's business.
 */
#ifndef IMKER_CT_H
#define IMKER_CT_H

#include "lib/config.h"
#include "lib/packet.h"

#define CT_ENTRIES 131072
#define NANOSECONDS_PER_SECOND 1000000000ULL
/* A later expiry is written only when it moves by this much: spares a shared cache line. */
#define CT_REFRESH_SECONDS 1

#define CT_FLAGS_CLOSED (CT_FLAG_ORIGIN_CLOSED | CT_FLAG_REPLY_CLOSED)

/* Written and read here, listed by the agent. Full: the least recently used entry goes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CT_ENTRIES);
	__type(key, struct tuple);
	__type(value, struct ct_value);
} ct SEC(".maps");

/*
 * Ends ordered as bytes: address, then port. Returns true when the result is the input turned
 * round. Both tuples 8-aligned.
 */
static __always_inline bool tuple_canonical(const struct tuple *in, struct tuple *out)
{
	const word64 *a = (const word64 *)&in->source, *b = (const word64 *)&in->destination;
	bool turned;

	if (a[0] != b[0])
		turned = bpf_be64_to_cpu(a[0]) > bpf_be64_to_cpu(b[0]);
	else if (a[1] != b[1])
		turned = bpf_be64_to_cpu(a[1]) > bpf_be64_to_cpu(b[1]);
	else
		turned = bpf_ntohs(in->source_port) > bpf_ntohs(in->destination_port);
	address_copy(&out->source, turned ? &in->destination : &in->source);
	address_copy(&out->destination, turned ? &in->source : &in->destination);
	out->source_port = turned ? in->destination_port : in->source_port;
	out->destination_port = turned ? in->source_port : in->destination_port;
	out->protocol = in->protocol;
	out->reserved[0] = out->reserved[1] = out->reserved[2] = 0;
	return turned;
}

/* The entry under a canonical key unless it has expired. */
static __always_inline struct ct_value *ct_lookup(const struct tuple *key, __u64 now)
{
	struct ct_value *entry = bpf_map_lookup_elem(&ct, key);

	return entry && entry->expires_ns > now ? entry : NULL;
}

/* Does a packet (turned as tuple_canonical said) run against the connection's direction? */
static __always_inline bool ct_is_reply(const struct ct_value *entry, bool turned)
{
	return turned != !!(entry->flags & CT_FLAG_ORIGIN_IS_SECOND);
}

static __always_inline bool ct_is_closed(const struct ct_value *entry)
{
	return (entry->flags & CT_FLAGS_CLOSED) == CT_FLAGS_CLOSED;
}

/* Nanoseconds that an entry lives after its last packet. The seconds are the agent's. */
static __always_inline __u64 ct_timeout(__u8 protocol, __u32 flags)
{
	const struct config *current = config_get();
	__u64 seconds;

	if (!current)
		return 0;
	if (protocol != IPPROTO_TCP)
		seconds = current->ct_other_seconds;
	else if ((flags & CT_FLAGS_CLOSED) == CT_FLAGS_CLOSED)
		seconds = current->ct_tcp_closing_seconds;
	else if (flags & CT_FLAG_SEEN_REPLY)
		seconds = current->ct_tcp_seconds;
	else
		seconds = current->ct_tcp_opening_seconds;
	return seconds * NANOSECONDS_PER_SECOND;
}

static __always_inline __u32 ct_flags_after(const struct packet *packet, __u32 flags, bool reply)
{
	if (reply)
		flags |= CT_FLAG_SEEN_REPLY;
	if (packet->tcp_flags & TCP_FLAG_BYTE_RST)
		flags |= CT_FLAGS_CLOSED;
	else if (packet->tcp_flags & TCP_FLAG_BYTE_FIN)
		flags |= reply ? CT_FLAG_REPLY_CLOSED : CT_FLAG_ORIGIN_CLOSED;
	return flags;
}

/*
 * Moves the entry's state and expiry by one packet; true when its state changed. The state is
 * written without a lock: two packets of one connection that race set the same kind of bits, and
 * a bit that is lost is set by the next packet.
 */
static __always_inline bool ct_advance(struct ct_value *entry, const struct packet *packet,
				       bool reply, __u64 now)
{
	__u32 flags = ct_flags_after(packet, entry->flags, reply);
	__u64 expires = now + ct_timeout(packet->tuple.protocol, flags);
	bool changed = flags != entry->flags;

	if (changed)
		entry->flags = flags;
	if (changed || expires > entry->expires_ns + CT_REFRESH_SECONDS * NANOSECONDS_PER_SECOND)
		entry->expires_ns = expires;
	return changed;
}

static __always_inline void ct_count(struct ct_value *entry, bool reply, __u32 bytes)
{
	__u32 side = reply ? 1 : 0;

	__sync_fetch_and_add(&entry->packets[side], 1);
	__sync_fetch_and_add(&entry->bytes[side], bytes);
}

#endif
