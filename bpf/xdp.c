/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * prefilter, on the node's own interfaces, before any other work: drops packets whose source is in
 * the list of denied prefixes.
 */
#include "lib/prefilter-packet.h"

SEC("xdp")
int prefilter(struct xdp_md *xdp)
{
	struct prefilter_question list = {
	    .ipv4 = prefilter_denies_ipv4,
	    .ipv6 = prefilter_denies_ipv6,
	};

	return prefilter_packet(xdp, list);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
