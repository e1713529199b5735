/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * proxy_lookup, asked by the node's stack for a listening socket: gives that of the proxy to a
 * SYN that pod_egress or netdev_ingress has handed over without assigning it (lib/proxy.h says
 * when). A connection nobody handed over is none of its business.
 */
#include "lib/proxy.h"

static __always_inline void lookup_tuple(const struct bpf_sk_lookup *context, struct tuple *tuple)
{
	tuple->protocol = IPPROTO_TCP;
	tuple->source_port = context->remote_port;
	tuple->destination_port = bpf_htons(context->local_port);
	if (context->family == 2 /* AF_INET */) {
		address_map_ipv4(&tuple->source, context->remote_ip4);
		address_map_ipv4(&tuple->destination, context->local_ip4);
		return;
	}
	((word32 *)&tuple->source)[0] = context->remote_ip6[0];
	((word32 *)&tuple->source)[1] = context->remote_ip6[1];
	((word32 *)&tuple->source)[2] = context->remote_ip6[2];
	((word32 *)&tuple->source)[3] = context->remote_ip6[3];
	((word32 *)&tuple->destination)[0] = context->local_ip6[0];
	((word32 *)&tuple->destination)[1] = context->local_ip6[1];
	((word32 *)&tuple->destination)[2] = context->local_ip6[2];
	((word32 *)&tuple->destination)[3] = context->local_ip6[3];
}

SEC("sk_lookup")
int proxy_lookup(struct bpf_sk_lookup *context)
{
	struct tuple tuple __attribute__((aligned(8))) = {};
	struct bpf_sock *listener;
	long error;

	if (context->protocol != IPPROTO_TCP)
		return SK_PASS;
	lookup_tuple(context, &tuple);
	if (!bpf_map_lookup_elem(&handoff, &tuple))
		return SK_PASS;
	listener = proxy_listener(&tuple, context->family != 2);
	/* Any other listener of the node would be the wrong one. */
	if (!listener)
		return SK_DROP;
	error = bpf_sk_assign(context, listener, 0);
	bpf_sk_release(listener);
	return error ? SK_DROP : SK_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
