/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * For bench/datapath/packet-rig.ts. Stands before a measured program in BPF_PROG_TEST_RUN, which
 * repeats one packet: makes another connection's packet of it each time, so that the maps are met
 * as cold as in life, and goes on to the program. `nothing` is the program that shows what all this
 * costs by itself.
 *
 * Connection number n is of peer n % peers; the peers' addresses are spread over 11.0.0.0/8.
 */
#include "lib/kernel.h"

#define PEER_NETWORK 0x0b000000
#define PEER_BITS 0xffffff
#define PEER_SPREAD 2654435761u /* odd: no two peers of 2^24 get the same address */
#define FIRST_SOURCE_PORT 20000
#define TTL 64
#define TCP_FLAGS_OFFSET 13
#define TARGETS 8

#define PLAN_IN_ORDER 1 /* one connection after the other instead of any */
#define PLAN_NEW_PORT 2 /* a random source port: a connection that was not there */

struct plan {
	__u32 target; /* slot in targets */
	__u32 connections;
	__u32 peers;
	__u32 ports; /* destination ports in use, from first_port on */
	__u32 first_port;
	__u32 flags; /* PLAN_* */
	__u32 next;  /* with PLAN_IN_ORDER */
	__u32 tcp_flags;
};

/* Written by the benchmark before each run. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct plan);
} plans SEC(".maps");

/* The measured programs. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, TARGETS);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

SEC("tc")
int drive(struct __sk_buff *skb)
{
	void *data = skb_data(skb), *end = skb_data_end(skb);
	struct iphdr *ip = data + ETH_HLEN;
	struct tcphdr *tcp = (void *)(ip + 1);
	__u32 row = 0, number, peer, turn, source_port;
	struct plan *plan = bpf_map_lookup_elem(&plans, &row);

	if (!plan || (void *)(tcp + 1) > end)
		return TC_ACT_SHOT;
	number = plan->flags & PLAN_IN_ORDER ? plan->next++ : bpf_get_prandom_u32();
	number %= plan->connections;
	peer = number % plan->peers;
	turn = number / plan->peers;
	source_port = FIRST_SOURCE_PORT + turn;
	if (plan->flags & PLAN_NEW_PORT)
		source_port = bpf_get_prandom_u32();
	ip->daddr = bpf_htonl(PEER_NETWORK | (peer * PEER_SPREAD & PEER_BITS));
	ip->ttl = TTL;
	tcp->source = bpf_htons(source_port);
	tcp->dest = bpf_htons(plan->first_port + turn % plan->ports);
	((__u8 *)tcp)[TCP_FLAGS_OFFSET] = plan->tcp_flags;
	bpf_tail_call(skb, &targets, plan->target);
	return TC_ACT_SHOT;
}

SEC("tc")
int nothing(struct __sk_buff *skb)
{
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
