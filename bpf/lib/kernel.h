/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The kernel's words that BTF does not carry (macros of uapi headers), the helpers, and the few
 * primitives every other header builds on. It knows nothing of pods or policy.
 */
#ifndef IMKER_KERNEL_H
#define IMKER_KERNEL_H

#include "abi/abi.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_IPV6 0x86DD
#define ETH_HLEN 14

#define IPPROTO_ICMPV6 58

#define TC_ACT_OK 0
#define TC_ACT_SHOT 2

/* Aliases any memory; only for addresses that are 4- or 8-byte aligned, or in a packet. */
typedef __u64 __attribute__((may_alias)) word64;
typedef __u32 __attribute__((may_alias)) word32;
typedef __u16 __attribute__((may_alias)) word16;

/*
 * Packet bounds, read in assembly: clang otherwise keeps the offset of the field in a register,
 * and the verifier refuses a context pointer that was moved.
 */
static __always_inline void *skb_data(const struct __sk_buff *skb)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(data)
		     : "r"(skb), "i"(offsetof(struct __sk_buff, data)));
	return data;
}

static __always_inline void *skb_data_end(const struct __sk_buff *skb)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(end)
		     : "r"(skb), "i"(offsetof(struct __sk_buff, data_end)));
	return end;
}

/* struct address is an array of bytes: copied naively it costs 16 loads. Both must be 8-aligned. */
static __always_inline void address_copy(struct address *to, const struct address *from)
{
	((word64 *)to)[0] = ((const word64 *)from)[0];
	((word64 *)to)[1] = ((const word64 *)from)[1];
}

static __always_inline bool address_equal(const struct address *a, const struct address *b)
{
	const word64 *left = (const word64 *)a, *right = (const word64 *)b;

	return left[0] == right[0] && left[1] == right[1];
}

/* ::ffff:0:0/96 */
static __always_inline void address_map_ipv4(struct address *to, __be32 ipv4)
{
	((word64 *)to)[0] = 0;
	((word32 *)to)[2] = bpf_htonl(0xffff);
	((word32 *)to)[3] = ipv4;
}

static __always_inline bool address_is_ipv4(const struct address *address)
{
	return ((const word64 *)address)[0] == 0 &&
	       ((const word32 *)address)[2] == bpf_htonl(0xffff);
}

/* 127.0.0.0/8 and ::1. */
static __always_inline bool address_is_loopback(const struct address *address)
{
	const word32 *words = (const word32 *)address;

	if (address_is_ipv4(address))
		return address->bytes[12] == 127;
	return !((const word64 *)address)[0] && !words[2] && words[3] == bpf_htonl(1);
}

static __always_inline bool address_is_unspecified(const struct address *address)
{
	return !((const word64 *)address)[0] && !((const word64 *)address)[1];
}

static __always_inline bool address_is_link_local(const struct address *address)
{
	return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

/* ff00::/8, 224.0.0.0/4, and 255.255.255.255. */
static __always_inline bool address_is_multicast(const struct address *address)
{
	if (!address_is_ipv4(address))
		return address->bytes[0] == 0xff;
	return (address->bytes[12] & 0xf0) == 0xe0 || ((const word32 *)address)[3] == 0xffffffff;
}

/* ff02::/16, never forwarded by a router. */
static __always_inline bool address_is_link_multicast(const struct address *address)
{
	return address->bytes[0] == 0xff && (address->bytes[1] & 0x0f) == 0x02;
}

#endif
