/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The datapath's contract with everything outside it: the agent (host/datapath/abi.ts) and the
 * proxy engine (runtime/engine) read and write these structs through pinned maps. Fixed width,
 * explicit padding, append-only; host/datapath/abi.test.ts checks every offset against BTF.
 *
 * Addresses are always 16 bytes in network order; IPv4 is mapped (::ffff:a.b.c.d), so that one
 * code path and one map serve both families. Ports are in network order wherever they are __be16.
 */
#ifndef IMKER_ABI_H
#define IMKER_ABI_H

#ifdef __bpf__
#include "vmlinux.h"
#else
#include <linux/types.h>
#endif

/*
 * Map versions. A map is pinned as maps/<name>@<version>. Raise the version when its key, its
 * value or their meaning changes: the next agent then fills the new map beside the old one and
 * switches the programs in one step.
 */
#define ABI_VERSION_IPCACHE 1
#define ABI_VERSION_ENDPOINTS 2
#define ABI_VERSION_POLICIES 1
#define ABI_VERSION_CT 1
#define ABI_VERSION_HANDOFF 1
#define ABI_VERSION_LISTENERS 1
#define ABI_VERSION_CONFIG 2
#define ABI_VERSION_PROXY_CONFIG 1
#define ABI_VERSION_FRAGMENTS 1
#define ABI_VERSION_EVENTS 1
#define ABI_VERSION_METRICS 1

/* skb->mark: IIIIIIII IIIIIIII XXXXMMMM CCCCCCCC; identity = C << 16 | I, magic in M. */
#define MARK_MAGIC_MASK 0x0F00
#define MARK_MAGIC_TO_PROXY 0x0200 /* routed to the local table: deliver to the proxy */
#define MARK_MAGIC_PROXY 0x0A00    /* sent by the proxy: policy applied, identity in the mark */

/* Reserved identities (Cilium's numbers). */
#define IDENTITY_UNKNOWN 0
#define IDENTITY_HOST 1
#define IDENTITY_WORLD 2

struct address {
	__u8 bytes[16];
};

/* ipcache: LPM trie, longest prefix wins. Written by the agent; read by every hook. */
struct ipcache_key {
	__u32 prefixlen; /* bits of address; an IPv4 prefix counts its 96 mapped bits */
	struct address address;
};

struct ipcache_value {
	__u32 identity;
	__u32 reserved;
};

/*
 * The node itself as an endpoint: the id under which its policy stands in `policies` and by which
 * events name it. Its identity is IDENTITY_HOST. Pods have the ids below.
 */
#define ENDPOINT_HOST 65535

/* Policy denials pass and are told as audited; see EVENT_FLAG_AUDITED. */
#define ENDPOINT_FLAG_AUDIT 1

/*
 * endpoints: one row per local pod, stored under each of its addresses (endpoints) and under the
 * host side's ifindex (interfaces). Written by the agent.
 */
struct endpoint {
	__u32 id; /* 1..65534 */
	__u32 identity;
	__u32 ifindex; /* host side of the veth pair */
	__u8 pod_mac[6];
	__u8 host_mac[6];
	struct address ipv4; /* all zero when absent */
	struct address ipv6;
	__u32 flags; /* ENDPOINT_FLAG_* */
	__u32 reserved;
};

/*
 * policies: hash of maps, endpoint id -> LPM trie of the entries below. A revision is switched as
 * a whole by replacing the inner map. No inner map: DROP_EP_NOT_READY, but for ENDPOINT_HOST: a
 * node without policy of its own is not locked out.
 * Every endpoint always has a full map: without enforcement in a direction the agent writes one
 * wildcard allow for it.
 */
#define POLICY_INGRESS 0
#define POLICY_EGRESS 1

struct policy_key {
	__u32 prefixlen; /* 40: all protocols; 48: one protocol, all ports; 48+n: n port bits */
	__u32 identity;  /* peer; 0 is any */
	__u8 direction;
	__u8 protocol; /* IPPROTO_*, 0 is any */
	__be16 port;   /* destination port; ICMP type << 8 for ICMP */
};

/*
 * What has no ports (GRE, ESP, …), and a fragment whose first one was not seen, is looked up with
 * a prefix of 48 bits: no entry that names a port matches it.
 */

#define POLICY_FLAG_DENY 1
#define POLICY_FLAG_REDIRECT 2
/*
 * With REDIRECT: the proxy only watches. A connection that it cannot have (opened before, or no
 * worker listens) goes on past it.
 */
#define POLICY_FLAG_WATCH 4

