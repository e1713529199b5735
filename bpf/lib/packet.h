/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* What is known of a packet's headers, and the words of the protocols that go into it. */
#ifndef IMKER_PACKET_H
#define IMKER_PACKET_H

#include "lib/kernel.h"

#define IPV4_FRAGMENT_OFFSET 0x1fff /* in 8 bytes */
#define IPV4_FRAGMENT_MORE 0x2000
#define IPV6_FRAGMENT_OFFSET 0xfff8 /* in bytes */
#define IPV6_FRAGMENT_MORE 0x0001

#define NEXTHDR_HOP 0
#define NEXTHDR_ROUTING 43
#define NEXTHDR_FRAGMENT 44
#define NEXTHDR_DEST 60

#define IPPROTO_VRRP 112
#define SCTP_HEADER_BYTES 12

#define FRAGMENT_NONE 0      /* a whole datagram */
#define FRAGMENT_FIRST 1     /* carries the transport header for the others */
#define FRAGMENT_LATER 2     /* ports of the first one are filled in, see lib/fragment.h */
#define FRAGMENT_UNTRACKED 3 /* its first one was not seen: it has no ports */

#define TCP_FLAG_BYTE_FIN 0x01
#define TCP_FLAG_BYTE_SYN 0x02
#define TCP_FLAG_BYTE_RST 0x04
#define TCP_FLAG_BYTE_ACK 0x10

#define ICMP4_ECHO_REPLY 0
#define ICMP4_UNREACHABLE 3
#define ICMP4_FRAG_NEEDED 4 /* a code of it */
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
#define ND_HOP_LIMIT 255 /* RFC 4861 section 6.1: anything less was forwarded */
#define MLD_HOP_LIMIT 1

/*
 * tuple is the packet's own direction. ICMP queries use the identifier and the query's type as
 * ports, turned round for answers, so that an answer belongs to its query and to nothing else.
 * Protocols that have no ports (GRE, ESP, …) have zeros.
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
	__u8 fragment; /* FRAGMENT_* */
	__u8 reserved[7];
	__u32 fragment_id; /* as in the packet */
};

_Static_assert(sizeof(struct packet) % 8 == 0, "what stands behind it has to be aligned");

static __always_inline bool icmp_is_error(__u8 protocol, __u8 type)
{
	if (protocol == IPPROTO_ICMPV6)
		return type >= 1 && type <= ICMP6_ERROR_MAX;
	return type == ICMP4_UNREACHABLE || type == ICMP4_TIME_EXCEEDED ||
	       type == ICMP4_PARAMETER_PROBLEM;
}

/* Known, tracked by its two addresses, and looked up by its number alone. */
static __always_inline bool protocol_has_no_ports(__u8 protocol)
{
	return protocol == IPPROTO_IGMP || protocol == IPPROTO_IPIP || protocol == IPPROTO_IPV6 ||
	       protocol == IPPROTO_GRE || protocol == IPPROTO_ESP || protocol == IPPROTO_AH ||
	       protocol == IPPROTO_VRRP;
}

/* Opens a connection: SYN without ACK. */
static __always_inline bool packet_is_opening(const struct packet *packet)
{
	return (packet->tcp_flags & (TCP_FLAG_BYTE_SYN | TCP_FLAG_BYTE_ACK)) == TCP_FLAG_BYTE_SYN;
}

#endif
