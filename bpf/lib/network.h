/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * A packet for a local pod that does not come from a local pod: from the network, or turned round
 * by the egress hook of the pod's veth because only an ingress hook can assign a socket.
 */
#ifndef IMKER_NETWORK_H
#define IMKER_NETWORK_H

#include "lib/connection.h"
#include "lib/deliver.h"
#include "lib/parse.h"
#include "lib/reset.h"

static __always_inline int network_to_proxy(struct __sk_buff *skb, struct flow *flow)
{
	skb->mark = MARK_MAGIC_TO_PROXY;
	event_trace(skb, flow, TRACE_TO_PROXY);
	return TC_ACT_OK;
}

/*
 * No outside packet may carry an address of a local pod or of the node: it would get that
 * identity.
 */
static __always_inline int network_check_source(const struct flow *flow)
{
	const struct config *current = config_get();

	if (!current || endpoint_by_address(&flow->packet.tuple.source) ||
	    ipcache_identity(&flow->packet.tuple.source, current) == IDENTITY_HOST)
		return -DROP_INVALID_SIP;
	return 0;
}

/* decided: CONNECTION_* or a drop reason. */
static __always_inline int network_to_pod(struct __sk_buff *skb, struct flow *flow,
					  const struct endpoint *endpoint, int decided)
{
	if (decided < 0)
		return decided;
	if (decided == CONNECTION_PROXY)
		return network_to_proxy(skb, flow);
	return deliver_to_pod(skb, flow, endpoint);
}

/*
 * The one exit: counts, reports, and answers what the proxy can no longer serve with a reset.
 * `answerable`: the sender is on the other side of this interface.
 */
static __always_inline int program_finish(struct __sk_buff *skb, struct flow *flow, int result,
					  bool answerable)
{
	__u8 reason;

	if (result >= 0) {
		metrics_count(METRIC_FORWARDED, flow->direction, skb->len);
		return result;
	}
	reason = -result;
	metrics_count(reason, flow->direction, skb->len);
	event_drop(skb, flow, reason);
	if (answerable && (reason == DROP_PROXY_LOOKUP_FAILED || reason == DROP_PROXIED_CHANGED))
		return reset_answer(skb, &flow->packet);
	return TC_ACT_SHOT;
}

/* Settings are needed by everything, so a program without them drops everything. */
static __always_inline bool program_begin(struct flow *flow, __u8 hook)
{
	const struct config *current = config_get();

	if (!current)
		return false;
	flow->epoch = current->epoch;
	flow->trace_established = current->trace_established;
	flow->settings = current->flags;
	flow->audit =
	    current->flags & CONFIG_FLAG_AUDIT ? 1 << POLICY_INGRESS | 1 << POLICY_EGRESS : 0;
	flow->hook = hook;
	return true;
}

#endif
