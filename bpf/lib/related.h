/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * ICMP errors: they belong to the connection whose packet they quote, and pass with it. The quoted
 * packet must have been sent by the receiver of the error, or the error is nobody's.
 */
#ifndef IMKER_RELATED_H
#define IMKER_RELATED_H

#include "lib/flow.h"

#define RELATED_NONE 0
#define RELATED_FORWARD 1
#define RELATED_PROXY 2 /* about a packet that the proxy sent */

/* The first 8 bytes behind the quoted IP header are all that RFC 792 promises. */
static __always_inline int related_ports(struct __sk_buff *skb, __u32 offset, struct tuple *tuple)
{
	bool v6 = tuple->protocol == IPPROTO_ICMPV6;
	__u16 words[4];

	if (bpf_skb_load_bytes(skb, offset, words, sizeof(words)))
		return -DROP_CT_INVALID_HDR;
	if (tuple->protocol == IPPROTO_ICMP || v6) {
		__u8 type = bpf_ntohs(words[0]) >> 8, query = v6 ? ICMP6_ECHO : ICMP4_ECHO;
		bool answer = type == (v6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY);

		/* Only queries are tracked, with their answers; see struct packet. */
		if (type != query && !answer)
			return -DROP_CT_INVALID_HDR;
		tuple->source_port = answer ? bpf_htons(query << 8) : words[2];
		tuple->destination_port = answer ? words[2] : bpf_htons(query << 8);
		return 0;
	}
	tuple->source_port = words[0];
	tuple->destination_port = words[1];
	return 0;
}

/* Behind a quoted IPv6 header: what a fragment header, if there is one, hides. */
static __always_inline int related_skip_fragment_header(struct __sk_buff *skb, __u32 *offset,
							struct tuple *tuple)
{
	__u16 words[4];

	if (tuple->protocol != NEXTHDR_FRAGMENT)
		return 0;
	if (bpf_skb_load_bytes(skb, *offset, words, sizeof(words)) ||
	    (words[1] & bpf_htons(IPV6_FRAGMENT_OFFSET)))
		return -DROP_CT_INVALID_HDR;
	tuple->protocol = bpf_ntohs(words[0]) >> 8;
	*offset += sizeof(words);
	return 0;
}

/* A later fragment is nobody's: it has no ports. */
static __always_inline int related_tuple(struct __sk_buff *skb, const struct packet *packet,
					 struct tuple *tuple)
{
	__u32 offset = packet->l4_offset + ICMP_HEADER_BYTES;

	if (packet->ethertype == ETH_P_IP) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)) || ip.ihl < 5 ||
		    (ip.frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET)))
			return -DROP_CT_INVALID_HDR;
		address_map_ipv4(&tuple->source, ip.saddr);
		address_map_ipv4(&tuple->destination, ip.daddr);
		tuple->protocol = ip.protocol;
		offset += ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, offset, &ip, sizeof(ip)))
			return -DROP_CT_INVALID_HDR;
		for (int i = 0; i < 4; i++) {
			((word32 *)&tuple->source)[i] = ip.saddr.in6_u.u6_addr32[i];
			((word32 *)&tuple->destination)[i] = ip.daddr.in6_u.u6_addr32[i];
		}
		tuple->protocol = ip.nexthdr;
		offset += sizeof(ip);
		if (related_skip_fragment_header(skb, &offset, tuple))
			return -DROP_CT_INVALID_HDR;
	}
	if (protocol_has_no_ports(tuple->protocol))
		return 0;
	return related_ports(skb, offset, tuple);
}

/*
 * Finds the connection an ICMP error is about. Whoever is on the way may complain; a pod is on no
 * one's way but its own, and would get past its policy by quoting what others say, or what it was
 * allowed to say once: what it complains about has just passed, and policy was asked then.
 */
__noinline int related_lookup(struct __sk_buff *skb, struct flow *flow)
{
	struct tuple quoted __attribute__((aligned(8))) = {};
	struct ct_value *entry;
	bool reply;

	if (!flow || related_tuple(skb, &flow->packet, &quoted))
		return RELATED_NONE;
	if (!address_equal(&quoted.source, &flow->packet.tuple.destination))
		return RELATED_NONE;
	if (flow->hook == HOOK_FROM_POD &&
	    !address_equal(&quoted.destination, &flow->packet.tuple.source))
		return RELATED_NONE;
	flow->turned = tuple_canonical(&quoted, &flow->key);
	entry = ct_lookup(&flow->key, flow->now);
	if (!entry || (flow->hook == HOOK_FROM_POD && entry->epoch != flow->epoch))
		return RELATED_NONE;
	reply = ct_is_reply(entry, flow->turned);
	flow->reply = !reply;
	flow->trace_reason = REASON_RELATED;
	flow->notable = 1;
	return entry->flags & CT_FLAG_PROXIED ? RELATED_PROXY : RELATED_FORWARD;
}

#endif
