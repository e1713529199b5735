/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * The proxy's sockets: which one a packet belongs to, and giving it the packet. A packet that is
 * assigned a socket is marked, so that the node's routing delivers it locally.
 */
#ifndef IMKER_PROXY_H
#define IMKER_PROXY_H

#include "lib/packet.h"

#define HANDOFF_ENTRIES 65536
#define PROXY_NONE 0
#define PROXY_ASSIGNED 1 /* or the stack will find the socket itself */

/* Original tuple → why it was handed over. Written here, taken by the proxy. Full: oldest goes. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HANDOFF_ENTRIES);
	__type(key, struct tuple);
	__type(value, struct handoff);
} handoff SEC(".maps");

/* Slot → listening socket. Written by the proxy; the kernel empties it when the socket closes. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, LISTENER_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} listeners SEC(".maps");

/* One row, written by the proxy when all its workers listen. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct proxy_config);
} proxy_config SEC(".maps");

/* The node's socket for the packet's own tuple, to be released; may be a listener. */
static __always_inline struct bpf_sock *proxy_socket(struct __sk_buff *skb,
						     const struct packet *packet)
{
	const struct tuple *tuple = &packet->tuple;
	struct bpf_sock_tuple query = {};

	if (packet->ethertype == ETH_P_IP) {
		query.ipv4.saddr = ((const word32 *)&tuple->source)[3];
		query.ipv4.daddr = ((const word32 *)&tuple->destination)[3];
		query.ipv4.sport = tuple->source_port;
		query.ipv4.dport = tuple->destination_port;
		return bpf_skc_lookup_tcp(skb, &query, sizeof(query.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	for (int i = 0; i < 4; i++) {
		query.ipv6.saddr[i] = ((const word32 *)&tuple->source)[i];
		query.ipv6.daddr[i] = ((const word32 *)&tuple->destination)[i];
	}
	query.ipv6.sport = tuple->source_port;
	query.ipv6.dport = tuple->destination_port;
	return bpf_skc_lookup_tcp(skb, &query, sizeof(query.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/*
 * What pods say to the node itself ends at sockets of the node too: an established one that is not
 * marked as the proxy's is somebody else's. What is not established yet, or no more, has no mark.
 */
static __always_inline bool socket_is_of_proxy(struct bpf_sock *socket)
{
	struct bpf_sock *full = bpf_sk_fullsock(socket);

	return !full || (full->mark & MARK_MAGIC_MASK) == MARK_MAGIC_PROXY;
}

/*
 * Gives the packet of a proxied connection to the socket that serves it: a request, an
 * established or a closing one. A fresh SYN does not belong to a socket in TIME_WAIT.
 */
__noinline int proxy_steer(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock *socket;
	long error;

	if (!packet)
		return PROXY_NONE;
	socket = proxy_socket(skb, packet);
	if (!socket)
		return PROXY_NONE;
	if (socket->state == BPF_TCP_LISTEN || !socket_is_of_proxy(socket) ||
	    (socket->state == BPF_TCP_TIME_WAIT && packet_is_opening(packet))) {
		bpf_sk_release(socket);
		return PROXY_NONE;
	}
	error = bpf_sk_assign(skb, socket, 0);
	bpf_sk_release(socket);
	if (error)
		return -DROP_PROXY_SET_FAILED;
	return PROXY_ASSIGNED;
}

/* Does the packet have a socket that serves it, be it only to answer a repeated SYN? */
static __always_inline bool proxy_serves(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock *socket = proxy_socket(skb, packet);
	bool serves;

	if (!socket)
		return false;
	serves = socket->state != BPF_TCP_LISTEN && socket->state != BPF_TCP_TIME_WAIT;
	bpf_sk_release(socket);
	return serves;
}

/*
 * As proxy_steer for a packet without a conntrack entry (evicted, or of an older map, or answered
 * by the node itself): only a socket that the proxy has marked counts. *mark is the socket's.
 * `assign`: false at a hook where a socket cannot be assigned.
 */
static __always_inline int proxy_adopt(struct __sk_buff *skb, const struct packet *packet,
				       bool assign, __u32 *mark)
{
	struct bpf_sock *socket = proxy_socket(skb, packet);
	struct bpf_sock *full;
	long error = 0;

	if (!socket)
		return PROXY_NONE;
	full = bpf_sk_fullsock(socket);
	*mark = full && full->state != BPF_TCP_LISTEN ? full->mark : 0;
	if ((*mark & MARK_MAGIC_MASK) != MARK_MAGIC_PROXY) {
		bpf_sk_release(socket);
		return PROXY_NONE;
	}
	if (assign)
		error = bpf_sk_assign(skb, socket, 0);
	bpf_sk_release(socket);
	return error ? -DROP_PROXY_SET_FAILED : PROXY_ASSIGNED;
}

/* Spreads connections over workers; the same tuple always meets the same worker. */
static __always_inline __u32 tuple_hash(const struct tuple *tuple)
{
	const word32 *words = (const word32 *)tuple;
	__u32 hash = 0;

#pragma unroll
	for (int i = 0; i < 9; i++)
		hash = (hash ^ words[i]) * 0x9e3779b1;
	return hash ^ hash >> 15;
}

/* The listener of the connection's worker, to be released; NULL: no proxy. */
static __always_inline struct bpf_sock *proxy_listener(const struct tuple *tuple, bool v6)
{
	struct proxy_config *proxy;
	__u32 row = 0, slot;

	proxy = bpf_map_lookup_elem(&proxy_config, &row);
	if (!proxy || !proxy->workers)
		return NULL;
	slot = tuple_hash(tuple) % proxy->workers * 2 + v6;
	return bpf_map_lookup_elem(&listeners, &slot);
}

/* Does the tuple's last connection still linger in TIME_WAIT? */
static __always_inline bool proxy_lingers(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock *socket = proxy_socket(skb, packet);
	bool lingers;

	if (!socket)
		return false;
	lingers = socket->state == BPF_TCP_TIME_WAIT;
	bpf_sk_release(socket);
	return lingers;
}

/* Assigns the packet to the listener of its worker. */
static __always_inline int proxy_listen(struct __sk_buff *skb, const struct packet *packet)
{
	struct bpf_sock *listener;
	long error;

	listener = proxy_listener(&packet->tuple, packet->ethertype == ETH_P_IPV6);
	if (!listener)
		return -DROP_NO_PROXY;
	error = bpf_sk_assign(skb, listener, 0);
	bpf_sk_release(listener);
	if (error)
		return -DROP_PROXY_SET_FAILED;
	return PROXY_ASSIGNED;
}

/*
 * A new connection: tells the proxy why, then hands it the SYN. An old connection in TIME_WAIT
 * would keep a listener that was assigned here from making a new one of the same tuple: then the
 * stack must find that socket, end it, and ask proxy_lookup (sock.c) for the listener.
 */
static __always_inline int proxy_hand_over(struct __sk_buff *skb, const struct packet *packet,
					   const struct handoff *why)
{
	struct bpf_sock *listener;

	if (bpf_map_update_elem(&handoff, &packet->tuple, why, BPF_ANY))
		return -DROP_PROXY_SET_FAILED;
	if (!proxy_lingers(skb, packet))
		return proxy_listen(skb, packet);
	listener = proxy_listener(&packet->tuple, packet->ethertype == ETH_P_IPV6);
	if (!listener)
		return -DROP_NO_PROXY;
	bpf_sk_release(listener);
	return PROXY_ASSIGNED;
}

/*
 * With SYN cookies the listener keeps no request socket, and the ACK of the handshake finds none.
 * It is the listener's while the proxy has not taken the row of that connection.
 */
static __always_inline int proxy_finish_handshake(struct __sk_buff *skb,
						  const struct packet *packet)
{
	if (!bpf_map_lookup_elem(&handoff, &packet->tuple))
		return PROXY_NONE;
	return proxy_listen(skb, packet);
}

#endif
