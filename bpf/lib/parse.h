/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Bytes of a frame → struct packet. All reads of packet memory for classification are here, behind
 * a cursor that checks bounds.
 */
#ifndef IMKER_PARSE_H
#define IMKER_PARSE_H

#include "lib/packet.h"

#define IPV6_EXTENSION_HEADERS_MAX 4
/* Headers we ever read: Ethernet, IPv6, four extension headers of usual size, TCP. */
#define PARSE_LINEAR_BYTES_MAX 192

#define HEADER_BYTES_MAX 2048 /* an extension header's length field is 8 bits of 8 bytes */

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

/* Up to the end of a TCP header; extension headers are not counted. */
static __always_inline __u32 headers_bytes(const struct __sk_buff *skb)
{
	const struct iphdr *ip = skb_data(skb) + ETH_HLEN;

	if (skb->protocol != bpf_htons(ETH_P_IP))
		return ETH_HLEN + sizeof(struct ipv6hdr) + sizeof(struct tcphdr);
	if ((void *)(ip + 1) > skb_data_end(skb))
		return PARSE_LINEAR_BYTES_MAX;
	return ETH_HLEN + ip->ihl * 4 + sizeof(struct tcphdr);
}

/*
 * At the frame's start. Makes the headers directly readable; a driver may leave them in pages. Not
 * more often than that: what the node sends shares its payload with the socket, and pulling some
 * of it copies the packet.
 */
static __always_inline struct cursor cursor_open(struct __sk_buff *skb)
{
	__u32 want = skb->len < PARSE_LINEAR_BYTES_MAX ? skb->len : PARSE_LINEAR_BYTES_MAX;
	__u32 bytes = headers_bytes(skb);

	if (skb_data(skb) + bytes > skb_data_end(skb))
		bpf_skb_pull_data(skb, want);
	return (struct cursor){.position = skb_data(skb), .end = skb_data_end(skb)};
}

/*
 * A fragment that begins inside the TCP header could write over flags that policy has seen
 * (RFC 3128): refused. Everything later than a first fragment has no transport header.
 */
static __always_inline int packet_note_fragment(struct packet *packet, __u32 offset_bytes,
						bool more, __u32 id)
{
	if (!offset_bytes && !more)
		return 0;
	packet->fragment = offset_bytes ? FRAGMENT_LATER : FRAGMENT_FIRST;
	packet->fragment_id = id;
	if (packet->tuple.protocol == IPPROTO_TCP && offset_bytes &&
	    offset_bytes < sizeof(struct tcphdr))
		return -DROP_CT_INVALID_HDR;
	return 0;
}

static __always_inline int packet_parse_ipv4(struct cursor *cursor, struct packet *packet)
{
	struct iphdr *ip = cursor_take(cursor, sizeof(*ip));
	__u32 total, bits;

	if (!ip)
		return -DROP_INVALID;
	if (ip->version != 4 || ip->ihl < 5)
		return -DROP_INVALID;
	total = bpf_ntohs(ip->tot_len);
	if (total && total < ip->ihl * 4)
		return -DROP_INVALID;
	address_map_ipv4(&packet->tuple.source, ip->saddr);
	address_map_ipv4(&packet->tuple.destination, ip->daddr);
	packet->tuple.protocol = ip->protocol;
	packet->hop_limit = ip->ttl;
	packet->l4_length = total ? total - ip->ihl * 4 : 0;
	packet->l4_offset = ETH_HLEN + ip->ihl * 4;
	bits = bpf_ntohs(ip->frag_off);
	if (!cursor_skip(cursor, ip->ihl * 4 - sizeof(*ip)))
		return -DROP_INVALID;
	return packet_note_fragment(packet, (bits & IPV4_FRAGMENT_OFFSET) * 8,
				    bits & IPV4_FRAGMENT_MORE, ip->id);
}

static __always_inline bool is_extension_header(__u8 number)
{
	return number == NEXTHDR_HOP || number == NEXTHDR_ROUTING || number == NEXTHDR_DEST ||
	       number == NEXTHDR_FRAGMENT;
}

/* A fragment in fragments is nothing that a sender makes. */
static __always_inline int packet_parse_fragment_header(const __u8 *header, struct packet *packet)
{
	__u32 bits = bpf_ntohs(*(word16 *)(header + 2));

	if (packet->fragment)
		return -DROP_INVALID_EXTHDR;
	packet->tuple.protocol = header[0];
	return packet_note_fragment(packet, bits & IPV6_FRAGMENT_OFFSET, bits & IPV6_FRAGMENT_MORE,
				    *(word32 *)(header + 4));
}

/*
 * Walks at most IPV6_EXTENSION_HEADERS_MAX headers (RFC 8200 section 4). A routing header with
 * segments left would take the packet past the address that policy looked at: refused. An
 * authentication header is not walked: as in IPv4 it is the protocol that rules name (AH), and
 * what it protects is between the two ends.
 */
