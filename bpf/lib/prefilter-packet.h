/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * A frame and what becomes of it: reads its source, asks the list, counts, and now and then tells
 * of a drop. Frames it cannot read (cut short, not IP, more than two VLAN tags) pass: the programs
 * and the stack behind it have their own checks and reasons.
 */
#ifndef IMKER_PREFILTER_PACKET_H
#define IMKER_PREFILTER_PACKET_H

#include "lib/prefilter.h"

#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88A8
#define VLAN_TAGS_MAX 2
#define VLAN_TAG_BYTES 4

#define IPV4_FRAGMENT_OFFSET 0x1fff
#define EVENT_REPLY_UNKNOWN 2
#define NANOSECONDS_PER_MICROSECOND 1000

/* The datapath's ring, lent when this object is loaded; lib/event.h owns it. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 * 1024 * 1024);
} events SEC(".maps");

/* Written here, read and never reset by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct prefilter_counters);
} counters SEC(".maps");

/* Whether an address is denied; inlined, a benchmark asks another list in the same program. */
struct prefilter_question {
	bool (*ipv4)(__u32 generation, __u32 ipv4);
	bool (*ipv6)(__u32 generation, __u64 high, __u64 low);
};

/* A frame up to its network header. */
struct frame {
	void *start;
	void *network;
	void *end;
	__u16 ethertype; /* host order, behind the tags */
};

static __always_inline bool frame_open(struct frame *frame, const struct xdp_md *xdp)
{
	void *data = (void *)(long)xdp->data, *end = (void *)(long)xdp->data_end;
	struct ethhdr *ethernet = data;
	void *at = data + sizeof(*ethernet);
	__be16 ethertype;

	if (at > end)
		return false;
	ethertype = ethernet->h_proto;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (ethertype != bpf_htons(ETH_P_8021Q) && ethertype != bpf_htons(ETH_P_8021AD))
			break;
		if (at + VLAN_TAG_BYTES > end)
			return false;
		ethertype = ((__be16 *)at)[1];
		at += VLAN_TAG_BYTES;
	}
	*frame = (struct frame){
	    .start = data, .network = at, .end = end, .ethertype = bpf_ntohs(ethertype)};
	return true;
}

/* Ports as far as they can be seen without a walk through options and extension headers. */
static __always_inline void event_fill_ports(struct event *event, const void *transport,
					     const void *end)
{
	const __be16 *ports = transport;
	__u8 protocol = event->tuple.protocol;

	if (transport + 4 > end)
		return;
	if (protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6) {
		event->tuple.source_port = ports[0];
	} else if (protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP) {
		event->tuple.source_port = ports[0];
		event->tuple.destination_port = ports[1];
	}
	if (protocol == IPPROTO_TCP && transport + 14 <= end)
		event->tcp_flags = ((const __u8 *)transport)[13];
}

static __always_inline void event_fill_tuple(struct event *event, const struct frame *frame)
{
	const struct ipv6hdr *ipv6 = frame->network;
	const struct iphdr *ipv4 = frame->network;

	if (frame->ethertype == ETH_P_IP) {
		if ((const void *)(ipv4 + 1) > frame->end)
			return;
		address_map_ipv4(&event->tuple.source, ipv4->saddr);
		address_map_ipv4(&event->tuple.destination, ipv4->daddr);
		event->tuple.protocol = ipv4->protocol;
		if (ipv4->ihl == 5 && !(ipv4->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET)))
			event_fill_ports(event, ipv4 + 1, frame->end);
	} else {
		if ((const void *)(ipv6 + 1) > frame->end)
			return;
		address_copy(&event->tuple.source, (const struct address *)&ipv6->saddr);
		address_copy(&event->tuple.destination, (const struct address *)&ipv6->daddr);
		event->tuple.protocol = ipv6->nexthdr;
		event_fill_ports(event, ipv6 + 1, frame->end);
	}
}

static __always_inline void event_drop(const struct xdp_md *xdp, const struct frame *frame,
				       struct prefilter_counters *count)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	const struct ethhdr *ethernet = frame->start;

	if (!event) {
		count->events_lost++;
		return;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = bpf_ktime_get_ns();
	event->type = EVENT_DROP;
	event->sub_type = DROP_PREFILTER;
	event->direction = POLICY_INGRESS;
	event->verdict = -DROP_PREFILTER;
	event->source_identity = IDENTITY_WORLD;
	event->ifindex = xdp->ingress_ifindex;
	event->length = frame->end - frame->start;
	event->is_reply = EVENT_REPLY_UNKNOWN;
	event_fill_tuple(event, frame);
	if ((const void *)(ethernet + 1) <= frame->end) {
		__builtin_memcpy(event->destination_mac, ethernet->h_dest,
				 sizeof(ethernet->h_dest));
		__builtin_memcpy(event->source_mac, ethernet->h_source, sizeof(ethernet->h_dest));
	}
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
}

/* Does the list hold the packet's source? Negative: it has none that can be read. */
static __always_inline int frame_is_denied(const struct frame *frame,
					   struct prefilter_question list, __u32 generation)
{
	const struct ipv6hdr *ipv6 = frame->network;
	const struct iphdr *ipv4 = frame->network;
	const word64 *source;

	if (frame->ethertype == ETH_P_IP) {
		if ((const void *)(ipv4 + 1) > frame->end)
			return -1;
		return list.ipv4(generation, bpf_ntohl(ipv4->saddr));
	}
	if (frame->ethertype != ETH_P_IPV6 || (const void *)(ipv6 + 1) > frame->end)
		return -1;
	source = (const word64 *)&ipv6->saddr;
	return list.ipv6(generation, bpf_be64_to_cpu(source[0]), bpf_be64_to_cpu(source[1]));
}

/* Drops the packet if `list` denies its source. */
static __always_inline int prefilter_packet(struct xdp_md *xdp, struct prefilter_question list)
{
	__u32 row = 0, family;
	struct prefilter_counters *count = bpf_map_lookup_elem(&counters, &row);
	const struct prefilter_settings *settings = bpf_map_lookup_elem(&prefilter_config, &row);
	struct frame frame;
	int denied = -1;
	__u64 now, bytes;

	if (!count || !settings)
		return XDP_PASS;
	if (frame_open(&frame, xdp))
		denied = frame_is_denied(&frame, list, *(const volatile __u32 *)&settings->active);
	if (denied < 0) {
		count->others++;
		return XDP_PASS;
	}
	bytes = frame.end - frame.start;
	family = frame.ethertype == ETH_P_IP ? PREFILTER_IPV4 : PREFILTER_IPV6;
	if (!denied) {
		count->passed_packets[family]++;
		count->passed_bytes[family] += bytes;
		return XDP_PASS;
	}
	count->dropped_packets[family]++;
	count->dropped_bytes[family] += bytes;
	now = bpf_ktime_get_coarse_ns();
	if (now - count->last_event_ns >=
	    (__u64)settings->event_interval_us * NANOSECONDS_PER_MICROSECOND) {
		count->last_event_ns = now;
		event_drop(xdp, &frame, count);
	}
	return XDP_DROP;
}

#endif
