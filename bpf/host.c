/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The two programs of the node's own interfaces. netdev_ingress sees what comes from outside: for a
 * local pod its ingress policy is decided here, before the node's stack; for the node itself the
 * node's. netdev_egress sees what leaves, and decides the node's egress policy.
 */
#include "lib/host.h"

static __always_inline int from_network(struct __sk_buff *skb, struct flow *flow)
{
	int result = packet_parse(skb, &flow->packet);
	const struct endpoint *endpoint = endpoint_by_address(&flow->packet.tuple.destination);

	if (endpoint)
		flow_set_destination(flow, endpoint);
	else if (host_receives(skb, flow, result))
		flow_set_host(flow, POLICY_INGRESS);
	else
		return TC_ACT_OK;
	flow_observe(flow, POLICY_INGRESS);
	if (!result)
		result = network_check_source(flow);
	if (!result)
		result = connection_decide(skb, flow);
	return endpoint ? network_to_pod(skb, flow, endpoint, result)
			: host_settle(skb, flow, result);
}

static __always_inline int to_network(struct __sk_buff *skb, struct flow *flow)
{
	int result;

	if (!host_may_send(skb, flow))
		return TC_ACT_OK;
	result = packet_parse(skb, &flow->packet);
	if (!host_sends(flow, result))
		return TC_ACT_OK;
	flow->from_host = 1;
	flow_set_host(flow, POLICY_EGRESS);
	flow_observe(flow, POLICY_EGRESS);
	if (!result)
		result = connection_decide(skb, flow);
	return host_settle(skb, flow, result);
}

SEC("tc")
int netdev_ingress(struct __sk_buff *skb)
{
	struct flow flow __attribute__((aligned(8))) = {};

	if (!program_begin(&flow, HOOK_FROM_NETWORK))
		return TC_ACT_SHOT;
	return program_finish(skb, &flow, from_network(skb, &flow), true);
}

SEC("tc")
int netdev_egress(struct __sk_buff *skb)
{
	struct flow flow __attribute__((aligned(8))) = {.direction = POLICY_EGRESS};

	if (!program_begin(&flow, HOOK_TO_NETWORK))
		return TC_ACT_SHOT;
	return program_finish(skb, &flow, to_network(skb, &flow), false);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
