/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * netdev_ingress, on the node's own interfaces: what comes from outside for a local pod. Ingress
 * policy is decided here, before the node's stack; traffic of the node itself passes.
 */
#include "lib/network.h"

SEC("tc")
int netdev_ingress(struct __sk_buff *skb)
{
	struct flow flow __attribute__((aligned(8))) = {};

	if (!program_begin(&flow, HOOK_FROM_NETWORK))
		return TC_ACT_SHOT;
	return program_finish(skb, &flow, network_to_pod(skb, &flow, false), true);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
