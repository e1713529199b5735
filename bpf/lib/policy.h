/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * One endpoint's verdict on one peer, direction, protocol and port. The order of the key's fields
 * is what makes a longest-prefix match right: identity and direction always count in full, then
 * the protocol, then as many bits of the port as the rule's range allows.
 */
#ifndef IMKER_POLICY_H
#define IMKER_POLICY_H

#include "lib/kernel.h"

#define POLICY_ENDPOINTS 4096
#define POLICY_ENTRIES 16384 /* Cilium's bound per endpoint */
#define POLICY_PREFIX_FULL 64
#define POLICY_PREFIX_PROTOCOL 48
#define POLICY_PREFIX_L4 8 /* bits of a protocol without a port */

#define POLICY_ALLOW 0
#define POLICY_REDIRECT 1
#define POLICY_WATCH 2 /* of both sides: a redirect that nothing depends on */

struct policy_map {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, POLICY_ENTRIES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	/* Sizes: clang leaves types that only an inner map names out of BTF. */
	__uint(key_size, sizeof(struct policy_key));
	__uint(value_size, sizeof(struct policy_value));
};

/* Endpoint id → its policy. Written by the agent, replaced as a whole; full: its write fails. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, POLICY_ENDPOINTS);
	__type(key, __u32);
	__array(values, struct policy_map);
} policies SEC(".maps");

struct decision {
	__s32 verdict; /* POLICY_ALLOW, POLICY_REDIRECT or a negative drop reason */
	__u32 rules;
	__u32 cookie;
	__u8 match;   /* MATCH_* */
	__u8 watch;   /* with POLICY_REDIRECT: POLICY_FLAG_WATCH */
	__u8 audited; /* with POLICY_ALLOW: only because of audit mode */
	__u8 reserved;
};

static __always_inline __u8 policy_match(const struct policy_value *entry, bool specific)
{
	if (!entry->l4_prefixlen)
		return specific ? MATCH_L3_ONLY : MATCH_ALL;
	if (entry->l4_prefixlen <= POLICY_PREFIX_L4)
		return specific ? MATCH_L3_PROTO : MATCH_PROTO_ONLY;
	return specific ? MATCH_L3_L4 : MATCH_L4_ONLY;
}

/* The order is the comment at struct policy_value (abi.h). */
static __always_inline bool policy_prefers(const struct policy_value *wildcard,
					   const struct policy_value *specific)
{
	if (wildcard->precedence != specific->precedence)
		return wildcard->precedence > specific->precedence;
	return wildcard->l4_prefixlen > specific->l4_prefixlen;
}

static __always_inline __s32 policy_verdict(const struct policy_value *entry)
{
	if (entry->flags & POLICY_FLAG_DENY)
		return -DROP_POLICY_DENY;
	if (!(entry->flags & POLICY_FLAG_REDIRECT))
		return POLICY_ALLOW;
	return entry->rules ? POLICY_REDIRECT : -DROP_NO_PLUGIN;
}

/*
 * key: peer, direction, protocol and port of the packet; its prefixlen is POLICY_PREFIX_FULL, or
 * POLICY_PREFIX_PROTOCOL for what has no port.
 */
static __always_inline void policy_decide(__u32 endpoint, struct policy_key *key,
					  struct decision *decision)
{
	const struct policy_value *specific, *wildcard, *entry;
	void *map = bpf_map_lookup_elem(&policies, &endpoint);

	*decision = (struct decision){.verdict = -DROP_EP_NOT_READY};
	if (!map) {
		if (endpoint == ENDPOINT_HOST)
			*decision = (struct decision){.match = MATCH_ALL};
		return;
	}
	specific = bpf_map_lookup_elem(map, key);
	key->identity = 0;
	wildcard = bpf_map_lookup_elem(map, key);
	entry = specific;
	if (wildcard && (!specific || policy_prefers(wildcard, specific)))
		entry = wildcard;
	decision->verdict = -DROP_POLICY;
	/* Precedence class 0 is "pass": decides nothing, so nothing was allowed. */
	if (!entry || !(entry->precedence & 0xff))
		return;
	decision->cookie = entry->cookie;
	decision->match = policy_match(entry, entry == specific);
	decision->rules = entry->rules;
	decision->watch = !!(entry->flags & POLICY_FLAG_WATCH);
	decision->verdict = policy_verdict(entry);
}

#endif
