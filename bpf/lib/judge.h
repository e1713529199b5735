/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * What policy says of one packet: who its two ends are, the egress policy of a local source, the
 * ingress policy of a local destination, and what the two make together. It knows nothing of
 * connections.
 */
#ifndef IMKER_JUDGE_H
#define IMKER_JUDGE_H

#include "lib/ipcache.h"
#include "lib/policy.h"
#include "lib/event.h"
#include "lib/fragment.h"

/*
 * To whom a pod speaks that is no pod of this node. Nobody routes to a link-local address of IPv6,
 * so that is the node; and the node hears whatever is sent to many, whoever else does.
 */
static __always_inline void connection_identify_destination(struct flow *flow,
							    const struct config *current)
{
	const struct address *to = &flow->packet.tuple.destination;
	__u32 identity = ipcache_identity(to, current);

	if (flow->hook == HOOK_FROM_POD && address_is_link_local(to))
		identity = IDENTITY_HOST;
	if (flow->hook == HOOK_FROM_POD && (flow->settings & CONFIG_FLAG_HOST) &&
	    (identity == IDENTITY_HOST || address_is_multicast(to)))
		flow_set_host(flow, POLICY_INGRESS);
	flow->destination_identity = identity;
}

/*
 * Both ends' identities, where the caller does not know them yet; and the node as an endpoint, if
 * one end of a pod's connection is the node.
 */
static __always_inline int connection_identify(struct flow *flow)
{
	const struct config *current = config_get();

	if (!current)
		return -DROP_INVALID;
	if (flow->from_host && (flow->settings & CONFIG_FLAG_HOST))
		flow_set_host(flow, POLICY_EGRESS);
	else if (flow->from_host)
		flow->source_identity = IDENTITY_HOST;
	else if (!flow->source_endpoint)
		flow->source_identity = ipcache_identity(&flow->packet.tuple.source, current);
	if (!flow->destination_endpoint)
		connection_identify_destination(flow, current);
	return 0;
}

static __always_inline void connection_announce(struct __sk_buff *skb, struct flow *flow,
						const struct decision *decision)
{
	struct notice notice = {
	    .type = EVENT_POLICY_VERDICT,
	    .reason = decision->match,
	    .verdict = decision->verdict,
	    .cookie = decision->cookie,
	    .flags = decision->audited ? EVENT_FLAG_AUDITED : 0,
	};

	event_emit(skb, flow, &notice);
}

/*
 * The node may always reach its pods (health checks) unless a rule denies it in so many words, and
 * its connections are not for the proxy. Or the operator wants them judged like any other: then
 * what a proxy would have to look into is not for the node.
 */
static __always_inline void connection_favour_host(const struct flow *flow,
						   struct decision *decision)
{
	if (!flow->from_host)
		return;
	if (flow->settings & CONFIG_FLAG_HOST_BY_POLICY) {
		if (decision->verdict == POLICY_REDIRECT)
			decision->verdict = decision->watch ? POLICY_ALLOW : -DROP_NO_PLUGIN;
		return;
	}
	if (decision->verdict == -DROP_POLICY || decision->verdict == -DROP_NO_PLUGIN ||
	    decision->verdict == POLICY_REDIRECT)
		decision->verdict = POLICY_ALLOW;
}

/*
 * Verdicts that depend on more than the map: the node has no proxy for its own connections, a
 * fragment without ports is not denied but cannot be decided, and audit mode lets denials pass.
 */
static __always_inline void connection_qualify(const struct flow *flow, struct decision *decision)
{
	if (flow->direction == POLICY_INGRESS)
		connection_favour_host(flow, decision);
	if (flow->observer == ENDPOINT_HOST && decision->verdict == POLICY_REDIRECT)
		decision->verdict = decision->watch ? POLICY_ALLOW : -DROP_NO_PLUGIN;
	if (flow->packet.fragment == FRAGMENT_UNTRACKED && decision->verdict == -DROP_POLICY)
		decision->verdict = -DROP_FRAG_NOSUPPORT;
	if (!(flow->audit & (1 << flow->direction)))
		return;
	if (decision->verdict != -DROP_POLICY && decision->verdict != -DROP_POLICY_DENY &&
	    decision->verdict != -DROP_FRAG_NOSUPPORT)
		return;
	decision->verdict = POLICY_ALLOW;
	decision->audited = 1;
}

