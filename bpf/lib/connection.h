/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What becomes of a packet: the one place where conntrack, policy and proxy meet. In order: an
 * ICMP error goes with its connection; a live connection goes on, its policy checked again when
 * anything has changed since (config.epoch); everything else is a new connection, judged by the
 * egress policy of a local source and the ingress policy of a local destination. A fragment goes
 * with its datagram's first one; if that was not seen, it is judged by itself and opens nothing.
 */
#ifndef IMKER_CONNECTION_H
#define IMKER_CONNECTION_H

#include "lib/fragment.h"
#include "lib/judge.h"
#include "lib/proxy.h"
#include "lib/related.h"

/* Never 0. */
#define CONNECTION_FORWARD 1
#define CONNECTION_PROXY 2 /* for the proxy: a socket is assigned, or the stack finds it */
#define CONNECTION_ROUND 3 /* for the proxy, but this hook cannot assign a socket */

/* The packet is the first that is seen of its connection, in the direction flow->reply says. */
static __always_inline int connection_create(struct __sk_buff *skb, struct flow *flow, __u32 flags)
{
	bool side = flow->reply;
	struct ct_value entry = {
	    .epoch = flow->epoch,
	    .flags = flags,
	    .source_identity = flow->reply ? flow->destination_identity : flow->source_identity,
	    .destination_identity =
		flow->reply ? flow->source_identity : flow->destination_identity,
	};

	if (!!flow->turned != side)
		entry.flags |= CT_FLAG_ORIGIN_IS_SECOND;
	entry.flags = ct_flags_after(&flow->packet, entry.flags, flow->reply);
	entry.expires_ns = flow->now + ct_timeout(flow->packet.tuple.protocol, entry.flags);
	entry.packets[0] = !side;
	entry.packets[1] = side;
	entry.bytes[0] = side ? 0 : skb->len;
	entry.bytes[1] = side ? skb->len : 0;
	if (bpf_map_update_elem(&ct, &flow->key, &entry, BPF_ANY))
		return -DROP_CT_CREATE_FAILED;
	flow->notable = 1;
	return 0;
}

/*
 * A new connection whose verdict is the proxy. In mid-stream (the entry was lost) there must be a
 * socket already. The entry comes first: without it later packets could not be steered.
 */
static __always_inline int connection_open_proxied(struct __sk_buff *skb, struct flow *flow,
						   const struct handoff *why)
{
	int result;

	if (flow->packet.tuple.protocol != IPPROTO_TCP)
		return -DROP_PROXY_UNKNOWN_PROTO;
	if (!flow_can_assign(flow))
		return CONNECTION_ROUND;
	if (packet_is_opening(&flow->packet))
		result = proxy_hand_over(skb, &flow->packet, why);
	else
		result = proxy_steer(skb, &flow->packet);
	if (result < 0)
		return result;
	if (result == PROXY_NONE)
		return -DROP_PROXY_LOOKUP_FAILED;
	result = connection_create(skb, flow, CT_FLAG_PROXIED);
	return result ? result : CONNECTION_PROXY;
}

__noinline int connection_open(struct __sk_buff *skb, struct flow *flow)
{
	struct handoff why = {};
	int verdict, result;

	if (!flow)
		return -DROP_INVALID;
	flow->reply = 0;
	flow->trace_reason = REASON_NEW;
	verdict = connection_judge(skb, flow, &why, true);
	if (verdict < 0)
		return verdict;
	if (verdict != POLICY_ALLOW) {
		result = connection_open_proxied(skb, flow, &why);
		if (result > 0 || verdict != POLICY_WATCH)
			return result;
	}
	/* One packet, not a connection whose answers would be allowed. */
	if (flow->packet.icmp_error || flow->packet.fragment == FRAGMENT_UNTRACKED)
		return CONNECTION_FORWARD;
	verdict = connection_create(skb, flow, 0);
	return verdict ? verdict : CONNECTION_FORWARD;
}

/* Something changed since policy last allowed the connection under flow->key. */
__noinline int connection_recheck(struct __sk_buff *skb, struct flow *flow)
{
	struct handoff unused = {};
	struct ct_value *entry;
	int verdict;

	if (!flow)
		return -DROP_INVALID;
	verdict = connection_judge(skb, flow, &unused, false);
	if (verdict < 0)
		return verdict;
	entry = bpf_map_lookup_elem(&ct, &flow->key);
	if (!entry)
		return -DROP_CT_CREATE_FAILED;
	if (verdict == POLICY_REDIRECT && !(entry->flags & CT_FLAG_PROXIED)) {
		struct decision changed = {.verdict = -DROP_PROXIED_CHANGED};

		/* The proxy cannot join in mid-stream: the client has to open it anew. */
		entry->flags |= CT_FLAGS_CLOSED;
		connection_announce(skb, flow, &changed);
		return -DROP_PROXIED_CHANGED;
	}
	entry->source_identity = flow->source_identity;
	entry->destination_identity = flow->destination_identity;
	entry->epoch = flow->epoch;
	return 0;
}

/* A proxied connection's packet goes to its socket or nowhere: never past the proxy. */
static __always_inline int connection_continue_proxied(struct __sk_buff *skb, struct flow *flow,
						       struct ct_value *entry)
{
	int result = proxy_steer(skb, &flow->packet);

