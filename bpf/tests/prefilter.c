/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * For bench/datapath/prefilter.ts: the prefilter's program, and the same with a plain LPM trie,
 * both on a packet whose source is another one every time; and the same packets sent to an
 * interface.
 */
#include "lib/prefilter-packet.h"

#define SOURCES (1 << 16)

struct bench_source {
	__u64 words[2]; /* as in the packet; IPv4 in the first four bytes */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SOURCES);
	__type(key, __u32);
	__type(value, struct bench_source);
} sources SEC(".maps");

struct trie_key {
	__u32 prefixlen;
	__u8 address[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1 << 21);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, 8);
	__uint(value_size, 4);
} trie4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1 << 21);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(key_size, sizeof(struct trie_key));
	__uint(value_size, 4);
} trie6 SEC(".maps");

/* One row: where bench_send sends, an ifindex. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} target SEC(".maps");

__u32 next_source;

static __always_inline bool trie_denies_ipv4(__u32 generation, __u32 ipv4)
{
	struct {
		__u32 prefixlen;
		__be32 address;
	} key = {.prefixlen = 32, .address = bpf_htonl(ipv4)};

	return bpf_map_lookup_elem(&trie4, &key) != NULL;
}

static __always_inline bool trie_denies_ipv6(__u32 generation, __u64 high, __u64 low)
{
	struct trie_key key = {.prefixlen = 128};
	__u64 words[2] = {bpf_cpu_to_be64(high), bpf_cpu_to_be64(low)};

	__builtin_memcpy(key.address, words, sizeof(key.address));
	return bpf_map_lookup_elem(&trie6, &key) != NULL;
}

/* Gives the packet the next source of the table. */
static __always_inline bool source_change(struct xdp_md *xdp)
{
	void *data = (void *)(long)xdp->data, *end = (void *)(long)xdp->data_end;
	struct ethhdr *ethernet = data;
	__u32 row = next_source++ & (SOURCES - 1);
	const struct bench_source *source = bpf_map_lookup_elem(&sources, &row);
	struct ipv6hdr *ipv6 = (void *)(ethernet + 1);
	struct iphdr *ipv4 = (void *)(ethernet + 1);

	if (!source || (void *)(ipv6 + 1) > end)
		return false;
	if (ethernet->h_proto == bpf_htons(ETH_P_IP)) {
		ipv4->saddr = (__be32)source->words[0];
	} else {
		((word64 *)&ipv6->saddr)[0] = source->words[0];
		((word64 *)&ipv6->saddr)[1] = source->words[1];
	}
	return true;
}

SEC("xdp")
int bench_prefilter(struct xdp_md *xdp)
{
	struct prefilter_question list = {
	    .ipv4 = prefilter_denies_ipv4,
	    .ipv6 = prefilter_denies_ipv6,
	};

	return source_change(xdp) ? prefilter_packet(xdp, list) : XDP_ABORTED;
}

/* As bpf/xdp.c, with this object's list. */
SEC("xdp")
int bench_receive(struct xdp_md *xdp)
{
	struct prefilter_question list = {
	    .ipv4 = prefilter_denies_ipv4,
	    .ipv6 = prefilter_denies_ipv6,
	};

	return prefilter_packet(xdp, list);
}

SEC("xdp")
int bench_trie(struct xdp_md *xdp)
{
	struct prefilter_question list = {.ipv4 = trie_denies_ipv4, .ipv6 = trie_denies_ipv6};

	return source_change(xdp) ? prefilter_packet(xdp, list) : XDP_ABORTED;
}

SEC("xdp")
int bench_send(struct xdp_md *xdp)
{
	__u32 row = 0, *ifindex = bpf_map_lookup_elem(&target, &row);

	return ifindex && source_change(xdp) ? bpf_redirect(*ifindex, 0) : XDP_ABORTED;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
