/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * For bench/datapath/packet-rig.ts: what the datapath is compared with. Programs that make the map
 * look-ups of pod_egress for a packet of a known shape (Ethernet, IPv4 without options, TCP), in
 * the same maps, with the same keys, in the same order, and nothing else. Keeping a new connection
 * is one of them; `bare` leaves it out.
 */
#include "lib/ct.h"
#include "lib/endpoint.h"
#include "lib/ipcache.h"
#include "lib/metrics.h"
#include "lib/policy.h"

/* The pod's address sorts before every peer's, so this is the canonical tuple. */
static __always_inline bool read_tuple(struct __sk_buff *skb, struct tuple *tuple)
{
	const struct iphdr *ip = skb_data(skb) + ETH_HLEN;
	const struct tcphdr *tcp = (const void *)(ip + 1);

	if ((void *)(tcp + 1) > skb_data_end(skb))
		return false;
	address_map_ipv4(&tuple->source, ip->saddr);
	address_map_ipv4(&tuple->destination, ip->daddr);
	tuple->source_port = tcp->source;
	tuple->destination_port = tcp->dest;
	tuple->protocol = ip->protocol;
	return true;
}

static __always_inline int count(struct __sk_buff *skb, __u8 reason)
{
	metrics_count(reason, POLICY_EGRESS, skb->len);
	return reason == METRIC_FORWARDED ? TC_ACT_OK : TC_ACT_SHOT;
}

SEC("tc")
int lookups_established(struct __sk_buff *skb)
{
	struct tuple tuple __attribute__((aligned(8))) = {};

	if (!config_get() || !endpoint_by_interface(skb->ifindex) || !read_tuple(skb, &tuple))
		return TC_ACT_SHOT;
	if (endpoint_by_address(&tuple.destination) || !bpf_map_lookup_elem(&ct, &tuple))
		return TC_ACT_SHOT;
	return count(skb, METRIC_FORWARDED);
}

/* Looks up as far as policy's verdict; < 0: not a packet of that kind. */
static __always_inline int look_up_policy(struct __sk_buff *skb, struct tuple *tuple)
{
	const struct endpoint *endpoint = endpoint_by_interface(skb->ifindex);
	struct policy_key key = {.prefixlen = POLICY_PREFIX_FULL, .direction = POLICY_EGRESS};
	const struct config *current = config_get();
	const void *specific, *wildcard;
	void *policy;

	if (!current || !endpoint || !read_tuple(skb, tuple) ||
	    endpoint_by_address(&tuple->destination) || bpf_map_lookup_elem(&ct, tuple))
		return -1;
	key.identity = ipcache_identity(&tuple->destination, current);
	key.protocol = tuple->protocol;
	key.port = tuple->destination_port;
	policy = bpf_map_lookup_elem(&policies, &endpoint->id);
	if (!policy)
		return -1;
	specific = bpf_map_lookup_elem(policy, &key);
	key.identity = 0;
	wildcard = bpf_map_lookup_elem(policy, &key);
	/* Not one expression: clang would join the two pointers' bits, which the verifier refuses.
	 */
	if (specific)
		return 1;
	return wildcard ? 1 : 0;
}

SEC("tc")
int lookups_new(struct __sk_buff *skb)
{
	struct tuple tuple __attribute__((aligned(8))) = {};
	struct ct_value entry = {.expires_ns = ~0ULL};

	if (look_up_policy(skb, &tuple) != 1 || bpf_map_update_elem(&ct, &tuple, &entry, BPF_ANY))
		return TC_ACT_SHOT;
	return count(skb, METRIC_FORWARDED);
}

SEC("tc")
int lookups_new_bare(struct __sk_buff *skb)
{
	struct tuple tuple __attribute__((aligned(8))) = {};

	if (look_up_policy(skb, &tuple) != 1)
		return TC_ACT_SHOT;
	return count(skb, METRIC_FORWARDED);
}

SEC("tc")
int lookups_denied(struct __sk_buff *skb)
{
	struct tuple tuple __attribute__((aligned(8))) = {};

	if (look_up_policy(skb, &tuple) != 0)
		return TC_ACT_SHOT;
	return count(skb, DROP_POLICY);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