static __always_inline int packet_parse_extensions(struct cursor *cursor, struct packet *packet)
{
	__u8 next = packet->tuple.protocol;
	int error;

#pragma unroll
	for (int i = 0; i < IPV6_EXTENSION_HEADERS_MAX; i++) {
		__u32 bytes = 8;
		__u8 *header;

		if (!is_extension_header(next))
			break;
		header = cursor_take(cursor, 8);
		if (!header)
			return -DROP_INVALID_EXTHDR;
		if (next == NEXTHDR_ROUTING && header[3])
			return -DROP_INVALID_EXTHDR;
		if (next == NEXTHDR_FRAGMENT) {
			error = packet_parse_fragment_header(header, packet);
			if (error)
				return error;
		} else {
			bytes = (header[1] + 1) * 8;
		}
		if (!cursor_skip(cursor, bytes - 8))
			return -DROP_INVALID_EXTHDR;
		if (packet->l4_length && bytes > packet->l4_length)
			return -DROP_INVALID_EXTHDR;
		packet->l4_offset += bytes;
		packet->l4_length -= packet->l4_length ? bytes : 0;
		next = header[0];
		if (packet->fragment == FRAGMENT_LATER)
			break;
	}
	packet->tuple.protocol = next;
	if (is_extension_header(next) && packet->fragment != FRAGMENT_LATER)
		return -DROP_INVALID_EXTHDR;
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
 * A native IPv6 packet with mapped addresses would pass for IPv4 in every map (RFC 4942
 * section 2.2), and a loopback address on a wire is somebody who wants to speak to what listens for
 * its own machine only (RFC 1122 section 3.2.1.3, RFC 4291 section 2.5.3).
 */
static __always_inline bool packet_is_of_no_wire(const struct packet *packet)
{
	const struct address *from = &packet->tuple.source, *to = &packet->tuple.destination;

	if (packet->ethertype == ETH_P_IPV6 && (address_is_ipv4(from) || address_is_ipv4(to)))
		return true;
	return address_is_loopback(from) || address_is_loopback(to);
}

/* Ethernet and the addresses. 0 also for frames that are not IP: ethertype says so. */
static __always_inline int packet_parse_network(struct cursor *cursor, struct packet *packet)
{
	struct ethhdr *ethernet = cursor_take(cursor, sizeof(*ethernet));
	int error = 0;

	if (!ethernet)
		return -DROP_UNSUPPORTED_L2;
	packet->ethertype = bpf_ntohs(ethernet->h_proto);
	if (packet->ethertype == ETH_P_IP)
		error = packet_parse_ipv4(cursor, packet);
	else if (packet->ethertype == ETH_P_IPV6)
		error = packet_parse_ipv6(cursor, packet);
	if (error)
		return error;
	return packet_is_of_no_wire(packet) ? -DROP_INVALID : 0;
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

/*
 * Bytes of transport header that the datagram must have, and a first fragment too: padding behind
 * it in the frame is not its header.
 */
static __always_inline __u32 transport_bytes_min(__u8 protocol)
{
	if (protocol == IPPROTO_TCP)
		return sizeof(struct tcphdr);
	return protocol == IPPROTO_SCTP ? SCTP_HEADER_BYTES : sizeof(struct udphdr);
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

/* UDP and SCTP begin alike. */
static __always_inline int packet_parse_ports(struct cursor *cursor, struct packet *packet)
{
	struct udphdr *udp = cursor_take(cursor, sizeof(*udp));

	if (!udp)
		return -DROP_CT_INVALID_HDR;
	packet->tuple.source_port = udp->source;
	packet->tuple.destination_port = udp->dest;
	return 0;
}

/* Transport header behind the cursor. Later fragments have none. */
static __always_inline int packet_parse_transport(struct cursor *cursor, struct packet *packet)
{
	__u8 icmp = packet->ethertype == ETH_P_IPV6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	__u8 protocol = packet->tuple.protocol;
	bool whole = packet->fragment == FRAGMENT_NONE;

	if (packet->fragment == FRAGMENT_LATER || protocol_has_no_ports(protocol))
		return 0;
	if (protocol != icmp && protocol != IPPROTO_TCP && protocol != IPPROTO_UDP &&
	    protocol != IPPROTO_SCTP)
		return -DROP_CT_UNKNOWN_PROTO;
	if (packet->l4_length < transport_bytes_min(protocol) && (packet->l4_length || !whole))
		return -DROP_CT_INVALID_HDR;
	if (protocol == IPPROTO_TCP)
		return packet_parse_tcp(cursor, packet);
	if (protocol == icmp)
		return packet_parse_icmp(cursor, packet);
	return packet_parse_ports(cursor, packet);
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

#endif
