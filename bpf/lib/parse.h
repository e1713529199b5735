/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Bytes of a frame → struct packet. All reads of packet memory for classification are here, behind
 * a cursor that checks bounds.
 */
#ifndef IMKER_PARSE_H
#define IMKER_PARSE_H

#include "lib/kernel.h"

#define IPV6_EXTENSION_HEADERS_MAX 4
/* Headers we ever read: Ethernet, IPv6, four extension headers of usual size, TCP. */
#define PARSE_LINEAR_BYTES_MAX 192

#define HEADER_BYTES_MAX 2048 /* an extension header's length field is 8 bits of 8 bytes */

#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_FRAGMENT_OFFSET 0xfff8

#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_AUTH 51
#define NEXTHDR_DEST 60

#define TCP_FLAG_BYTE_FIN 0x01
#define TCP_FLAG_BYTE_SYN 0x02
#define TCP_FLAG_BYTE_RST 0x04
#define TCP_FLAG_BYTE_ACK 0x10

#define ICMP4_ECHO_REPLY 0
#define ICMP4_UNREACHABLE 3
#define ICMP4_ECHO 8
#define ICMP4_TIME_EXCEEDED 11
#define ICMP4_PARAMETER_PROBLEM 12
#define ICMP6_ERROR_MAX 4 /* RFC 4443: 1 unreachable, 2 too big, 3 time, 4 parameter */
#define ICMP6_ECHO 128
#define ICMP6_ECHO_REPLY 129
#define ICMP6_MLD_QUERY 130
#define ICMP6_MLD_DONE 132
#define ICMP6_ROUTER_SOLICITATION 133
#define ICMP6_ROUTER_ADVERTISEMENT 134
#define ICMP6_NEIGHBOUR_SOLICITATION 135
#define ICMP6_NEIGHBOUR_ADVERTISEMENT 136
#define ICMP6_REDIRECT 137
#define ICMP6_MLD2_REPORT 143
#define ICMP_HEADER_BYTES 8

/*
 * tuple is the packet's own direction. ICMP queries use the identifier and the query's type as
 * ports, turned round for answers, so that an answer belongs to its query and to nothing else.
 */
struct packet {
	struct tuple tuple;
	__u16 l4_offset; /* from the start of the frame */
	__u16 l4_length; /* transport header and payload by the IP header; 0 unknown (jumbogram) */
	__u16 ethertype; /* host order */
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 icmp_answer; /* an echo reply */
	__u8 icmp_error;  /* carries the packet it complains about */
	__u8 hop_limit;
	__u8 later_fragment;
	__u8 reserved[3];
};

struct cursor {
	void *position;
	void *end;
};

/* The next `bytes` of the packet, or NULL when it ends before. */
static __always_inline void *cursor_take(struct cursor *cursor, __u32 bytes)
{
	void *start = cursor->position;

	if (start + bytes > cursor->end)
		return NULL;
	cursor->position = start + bytes;
	return start;
}

/* Skips a number of bytes that the packet itself gave. */
static __always_inline bool cursor_skip(struct cursor *cursor, __u32 bytes)
{
	/* The verifier has lost the range that the compiler knows: state it again. */
	asm volatile("" : "+r"(bytes));
	if (bytes > HEADER_BYTES_MAX)
		return false;
	return cursor_take(cursor, bytes) != NULL;
}

/* At the frame's start. Makes the headers directly readable; a driver may leave them in pages. */
static __always_inline struct cursor cursor_open(struct __sk_buff *skb)
{
	__u32 want = skb->len < PARSE_LINEAR_BYTES_MAX ? skb->len : PARSE_LINEAR_BYTES_MAX;

	if (skb_data(skb) + ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct tcphdr) >
	    skb_data_end(skb))
		bpf_skb_pull_data(skb, want);
	return (struct cursor){.position = skb_data(skb), .end = skb_data_end(skb)};
}

