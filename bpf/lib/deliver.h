/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The ways a packet leaves a program: into a pod, up the node's stack, or round again. */
#ifndef IMKER_DELIVER_H
#define IMKER_DELIVER_H

#include "lib/event.h"

#define HOP_LIMIT_OFFSET_IPV6 (ETH_HLEN + 7)

/* RFC 1624: decrementing the TTL adds 1 to the high byte of the checksum's complement. */
static __always_inline int deliver_decrement_ttl(struct __sk_buff *skb, const struct flow *flow)
{
	void *data = skb_data(skb), *end = skb_data_end(skb);
	struct iphdr *ip = data + ETH_HLEN;
	__u32 sum;

	if (flow->packet.ethertype == ETH_P_IPV6) {
		__u8 hops = flow->packet.hop_limit - 1;

		/* IPv6 has no header checksum, so a checksum of the whole frame must follow. */
		return bpf_skb_store_bytes(skb, HOP_LIMIT_OFFSET_IPV6, &hops, sizeof(hops),
					   BPF_F_RECOMPUTE_CSUM);
	}
	if ((void *)(ip + 1) > end)
		return -DROP_INVALID;
	sum = ip->check + bpf_htons(0x0100);
	ip->check = sum + (sum >= 0xffff);
	ip->ttl--;
	return 0;
}

/*
 * Straight into the pod's namespace, past the node's stack and its queues. A packet whose hops
 * are used up goes to the stack instead, which answers it.
 */
static __always_inline int deliver_to_pod(struct __sk_buff *skb, struct flow *flow,
					  const struct endpoint *endpoint)
{
	void *data = skb_data(skb), *end = skb_data_end(skb);
	struct ethhdr *ethernet = data;

	skb->mark = 0;
	if (flow->packet.hop_limit <= 1)
		return TC_ACT_OK;
	if ((void *)(ethernet + 1) > end)
		return -DROP_INVALID;
	__builtin_memcpy(ethernet->h_dest, endpoint->pod_mac, sizeof(ethernet->h_dest));
	__builtin_memcpy(ethernet->h_source, endpoint->host_mac, sizeof(ethernet->h_source));
	if (deliver_decrement_ttl(skb, flow))
		return -DROP_INVALID;
	flow_observe(flow, POLICY_INGRESS);
	event_trace(skb, flow, TRACE_TO_ENDPOINT);
	return bpf_redirect_peer(endpoint->ifindex, 0);
}

/*
 * From the egress hook of a pod's veth to its ingress hook, where a socket can be assigned. Such
 * a packet is known by its mark: what really comes from the pod has lost any mark on the way.
 */
static __always_inline int deliver_round(struct __sk_buff *skb, const struct endpoint *endpoint)
{
	__u8 mac[6];

	__builtin_memcpy(mac, endpoint->host_mac, sizeof(mac));
	if (bpf_skb_store_bytes(skb, 0, mac, sizeof(mac), 0))
		return -DROP_INVALID;
	skb->mark = MARK_MAGIC_TO_PROXY;
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

#endif