	if (result == PROXY_NONE && !flow->reply)
		result = proxy_finish_handshake(skb, &flow->packet);
	if (result == PROXY_ASSIGNED)
		return CONNECTION_PROXY;
	if (result < 0)
		return result;
	entry->flags |= CT_FLAGS_CLOSED;
	return -DROP_PROXY_LOOKUP_FAILED;
}

static __always_inline int connection_continue(struct __sk_buff *skb, struct flow *flow,
					       struct ct_value *entry)
{
	bool reply = flow->reply;

	if (!flow_can_assign(flow) && (entry->flags & CT_FLAG_PROXIED))
		return CONNECTION_ROUND;
	if (!reply && entry->epoch != flow->epoch) {
		int error = connection_recheck(skb, flow);

		if (error)
			return error;
	}
	flow->source_identity = reply ? entry->destination_identity : entry->source_identity;
	flow->destination_identity = reply ? entry->source_identity : entry->destination_identity;
	flow->trace_reason = reply ? REASON_REPLY : REASON_ESTABLISHED;
	flow->notable = ct_advance(entry, &flow->packet, reply, flow->now);
	ct_count(entry, reply, skb->len);
	if (entry->flags & CT_FLAG_PROXIED)
		return connection_continue_proxied(skb, flow, entry);
	return CONNECTION_FORWARD;
}

/*
 * A SYN opens a connection anew when the old one is over, and always when it comes from the side
 * that answered: that side's policy has not been asked yet. A proxied connection's SYN belongs to
 * its socket while it has one, as a retransmission does.
 */
__noinline int connection_is_over(struct __sk_buff *skb, const struct flow *flow, __u32 flags)
{
	if (!flow)
		return true;
	if (!(flags & CT_FLAG_PROXIED))
		return flow->reply || (flags & CT_FLAGS_CLOSED) == CT_FLAGS_CLOSED;
	return flow_can_assign(flow) && !proxy_serves(skb, &flow->packet);
}

/* An ICMP query against the direction of its entry is not an answer, only looks like one. */
static __always_inline bool connection_is_fresh(struct __sk_buff *skb, const struct flow *flow,
						const struct ct_value *entry)
{
	if (packet_is_opening(&flow->packet))
		return connection_is_over(skb, flow, entry->flags);
	return flow_is_icmp(flow) && flow->packet.icmp_answer != flow->reply;
}

/*
 * Takes up a connection of the proxy that has no entry, so that it is not taken for a raw one:
 * CONNECTION_* or a drop reason; 0: it is not the proxy's. The identity in a socket's mark is the
 * client's, whom an upstream socket speaks for; a socket that speaks to the client has none.
 */
__noinline int connection_adopt(struct __sk_buff *skb, struct flow *flow)
{
	__u32 mark = 0;
	int result;

	if (!flow)
		return -DROP_INVALID;
	if (flow->packet.tuple.protocol != IPPROTO_TCP || packet_is_opening(&flow->packet))
		return 0;
	result = proxy_adopt(skb, &flow->packet, flow_can_assign(flow), &mark);
	if (result != PROXY_ASSIGNED)
		return result;
	if (!flow_can_assign(flow))
		return CONNECTION_ROUND;
	result = connection_identify(flow);
	if (result < 0)
		return result;
	flow->reply = (mark & ~MARK_MAGIC_MASK) != 0;
	flow->trace_reason = flow->reply ? REASON_REPLY : REASON_ESTABLISHED;
	result = connection_create(skb, flow, CT_FLAG_PROXIED | CT_FLAG_SEEN_REPLY);
	return result ? result : CONNECTION_PROXY;
}

/* CONNECTION_* or a negative drop reason. The flow's packet, endpoints and hook are filled in. */
static __always_inline int connection_decide(struct __sk_buff *skb, struct flow *flow)
{
	struct ct_value *entry;
	int result;

	flow->now = bpf_ktime_get_coarse_ns();
	if (flow->packet.fragment) {
		fragment_track(&flow->packet, flow->now);
		if (flow->packet.fragment == FRAGMENT_UNTRACKED)
			return connection_open(skb, flow);
	}
	if (flow->packet.icmp_error) {
		result = related_lookup(skb, flow);
		if (result == RELATED_PROXY && !flow_can_assign(flow))
			return CONNECTION_ROUND;
		if (result == RELATED_PROXY)
			return CONNECTION_PROXY;
		if (result == RELATED_FORWARD) {
			/* Its sender may be a router on the way: no end of the connection. */
			connection_identify(flow);
			return CONNECTION_FORWARD;
		}
	}
	flow->turned = tuple_canonical(&flow->packet.tuple, &flow->key);
	entry = ct_lookup(&flow->key, flow->now);
	if (entry) {
		flow->reply = ct_is_reply(entry, flow->turned);
		if (!connection_is_fresh(skb, flow, entry))
			return connection_continue(skb, flow, entry);
		return connection_open(skb, flow);
	}
	result = connection_adopt(skb, flow);
	return result ? result : connection_open(skb, flow);
}

#endif
