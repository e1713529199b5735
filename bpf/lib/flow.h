/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Everything a program knows about the one packet in its hands. Lives on the program's stack;
 * filled step by step as the packet walks, read by the single exit that reports it.
 */
#ifndef IMKER_FLOW_H
#define IMKER_FLOW_H

#include "lib/ct.h"
#include "lib/endpoint.h"
#include "lib/config.h"

/* Where the packet was seen. */
#define HOOK_FROM_POD 0     /* tc ingress of a pod's veth */
#define HOOK_TO_POD 1       /* tc egress of a pod's veth */
#define HOOK_FROM_NETWORK 2 /* tc ingress of a node's interface */
#define HOOK_TO_NETWORK 3   /* tc egress of a node's interface */

/* No pointers: functions that the verifier checks on their own take it as plain memory. */
struct flow {
	struct packet packet;
	struct tuple key; /* canonical */
	__u64 now;
	__u64 told_ns; /* of the packet's events; 0: none yet */
	__u32 epoch;
	__u32 trace_established;
	__u32 source_identity; /* of the packet's sender, 0 not looked up yet */
	__u32 destination_identity;
	__u16 source_endpoint;      /* its egress policy is decided here; 0 none */
	__u16 destination_endpoint; /* its ingress policy is decided here; 0 none */
	__u16 observer;             /* endpoint named in events */
	__u8 direction;             /* POLICY_INGRESS or POLICY_EGRESS, named in events */
	__u8 hook;
	__u8 turned; /* the packet runs from the second to the first end of key */
	__u8 reply;
	__u8 from_host; /* sent by the node itself */
	__u8 notable;   /* opens, answers first, closes: worth a trace event */
	__u8 trace_reason;
	__u8 audit;    /* 1 << direction: its denials pass, and are told */
	__u8 settings; /* CONFIG_FLAG_* */
	__u8 reserved[5];
};

static __always_inline void flow_set_source(struct flow *flow, const struct endpoint *endpoint)
{
	flow->source_endpoint = endpoint->id;
	flow->source_identity = endpoint->identity;
	if (endpoint->flags & ENDPOINT_FLAG_AUDIT)
		flow->audit |= 1 << POLICY_EGRESS;
}

static __always_inline void flow_set_destination(struct flow *flow, const struct endpoint *endpoint)
{
	flow->destination_endpoint = endpoint->id;
	flow->destination_identity = endpoint->identity;
	if (endpoint->flags & ENDPOINT_FLAG_AUDIT)
		flow->audit |= 1 << POLICY_INGRESS;
}

/* The node itself is the packet's source or destination, and is watched. */
static __always_inline void flow_set_host(struct flow *flow, __u8 direction)
{
	if (direction == POLICY_EGRESS) {
		flow->source_endpoint = ENDPOINT_HOST;
		flow->source_identity = IDENTITY_HOST;
	} else {
		flow->destination_endpoint = ENDPOINT_HOST;
		flow->destination_identity = IDENTITY_HOST;
	}
	if (flow->settings & CONFIG_FLAG_HOST_AUDIT)
		flow->audit |= 1 << direction;
}

/* A socket can be assigned where a packet enters the node's stack, not where it leaves it. */
static __always_inline bool flow_can_assign(const struct flow *flow)
{
	return flow->hook == HOOK_FROM_POD || flow->hook == HOOK_FROM_NETWORK;
}

static __always_inline void flow_observe(struct flow *flow, __u8 direction)
{
	flow->direction = direction;
	flow->observer =
	    direction == POLICY_EGRESS ? flow->source_endpoint : flow->destination_endpoint;
}

static __always_inline bool flow_is_icmp(const struct flow *flow)
{
	return flow->packet.tuple.protocol == IPPROTO_ICMP ||
	       flow->packet.tuple.protocol == IPPROTO_ICMPV6;
}

#endif