/*
 * Which of two matching entries (one for the peer's identity, one for identity 0) decides: the
 * higher precedence; if equal the longer L4 prefix; if equal the identity-specific one.
 * Low byte of precedence: 255 deny, 2-254 redirect, 1 allow, 0 pass.
 */
struct policy_value {
	__u32 precedence;
	__u32 rules;  /* id of a redirect's L7 rule set; 0: none can be had, DROP_NO_PLUGIN */
	__u32 cookie; /* names the policies behind this entry, resolved by the agent */
	__u8 flags;
	__u8 l4_prefixlen; /* prefixlen - 40 */
	__u16 reserved;
};

/* Original direction of a connection: from the side that opened it. */
struct tuple {
	struct address source;
	struct address destination;
	__be16 source_port;
	__be16 destination_port;
	__u8 protocol;
	__u8 reserved[3];
};

/*
 * fragments: LRU hash, written by the first fragment of a datagram for the later ones, which have
 * no transport header. IPv6 identifies a datagram without its protocol (RFC 8200 4.5).
 */
struct fragment_key {
	struct address source;
	struct address destination;
	__u32 id;      /* as in the packet */
	__u8 protocol; /* IPv4; 0 for IPv6 */
	__u8 reserved[3];
};

struct fragment_value {
	__u64 expires_ns;   /* CLOCK_MONOTONIC */
	__be16 source_port; /* as in struct tuple */
	__be16 destination_port;
	__u8 protocol;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 icmp_answer;
};

/*
 * ct: LRU hash under the canonical tuple (ends ordered by address, then port), so one look-up
 * finds a connection from either side. Written by the datapath.
 */
#define CT_FLAG_PROXIED 1          /* handed to the proxy when it was opened; stays so */
#define CT_FLAG_ORIGIN_IS_SECOND 2 /* the canonical tuple is the original one turned round */
#define CT_FLAG_SEEN_REPLY 4
#define CT_FLAG_ORIGIN_CLOSED 8
#define CT_FLAG_REPLY_CLOSED 16

struct ct_value {
	__u64 expires_ns; /* CLOCK_MONOTONIC */
	__u32 epoch;      /* config.epoch when policy last allowed it */
	__u32 flags;
	__u32 source_identity;
	__u32 destination_identity;
	__u64 packets[2]; /* original direction, reply direction */
	__u64 bytes[2];
};

/*
 * handoff: LRU hash under the original tuple, written when a SYN is handed to the proxy, read
 * and deleted by the proxy on accept. No row: the proxy closes the connection.
 */
struct handoff {
	__u32 source_identity;
	__u32 destination_identity;
	__u32 egress_rules; /* rule set ids; 0: that side has no L7 rules */
	__u32 ingress_rules;
	__u16 egress_endpoint;  /* local endpoint whose egress policy applies; 0: none */
	__u16 ingress_endpoint; /* local endpoint whose ingress policy applies; 0: none */
	__u32 egress_cookie;
	__u32 ingress_cookie;
};

/*
 * listeners: sockmap, slot = worker * 2 + (IPv6 ? 1 : 0); filled by the proxy. An empty slot is
 * DROP_NO_PROXY. config (array, one row) is written by the agent, but for proxy_workers, which the
 * proxy writes in proxy_config (array, one row) when all its workers listen.
 */
#define LISTENER_SLOTS 128

#define CONFIG_FLAG_AUDIT 1 /* of all endpoints, the node too: see ENDPOINT_FLAG_AUDIT */
/*
 * The node's own connections are tracked, and judged if `policies` has a map for ENDPOINT_HOST.
 * Tracking before there is a policy lets the answers of what is open then pass.
 */
#define CONFIG_FLAG_HOST 2
#define CONFIG_FLAG_HOST_AUDIT 4 /* of ENDPOINT_HOST */
/* The node reaches its own pods only as their policies say; without it, unless they deny it. */
#define CONFIG_FLAG_HOST_BY_POLICY 8
#define CONFIG_FLAG_DENY_ICMP 16   /* what a pod's egress policy denies is answered to the pod */
#define CONFIG_FLAG_FRAG_NEEDED 32 /* ICMPv4 "fragmentation needed" passes every policy */

struct config {
	__u32 epoch; /* raised on every change of policy, identity or ipcache: forces a re-check */
	__u32 node_ipv6_world; /* identity of an unlisted IPv6 address */
	__u32 node_ipv4_world;
	__u32 trace_established; /* not 0: one trace event per packet, not per connection change */
	__u32 flags;             /* CONFIG_FLAG_* */
	__u32 ct_tcp_seconds; /* life of a conntrack entry after its last packet: answered TCP, */
	__u32 ct_tcp_opening_seconds; /* TCP not answered yet, */
	__u32 ct_tcp_closing_seconds; /* TCP that both sides have ended, */
	__u32 ct_other_seconds;       /* everything else */
};

