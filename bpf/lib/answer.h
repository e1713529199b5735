/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* Sends what a program has written into a packet back to the packet's sender. */
#ifndef IMKER_ANSWER_H
#define IMKER_ANSWER_H

#include "lib/kernel.h"

/*
 * `macs` are those of the packet as it came. The mark lets the answer pass the pod's own hook. The
 * TC verdict to return.
 */
static __always_inline int answer_send(struct __sk_buff *skb, const __u8 *macs)
{
	__u8 turned[12];

	__builtin_memcpy(turned, macs + 6, 6);
	__builtin_memcpy(turned + 6, macs, 6);
	bpf_skb_store_bytes(skb, 0, turned, sizeof(turned), 0);
	skb->mark = MARK_MAGIC_PROXY;
	return bpf_redirect(skb->ifindex, 0);
}

#endif