/* Without it a path with a smaller MTU swallows large packets. It opens nothing. */
static __always_inline bool connection_tells_mtu(const struct flow *flow)
{
	return (flow->settings & CONFIG_FLAG_FRAG_NEEDED) &&
	       flow->packet.tuple.protocol == IPPROTO_ICMP &&
	       flow->packet.icmp_type == ICMP4_UNREACHABLE &&
	       flow->packet.icmp_code == ICMP4_FRAG_NEEDED;
}

/*
 * One side's policy: flow->direction says which. `announce`: also tell of what is allowed. A
 * redirect at a hook that cannot redirect is announced where the packet comes round again.
 */
__noinline int connection_judge_side(struct __sk_buff *skb, struct flow *flow,
				     struct decision *decision, int announce)
{
	struct policy_key key = {};

	if (!flow || !decision)
		return -DROP_INVALID;
	key.direction = flow->direction;
	key.identity =
	    flow->direction == POLICY_EGRESS ? flow->destination_identity : flow->source_identity;
	key.protocol = flow->packet.tuple.protocol;
	key.port = flow_is_icmp(flow) ? bpf_htons(flow->packet.icmp_type << 8)
				      : flow->packet.tuple.destination_port;
	key.prefixlen =
	    packet_has_ports(&flow->packet) ? POLICY_PREFIX_FULL : POLICY_PREFIX_PROTOCOL;
	if (connection_tells_mtu(flow)) {
		struct decision free = {.verdict = POLICY_ALLOW};

		*decision = free;
	} else {
		policy_decide(flow->observer, &key, decision);
		connection_qualify(flow, decision);
	}
	if (!flow_can_assign(flow) && decision->verdict == POLICY_REDIRECT)
		announce = 0;
	if (announce || decision->verdict < 0)
		connection_announce(skb, flow, decision);
	return decision->verdict;
}

/* A connection has one plugin: a side that only watches gives way to the other. */
static __always_inline int connection_settle(struct handoff *why, bool egress_watches,
					     bool ingress_watches)
{
	if (!why->egress_rules && !why->ingress_rules)
		return POLICY_ALLOW;
	if (egress_watches && why->ingress_rules)
		why->egress_rules = 0;
	else if (ingress_watches && why->egress_rules)
		why->ingress_rules = 0;
	if (why->egress_rules)
		return egress_watches ? POLICY_WATCH : POLICY_REDIRECT;
	return ingress_watches ? POLICY_WATCH : POLICY_REDIRECT;
}

/*
 * Both sides: POLICY_ALLOW, POLICY_REDIRECT if either needs the proxy, POLICY_WATCH if a side wants
 * it and none needs it, or a drop reason.
 */
static __always_inline int connection_judge(struct __sk_buff *skb, struct flow *flow,
					    struct handoff *why, bool announce)
{
	struct decision decision = {};
	bool egress_watches = false, ingress_watches = false;
	int side = connection_identify(flow);

	if (side < 0)
		return side;
	why->source_identity = flow->source_identity;
	why->destination_identity = flow->destination_identity;
	if (flow->source_endpoint) {
		flow_observe(flow, POLICY_EGRESS);
		side = connection_judge_side(skb, flow, &decision, announce);
		if (side < 0)
			return side;
		if (side == POLICY_REDIRECT) {
			why->egress_rules = decision.rules;
			egress_watches = decision.watch;
		}
		why->egress_endpoint = flow->observer;
		why->egress_cookie = decision.cookie;
	}
	if (flow->destination_endpoint) {
		flow_observe(flow, POLICY_INGRESS);
		side = connection_judge_side(skb, flow, &decision, announce);
		if (side < 0)
			return side;
		if (side == POLICY_REDIRECT) {
			why->ingress_rules = decision.rules;
			ingress_watches = decision.watch;
		}
		why->ingress_endpoint = flow->observer;
		why->ingress_cookie = decision.cookie;
	}
	return connection_settle(why, egress_watches, ingress_watches);
}

#endif