static __always_inline int packet_parse_ipv4(struct cursor *cursor, struct packet *packet)
{
	struct iphdr *ip = cursor_take(cursor, sizeof(*ip));

	if (!ip)
		return -DROP_INVALID;
	if (ip->version != 4 || ip->ihl < 5)
		return -DROP_INVALID;
	address_map_ipv4(&packet->tuple.source, ip->saddr);
	address_map_ipv4(&packet->tuple.destination, ip->daddr);
	packet->tuple.protocol = ip->protocol;
	packet->hop_limit = ip->ttl;
	packet->later_fragment = (ip->frag_off & bpf_htons(IPV4_FRAGMENT_OFFSET)) != 0;
	packet->l4_length = bpf_ntohs(ip->tot_len) - ip->ihl * 4;
	packet->l4_offset = ETH_HLEN + ip->ihl * 4;
	return cursor_skip(cursor, ip->ihl * 4 - sizeof(*ip)) ? 0 : -DROP_INVALID;
}

/*
 * Walks at most IPV6_EXTENSION_HEADERS_MAX headers (RFC 8200 section 4). A routing header with
 * segments left would take the packet past the address that policy looked at: refused.
 */
static __always_inline int packet_parse_extensions(struct cursor *cursor, struct packet *packet)
{
	__u8 next = packet->tuple.protocol;

#pragma unroll
	for (int i = 0; i < IPV6_EXTENSION_HEADERS_MAX; i++) {
		__u32 bytes = 8;
		__u8 *header;

		if (next != NEXTHDR_HOP && next != NEXTHDR_ROUTING && next != NEXTHDR_DEST &&
		    next != NEXTHDR_FRAGMENT && next != NEXTHDR_AUTH)
			break;
		header = cursor_take(cursor, 8);
		if (!header)
			return -DROP_INVALID_EXTHDR;
		if (next == NEXTHDR_ROUTING && header[3])
			return -DROP_INVALID_EXTHDR;
		if (next == NEXTHDR_FRAGMENT)
			packet->later_fragment =
			    (*(word16 *)(header + 2) & bpf_htons(IPV6_FRAGMENT_OFFSET)) != 0;
		else if (next == NEXTHDR_AUTH)
			bytes = (header[1] + 2) * 4;
		else
			bytes = (header[1] + 1) * 8;
		if (bytes < 8 || !cursor_skip(cursor, bytes - 8))
			return -DROP_INVALID_EXTHDR;
		packet->l4_offset += bytes;
		packet->l4_length -= bytes;
		next = header[0];
		if (packet->later_fragment)
			break;
	}
	if (next == NEXTHDR_HOP || next == NEXTHDR_ROUTING || next == NEXTHDR_DEST ||
	    next == NEXTHDR_FRAGMENT || next == NEXTHDR_AUTH)
		if (!packet->later_fragment)
			return -DROP_INVALID_EXTHDR;
	packet->tuple.protocol = next;
	return 0;
}

static __always_inline int packet_parse_ipv6(struct cursor *cursor, struct packet *packet)
{
	struct ipv6hdr *ip = cursor_take(cursor, sizeof(*ip));

	if (!ip || ip->version != 6)
		return -DROP_INVALID;
	address_copy(&packet->tuple.source, (struct address *)&ip->saddr);
	address_copy(&packet->tuple.destination, (struct address *)&ip->daddr);
	packet->tuple.protocol = ip->nexthdr;
	packet->hop_limit = ip->hop_limit;
	packet->l4_offset = ETH_HLEN + sizeof(*ip);
	packet->l4_length = bpf_ntohs(ip->payload_len);
	return 0;
}

/*
 * Ethernet and the addresses. 0 also for frames that are not IP: ethertype says so. A native IPv6
 * packet with mapped addresses would pass for IPv4 in every map (RFC 4942 section 2.2): refused.
 */
static __always_inline int packet_parse_network(struct cursor *cursor, struct packet *packet)
{
	struct ethhdr *ethernet = cursor_take(cursor, sizeof(*ethernet));
	int error;

	if (!ethernet)
		return -DROP_UNSUPPORTED_L2;
	packet->ethertype = bpf_ntohs(ethernet->h_proto);
	if (packet->ethertype == ETH_P_IP)
		return packet_parse_ipv4(cursor, packet);
	if (packet->ethertype != ETH_P_IPV6)
		return 0;
	error = packet_parse_ipv6(cursor, packet);
	if (error)
		return error;
	if (address_is_ipv4(&packet->tuple.source) || address_is_ipv4(&packet->tuple.destination))
		return -DROP_INVALID;
	return 0;
}

