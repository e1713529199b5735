/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Answers a TCP segment with a reset, from inside the program: the frame is cut to its headers,
 * turned round and sent back out of the interface it came in by (RFC 9293 section 3.10.7.1).
 */
#ifndef IMKER_RESET_H
#define IMKER_RESET_H

#include "lib/answer.h"
#include "lib/checksum.h"
#include "lib/packet.h"

#define RESET_TTL 64
#define TCP_HEADER_WORDS 5

struct reset_ipv4 {
	struct ethhdr ethernet;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

struct reset_ipv6 {
	struct ethhdr ethernet;
	struct ipv6hdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

/* The reset's TCP header for the segment `in`, checksum left 0. Bytes of a segment: `length`. */
static __always_inline void reset_fill_tcp(struct tcphdr *out, const struct tcphdr *in,
					   __u32 length)
{
	__u32 covered = length - in->doff * 4 + in->syn + in->fin;

	*out = (struct tcphdr){.source = in->dest, .dest = in->source, .doff = TCP_HEADER_WORDS};
	out->rst = 1;
	if (in->ack) {
		out->seq = in->ack_seq;
	} else {
		out->ack = 1;
		out->ack_seq = bpf_htonl(bpf_ntohl(in->seq) + covered);
	}
}

/* Checksum over the pseudo header (RFC 9293 3.1, RFC 8200 8.1) and a header without payload. */
static __always_inline __sum16 reset_checksum(struct tcphdr *tcp, void *addresses, __u32 bytes)
{
	__be32 pseudo[2] = {bpf_htonl(sizeof(*tcp)), bpf_htonl(IPPROTO_TCP)};
	__u32 sum = bpf_csum_diff(NULL, 0, addresses, bytes, 0);

	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)tcp, sizeof(*tcp), sum);
	return checksum_fold(sum);
}

static __always_inline int reset_write_ipv4(struct __sk_buff *skb, const struct tuple *tuple,
					    const struct tcphdr *in, __u32 length)
{
	struct tcphdr tcp;
	struct iphdr ip = {
	    .version = 4,
	    .ihl = sizeof(ip) / 4,
	    .tot_len = bpf_htons(sizeof(ip) + sizeof(tcp)),
	    .frag_off = bpf_htons(0x4000),
	    .ttl = RESET_TTL,
	    .protocol = IPPROTO_TCP,
	    .saddr = ((const word32 *)&tuple->destination)[3],
	    .daddr = ((const word32 *)&tuple->source)[3],
	};
	__be32 addresses[2] = {ip.saddr, ip.daddr};

	reset_fill_tcp(&tcp, in, length);
	tcp.check = reset_checksum(&tcp, addresses, sizeof(addresses));
	ip.check = checksum_fold(bpf_csum_diff(NULL, 0, (__be32 *)&ip, sizeof(ip), 0));
	if (bpf_skb_change_tail(skb, sizeof(struct reset_ipv4), 0))
		return -DROP_INVALID;
	bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
	bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(ip), &tcp, sizeof(tcp), 0);
	return 0;
}

static __always_inline int reset_write_ipv6(struct __sk_buff *skb, const struct tuple *tuple,
					    const struct tcphdr *in, __u32 length)
{
	struct tcphdr tcp;
	struct ipv6hdr ip = {
	    .version = 6,
	    .payload_len = bpf_htons(sizeof(tcp)),
	    .nexthdr = IPPROTO_TCP,
	    .hop_limit = RESET_TTL,
	};

	for (int i = 0; i < 4; i++) {
		((word32 *)&ip.saddr)[i] = ((const word32 *)&tuple->destination)[i];
		((word32 *)&ip.daddr)[i] = ((const word32 *)&tuple->source)[i];
	}
	reset_fill_tcp(&tcp, in, length);
	tcp.check = reset_checksum(&tcp, &ip.saddr, 2 * sizeof(ip.saddr));
	if (bpf_skb_change_tail(skb, sizeof(struct reset_ipv6), 0))
		return -DROP_INVALID;
	bpf_skb_store_bytes(skb, ETH_HLEN, &ip, sizeof(ip), 0);
	bpf_skb_store_bytes(skb, ETH_HLEN + sizeof(ip), &tcp, sizeof(tcp), 0);
	return 0;
}

/*
 * Turns the packet into a reset for its sender; the TC verdict to return. A reset is never
 * answered.
 */
__noinline int reset_answer(struct __sk_buff *skb, const struct packet *packet)
{
	struct tcphdr in;
	__u8 macs[12];
	__u32 length;
	int error;

	if (!packet || packet->fragment >= FRAGMENT_LATER)
		return TC_ACT_SHOT;
	length = packet->l4_length ? packet->l4_length : skb->len - packet->l4_offset;
	if (packet->tuple.protocol != IPPROTO_TCP || (packet->tcp_flags & TCP_FLAG_BYTE_RST))
		return TC_ACT_SHOT;
	if (bpf_skb_load_bytes(skb, packet->l4_offset, &in, sizeof(in)) ||
	    bpf_skb_load_bytes(skb, 0, macs, sizeof(macs)))
		return TC_ACT_SHOT;
	if (packet->ethertype == ETH_P_IP)
		error = reset_write_ipv4(skb, &packet->tuple, &in, length);
	else
		error = reset_write_ipv6(skb, &packet->tuple, &in, length);
	if (error)
		return TC_ACT_SHOT;
	return answer_send(skb, macs);
}

#endif