struct proxy_config {
	__u32 workers;
	__u32 reserved;
};

/* Event types and sub types are Cilium's monitor numbers. */
#define EVENT_DROP 1
#define EVENT_TRACE 4
#define EVENT_POLICY_VERDICT 5

#define TRACE_TO_ENDPOINT 0
#define TRACE_TO_PROXY 1
#define TRACE_TO_HOST 2
#define TRACE_TO_STACK 3
#define TRACE_FROM_ENDPOINT 5
#define TRACE_FROM_PROXY 6
#define TRACE_FROM_HOST 7
#define TRACE_FROM_NETWORK 10
#define TRACE_TO_NETWORK 11

/* reason of a trace event: connection tracking state (Cilium's datapath numbers). */
#define REASON_NEW 0
#define REASON_ESTABLISHED 1
#define REASON_REPLY 2
#define REASON_RELATED 3

/* policy_match_type of a policy verdict event. */
#define MATCH_NONE 0
#define MATCH_L3_ONLY 1
#define MATCH_L3_L4 2
#define MATCH_L4_ONLY 3
#define MATCH_ALL 4
#define MATCH_L3_PROTO 5
#define MATCH_PROTO_ONLY 6

/* Policy verdict, verdict 0: policy denied it, audit mode let it pass. The match is the denial's.
 */
#define EVENT_FLAG_AUDITED 1

/* verdict of a policy verdict event: < 0 a drop reason, 0 allowed, 1 redirected to the proxy. */
struct event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u8 type;
	__u8 sub_type;  /* drop: reason (positive, 130..); trace: observation point */
	__u8 direction; /* POLICY_INGRESS or POLICY_EGRESS, where it was observed */
	__u8 reason;    /* trace: REASON_*; verdict: MATCH_* */
	__s32 verdict;
	__u32 source_identity;
	__u32 destination_identity;
	__u32 ifindex;
	__u32 cookie;
	__u32 length;   /* bytes of the packet */
	__u16 endpoint; /* local endpoint that observed it; 0 none */
	__u8 tcp_flags;
	__u8 is_reply;      /* 0 no, 1 yes, 2 unknown */
	struct tuple tuple; /* as in the packet; ICMP: source_port = type << 8 | code */
	__u8 source_mac[6];
	__u8 destination_mac[6];
	__u32 flags; /* EVENT_FLAG_* */
};

/* metrics: per-CPU hash. Written by the datapath, read by the agent. */
#define METRIC_FORWARDED 0
#define METRIC_EVENTS_LOST 1 /* the ring buffer was full; below 130, so never a drop reason */

struct metrics_key {
	__u8 reason; /* METRIC_*, else the drop reason */
	__u8 direction;
	__u16 reserved;
};

struct metrics_value {
	__u64 packets;
	__u64 bytes;
};

/*
 * Drop reasons: Cilium's numbers, returned negative by helpers. 220 and up are ours.
 * host/datapath/drop-reason.ts holds the texts.
 */
#define DROP_INVALID_SIP 132
#define DROP_POLICY 133
#define DROP_INVALID 134
#define DROP_CT_INVALID_HDR 135
#define DROP_CT_UNKNOWN_PROTO 137
#define DROP_UNSUPPORTED_L3 139
#define DROP_UNKNOWN_L4 142
#define DROP_CT_CREATE_FAILED 155
#define DROP_INVALID_EXTHDR 156
#define DROP_FRAG_NOSUPPORT 157
#define DROP_UNSUPPORTED_L2 166
#define DROP_FORBIDDEN_ICMP6 176
#define DROP_PROXY_LOOKUP_FAILED 178
#define DROP_PROXY_SET_FAILED 179
#define DROP_PROXY_UNKNOWN_PROTO 180
#define DROP_POLICY_DENY 181
#define DROP_EP_NOT_READY 203
#define DROP_NO_PROXY 220        /* redirect, but no proxy worker listens */
#define DROP_PROXIED_CHANGED 221 /* not proxied when opened, policy now wants the proxy: reset */
#define DROP_NO_PLUGIN 222       /* redirect, but its plugin is not there: no rule set */
#define DROP_PREFILTER 223       /* source in the prefilter's list; Cilium tells of no such drop */

#endif