static __always_inline bool icmp_is_error(__u8 protocol, __u8 type)
{
	if (protocol == IPPROTO_ICMPV6)
		return type >= 1 && type <= ICMP6_ERROR_MAX;
	return type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED ||
	       type == ICMP4_PARAMETER_PROBLEM;
}

static __always_inline int packet_parse_icmp(struct cursor *cursor, struct packet *packet)
{
	__u8 *icmp = cursor_take(cursor, ICMP_HEADER_BYTES);
	bool v6 = packet->tuple.protocol == IPPROTO_ICMPV6;
	__u8 query, answer;

	if (!icmp)
		return -DROP_CT_INVALID_HDR;
	query = v6 ? ICMP6_ECHO : ICMP4_ECHO;
	answer = v6 ? ICMP6_ECHO_REPLY : ICMP4_ECHO_REPLY;
	packet->icmp_type = icmp[0];
	packet->icmp_code = icmp[1];
	packet->icmp_error = icmp_is_error(packet->tuple.protocol, icmp[0]);
	packet->icmp_answer = icmp[0] == answer;
	if (icmp[0] == query) {
		packet->tuple.source_port = *(word16 *)(icmp + 4);
		packet->tuple.destination_port = bpf_htons(query << 8);
	} else if (icmp[0] == answer) {
		packet->tuple.source_port = bpf_htons(query << 8);
		packet->tuple.destination_port = *(word16 *)(icmp + 4);
	} else {
		packet->tuple.destination_port = bpf_htons(icmp[0] << 8);
	}
	return 0;
}

static __always_inline int packet_parse_tcp(struct cursor *cursor, struct packet *packet)
{
	struct tcphdr *tcp = cursor_take(cursor, sizeof(*tcp));

	if (!tcp)
		return -DROP_CT_INVALID_HDR;
	packet->tuple.source_port = tcp->source;
	packet->tuple.destination_port = tcp->dest;
	packet->tcp_flags = ((__u8 *)tcp)[13];
	return 0;
}

/* Transport header behind the cursor. Later fragments have none. */
static __always_inline int packet_parse_transport(struct cursor *cursor, struct packet *packet)
{
	bool v6 = packet->ethertype == ETH_P_IPV6;
	struct udphdr *udp;

	if (packet->later_fragment)
		return -DROP_FRAG_NOSUPPORT;
	if (packet->tuple.protocol == IPPROTO_TCP)
		return packet_parse_tcp(cursor, packet);
	if (packet->tuple.protocol == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return packet_parse_icmp(cursor, packet);
	if (packet->tuple.protocol != IPPROTO_UDP && packet->tuple.protocol != IPPROTO_SCTP)
		return -DROP_CT_UNKNOWN_PROTO;
	udp = cursor_take(cursor, sizeof(*udp));
	if (!udp)
		return -DROP_CT_INVALID_HDR;
	packet->tuple.source_port = udp->source;
	packet->tuple.destination_port = udp->dest;
	return 0;
}

/*
 * Fills *packet (zeroed by the caller) as far as it gets: an error may leave addresses that are
 * good. 0 also for frames that are not IP: ethertype says so. A function of its own to the
 * verifier, here and below: it is checked once, not once per path that leads to it.
 */
__noinline int packet_parse(struct __sk_buff *skb, struct packet *packet)
{
	struct cursor cursor = cursor_open(skb);
	int error;

	if (!packet)
		return -DROP_INVALID;
	error = packet_parse_network(&cursor, packet);
	if (error)
		return error;
	if (packet->ethertype == ETH_P_IPV6)
		error = packet_parse_extensions(&cursor, packet);
	else if (packet->ethertype != ETH_P_IP)
		return 0;
	return error ? error : packet_parse_transport(&cursor, packet);
}

/* Opens a connection: SYN without ACK. */
static __always_inline bool packet_is_opening(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_FLAG_BYTE_SYN | TCP_FLAG_BYTE_ACK)) == TCP_FLAG_BYTE_SYN;
}

#endif
