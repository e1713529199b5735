/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The node itself as an endpoint (ENDPOINT_HOST): its processes and the pods that share its
 * network. Here is what crosses the node's own interfaces; what passes between the node and its
 * pods is judged with the pods' policies (connection.h). Nothing is done unless the agent asked for
 * it (CONFIG_FLAG_HOST), and nothing is refused unless the node has a policy: an error here must
 * not lock its owner out.
 */
#ifndef IMKER_HOST_H
#define IMKER_HOST_H

#include "lib/network.h"

#define PACKET_BROADCAST 1
#define PACKET_MULTICAST 2

static __always_inline bool host_has_policy(void)
{
	__u32 id = ENDPOINT_HOST;

	return bpf_map_lookup_elem(&policies, &id) != NULL;
}

/* Neighbour discovery and multicast reports keep the link alive and never leave it. */
static __always_inline bool host_is_link_control(const struct packet *packet)
{
	__u8 type = packet->icmp_type;

	if (packet->tuple.protocol != IPPROTO_ICMPV6 || packet->fragment)
		return false;
	if (type >= ICMP6_ROUTER_SOLICITATION && type <= ICMP6_REDIRECT)
		return packet->hop_limit == ND_HOP_LIMIT;
	return packet->hop_limit == MLD_HOP_LIMIT &&
	       (type == ICMP6_MLD2_REPORT || (type >= ICMP6_MLD_QUERY && type <= ICMP6_MLD_DONE));
}

/*
 * Does a packet from outside end here? At the node's addresses, at link-local ones (no router
 * forwards to them, and the ipcache does not list them), and whatever was sent to many.
 */
static __always_inline bool host_is_addressed(const struct __sk_buff *skb,
					      const struct packet *packet)
{
	const struct address *to = &packet->tuple.destination;
	const struct config *current = config_get();

	if (skb->pkt_type == PACKET_BROADCAST || skb->pkt_type == PACKET_MULTICAST)
		return true;
	if (address_is_link_local(to) || address_is_multicast(to))
		return true;
	return current && ipcache_identity(to, current) == IDENTITY_HOST;
}

/* decided: CONNECTION_* or a drop reason. */
static __always_inline int host_settle(struct __sk_buff *skb, struct flow *flow, int decided)
{
	if (decided != CONNECTION_FORWARD && !host_has_policy())
		return TC_ACT_OK;
	if (decided < 0)
		return decided;
	/* The proxy serves pods only. */
	if (decided != CONNECTION_FORWARD)
		return -DROP_INVALID;
	event_trace(skb, flow, flow->hook == HOOK_FROM_NETWORK ? TRACE_TO_HOST : TRACE_TO_NETWORK);
	return TC_ACT_OK;
}

static __always_inline bool host_is_concerned(const struct flow *flow, int parsed)
{
	const struct packet *packet = &flow->packet;

	if (!(flow->settings & CONFIG_FLAG_HOST))
		return false;
	if (packet->ethertype != ETH_P_IP && packet->ethertype != ETH_P_IPV6)
		return false;
	return parsed || !host_is_link_control(packet);
}

/*
 * Is a packet from outside, not for a local pod, one for the node? Without good addresses it may
 * be. parsed: what packet_parse said.
 */
static __always_inline bool host_receives(struct __sk_buff *skb, const struct flow *flow,
					  int parsed)
{
	return host_is_concerned(flow, parsed) &&
	       (parsed == -DROP_INVALID || host_is_addressed(skb, &flow->packet));
}

/* Not what another interface received, nor what the proxy sends for a pod. */
static __always_inline bool host_may_send(const struct __sk_buff *skb, const struct flow *flow)
{
	return (flow->settings & CONFIG_FLAG_HOST) && !skb->ingress_ifindex &&
	       (skb->mark & MARK_MAGIC_MASK) != MARK_MAGIC_PROXY;
}

/*
 * Nor the stack's own answer for a connection of the proxy, which has the pod's address. Whoever
 * else of the node sends with that has forged it, and is judged as the node.
 */
static __always_inline bool host_sends(struct flow *flow, int parsed)
{
	const struct ct_value *entry;

	if (!host_is_concerned(flow, parsed))
		return false;
	if (!endpoint_by_address(&flow->packet.tuple.source))
		return true;
	tuple_canonical(&flow->packet.tuple, &flow->key);
	entry = bpf_map_lookup_elem(&ct, &flow->key);
	return !entry || !(entry->flags & CT_FLAG_PROXIED);
}

#endif
