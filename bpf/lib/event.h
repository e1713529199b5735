/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What the agent is told: drops, policy verdicts, traces. Records go into the ring without waking
 * the reader (it polls); a full ring loses the record and counts it, never the packet.
 */
#ifndef IMKER_EVENT_H
#define IMKER_EVENT_H

#include "lib/flow.h"
#include "lib/metrics.h"

#define EVENT_RING_BYTES (4 * 1024 * 1024)
#define EVENT_REPLY_UNKNOWN 2

/* Written here, drained by the agent. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, EVENT_RING_BYTES);
} events SEC(".maps");

struct notice {
	__u8 type;
	__u8 sub_type;
	__u8 reason;
	__u8 is_reply;
	__s32 verdict;
	__u32 cookie;
	__u32 flags; /* EVENT_FLAG_* */
};

static __always_inline void event_fill_tuple(struct event *event, const struct packet *packet)
{
	const struct tuple *tuple = &packet->tuple;
	bool icmp = tuple->protocol == IPPROTO_ICMP || tuple->protocol == IPPROTO_ICMPV6;

	address_copy(&event->tuple.source, &tuple->source);
	address_copy(&event->tuple.destination, &tuple->destination);
	event->tuple.source_port =
	    icmp ? bpf_htons(packet->icmp_type << 8 | packet->icmp_code) : tuple->source_port;
	event->tuple.destination_port = icmp ? 0 : tuple->destination_port;
	event->tuple.protocol = tuple->protocol;
	event->tuple.reserved[0] = event->tuple.reserved[1] = event->tuple.reserved[2] = 0;
}

/* On the wire the destination comes first. A frame too short for both leaves zeros. */
static __always_inline void event_fill_macs(struct __sk_buff *skb, struct event *event)
{
	const struct ethhdr *ethernet = skb_data(skb);

	if ((void *)(ethernet + 1) > skb_data_end(skb)) {
		__builtin_memset(event->source_mac, 0, sizeof(event->source_mac));
		__builtin_memset(event->destination_mac, 0, sizeof(event->destination_mac));
		return;
	}
	__builtin_memcpy(event->source_mac, ethernet->h_source, sizeof(event->source_mac));
	__builtin_memcpy(event->destination_mac, ethernet->h_dest, sizeof(event->destination_mac));
}

__noinline int event_emit(struct __sk_buff *skb, struct flow *flow, const struct notice *notice)
{
	__u32 length = skb->len;
	struct event *event;

	if (!flow || !notice)
		return 0;
	event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		metrics_count(METRIC_EVENTS_LOST, flow->direction, length);
		return 0;
	}
	/* One clock reading a packet: what is told of it happened at once. */
	if (!flow->told_ns)
		flow->told_ns = bpf_ktime_get_ns();
	event->time_ns = flow->told_ns;
	event->type = notice->type;
	event->sub_type = notice->sub_type;
	event->direction = flow->direction;
	event->reason = notice->reason;
	event->verdict = notice->verdict;
	event->source_identity = flow->source_identity;
	event->destination_identity = flow->destination_identity;
	event->ifindex = skb->ifindex;
	event->cookie = notice->cookie;
	event->length = length;
	event->endpoint = flow->observer;
	event->tcp_flags = flow->packet.tcp_flags;
	event->is_reply = notice->is_reply;
	event_fill_tuple(event, &flow->packet);
	event->flags = notice->flags;
	event_fill_macs(skb, event);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline void event_drop(struct __sk_buff *skb, struct flow *flow, __u8 reason)
{
	struct notice notice = {
	    .type = EVENT_DROP,
	    .sub_type = reason,
	    .verdict = -(__s32)reason,
	    .is_reply = EVENT_REPLY_UNKNOWN,
	};

	event_emit(skb, flow, &notice);
}

/* Aggregated: one event per change of a connection's state, unless every packet was asked for. */
static __always_inline void event_trace(struct __sk_buff *skb, struct flow *flow, __u8 observation)
{
	struct notice notice = {
	    .type = EVENT_TRACE,
	    .sub_type = observation,
	    .reason = flow->trace_reason,
	    .is_reply = flow->reply,
	};

	if (flow->notable || flow->trace_established)
		event_emit(skb, flow, &notice);
}

#endif
