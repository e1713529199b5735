/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Answers a packet with "destination unreachable, administratively prohibited" (RFC 1812 section
 * 5.2.7.1, RFC 4443 section 3.1), from inside the program: the frame becomes the answer, with the
 * beginning of the packet behind it, and goes back out of the interface it came in by.
 */
#ifndef IMKER_UNREACHABLE_H
#define IMKER_UNREACHABLE_H

#include "lib/answer.h"
#include "lib/checksum.h"
#include "lib/packet.h"

#define UNREACHABLE_TTL 64
#define UNREACHABLE_QUOTED 8 /* bytes behind the IP header: the ports, or what stands there */
#define ICMP4_CODE_PROHIBITED 13
#define ICMP6_UNREACHABLE 1
#define ICMP6_CODE_PROHIBITED 1

struct unreachable_icmp {
	__u8 type;
	__u8 code;
	__sum16 checksum;
	__be32 unused;
} __attribute__((packed));

struct unreachable_ipv4 {
	struct iphdr ip;
	struct unreachable_icmp icmp;
	struct iphdr quoted_ip;
	__u8 quoted[UNREACHABLE_QUOTED];
} __attribute__((packed, aligned(4)));

struct unreachable_ipv6 {
	struct ipv6hdr ip;
	struct unreachable_icmp icmp;
	struct ipv6hdr quoted_ip;
	__u8 quoted[UNREACHABLE_QUOTED];
} __attribute__((packed, aligned(4)));

/* Errors, later fragments and what is for many are never answered (RFC 1122 section 3.2.2). */
static __always_inline bool unreachable_may_answer(const struct packet *packet)
{
	const __u8 *to = packet->tuple.destination.bytes;
	bool many = packet->ethertype == ETH_P_IP ? to[12] >= 224 : to[0] == 0xff;

	return !packet->icmp_error && packet->fragment < FRAGMENT_LATER && !many;
}

static __always_inline int unreachable_write_ipv4(struct __sk_buff *skb)
{
	struct unreachable_ipv4 answer = {};

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &answer.quoted_ip,
			       sizeof(answer.quoted_ip) + sizeof(answer.quoted)))
		return -DROP_INVALID;
	answer.ip = (struct iphdr){
	    .version = 4,
	    .ihl = sizeof(answer.ip) / 4,
	    .tot_len = bpf_htons(sizeof(answer)),
	    .frag_off = bpf_htons(0x4000),
	    .ttl = UNREACHABLE_TTL,
	    .protocol = IPPROTO_ICMP,
	    .saddr = answer.quoted_ip.daddr,
	    .daddr = answer.quoted_ip.saddr,
	};
	answer.ip.check =
	    checksum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&answer.ip, sizeof(answer.ip), 0));
	answer.icmp.type = ICMP4_UNREACHABLE;
	answer.icmp.code = ICMP4_CODE_PROHIBITED;
	answer.icmp.checksum = checksum_fold(
	    bpf_csum_diff(NULL, 0, (__be32 *)&answer.icmp, sizeof(answer) - sizeof(answer.ip), 0));
	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(answer), 0))
		return -DROP_INVALID;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &answer, sizeof(answer), 0);
}

static __always_inline int unreachable_write_ipv6(struct __sk_buff *skb)
{
	struct unreachable_ipv6 answer = {};
	__u32 length = sizeof(answer) - sizeof(answer.ip);
	__be32 pseudo[2] = {bpf_htonl(length), bpf_htonl(IPPROTO_ICMPV6)};
	__u32 sum;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &answer.quoted_ip,
			       sizeof(answer.quoted_ip) + sizeof(answer.quoted)))
		return -DROP_INVALID;
	answer.ip.version = 6;
	answer.ip.payload_len = bpf_htons(length);
	answer.ip.nexthdr = IPPROTO_ICMPV6;
	answer.ip.hop_limit = UNREACHABLE_TTL;
	answer.ip.saddr = answer.quoted_ip.daddr;
	answer.ip.daddr = answer.quoted_ip.saddr;
	answer.icmp.type = ICMP6_UNREACHABLE;
	answer.icmp.code = ICMP6_CODE_PROHIBITED;
	/* Over the pseudo header too (RFC 8200 section 8.1). */
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&answer.ip.saddr, 2 * sizeof(answer.ip.saddr), 0);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	answer.icmp.checksum =
	    checksum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&answer.icmp, length, sum));
	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(answer), 0))
		return -DROP_INVALID;
	return bpf_skb_store_bytes(skb, ETH_HLEN, &answer, sizeof(answer), 0);
}

/*
 * Turns the packet into the answer to its sender; the TC verdict to return. A packet with options
 * or extension headers is dropped in silence.
 */
__noinline int unreachable_answer(struct __sk_buff *skb, const struct packet *packet)
{
	__u8 macs[12];
	int error;

	if (!packet || !unreachable_may_answer(packet))
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)))
		return TC_ACT_SHOT;
	if (packet->ethertype == ETH_P_IP && packet->l4_offset == ETH_HLEN + sizeof(struct iphdr))
		error = unreachable_write_ipv4(skb);
	else if (packet->ethertype == ETH_P_IPV6 &&
		 packet->l4_offset == ETH_HLEN + sizeof(struct ipv6hdr))
		error = unreachable_write_ipv6(skb);
	else
		return TC_ACT_SHOT;
	if (error)
		return TC_ACT_SHOT;
	return answer_send(skb, macs);
}

#endif
