/*
 * Where connections come from: listeners of both kinds, who the two ends are, and the upstream
 * socket, which is connected at once so that the handshake overlaps with reading the request.
 */
#include <arpa/inet.h>
#include <linux/bpf.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <cerrno>
#include "abi/abi.h"
#include "failure.h"
#include "relay.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

namespace
{
constexpr int ACCEPT_BATCH = 64;
constexpr int LISTEN_BACKLOG = 4096;
/* SYNs to an upstream that does not answer: about 15 s, then the plugin may say 503. */
constexpr int UPSTREAM_SYN_COUNT = 3;
constexpr int KEEPALIVE_IDLE_S = 120;

void set_option(int fd, int level, int name, int value, const char *what)
{
	check(setsockopt(fd, level, name, &value, sizeof(value)), what);
}

socklen_t length_of(const sockaddr_storage &address)
{
	return address.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
}

/* Address as 16 bytes, IPv4 mapped; returns the port in host order. */
uint16_t split_address(const sockaddr_storage &from, uint8_t address[16])
{
	if (from.ss_family == AF_INET) {
		auto &v4 = reinterpret_cast<const sockaddr_in &>(from);
		memset(address, 0, 10);
		address[10] = address[11] = 0xff;
		memcpy(address + 12, &v4.sin_addr, 4);
		return ntohs(v4.sin_port);
	}
	auto &v6 = reinterpret_cast<const sockaddr_in6 &>(from);
	memcpy(address, &v6.sin6_addr, 16);
	return ntohs(v6.sin6_port);
}

uint32_t identity_mark(uint32_t identity)
{
	return (identity & 0xffff) << 16 | MARK_MAGIC_PROXY | (identity >> 16 & 0xff);
}

/* The datapath's row for this connection, which is gone afterwards. */
bool take_handoff(int map, const Facts &facts, handoff *row)
{
	tuple key = {};
	memcpy(key.source.bytes, facts.source, 16);
	memcpy(key.destination.bytes, facts.destination, 16);
	key.source_port = htons(facts.source_port);
	key.destination_port = htons(facts.destination_port);
	key.protocol = IPPROTO_TCP;
	bpf_attr attr = {};
	attr.map_fd = map;
	attr.key = reinterpret_cast<uint64_t>(&key);
	attr.value = reinterpret_cast<uint64_t>(row);
	return syscall(SYS_bpf, BPF_MAP_LOOKUP_AND_DELETE_ELEM, &attr, sizeof(attr)) == 0;
}

void copy_handoff(Facts *facts, const handoff &row)
{
	facts->source_identity = row.source_identity;
	facts->destination_identity = row.destination_identity;
	facts->egress_rules = row.egress_rules;
	facts->ingress_rules = row.ingress_rules;
	facts->egress_endpoint = row.egress_endpoint;
	facts->ingress_endpoint = row.ingress_endpoint;
	facts->egress_cookie = row.egress_cookie;
	facts->ingress_cookie = row.ingress_cookie;
}

void set_transparent(int fd, int family)
{
	if (family == AF_INET)
		set_option(fd, SOL_IP, IP_TRANSPARENT, 1, "set IP_TRANSPARENT");
	else
		set_option(fd, SOL_IPV6, IPV6_TRANSPARENT, 1, "set IPV6_TRANSPARENT");
}

uint16_t port_of(const sockaddr_storage &at)
{
	return at.ss_family == AF_INET6 ? reinterpret_cast<const sockaddr_in6 &>(at).sin6_port
					: reinterpret_cast<const sockaddr_in &>(at).sin_port;
}

/* Options that accepted sockets inherit. */
Fd open_listener(const sockaddr_storage &at, bool transparent)
{
	Fd fd(check(socket(at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
	set_option(fd.get(), SOL_SOCKET, SO_REUSEADDR, 1, "set SO_REUSEADDR");
	set_option(fd.get(), SOL_TCP, TCP_NODELAY, 1, "set TCP_NODELAY");
	set_option(fd.get(), SOL_SOCKET, SO_KEEPALIVE, 1, "set SO_KEEPALIVE");
	set_option(fd.get(), SOL_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S, "set TCP_KEEPIDLE");
	if (at.ss_family == AF_INET6)
		set_option(fd.get(), SOL_IPV6, IPV6_V6ONLY, 1, "set IPV6_V6ONLY");
	if (transparent) {
		set_transparent(fd.get(), at.ss_family);
		set_option(fd.get(), SOL_SOCKET, SO_MARK, MARK_MAGIC_PROXY, "set SO_MARK");
	} else if (port_of(at) != 0) {
		/*
		 * Workers share a static address; the kernel spreads connections over them. A
		 * free port must be nobody else's, and this option would let it be.
		 */
		set_option(fd.get(), SOL_SOCKET, SO_REUSEPORT, 1, "set SO_REUSEPORT");
	}
	check(bind(fd.get(), reinterpret_cast<const sockaddr *>(&at), length_of(at)), "bind");
	check(listen(fd.get(), LISTEN_BACKLOG), "listen");
	return fd;
}

/*
 * Begins to connect: from `from` with `mark` when it is given, else as any other socket. Returns
 * -1 and errno when it cannot even begin.
 */
int start_connection(const sockaddr_storage &to, const sockaddr_storage *from, uint32_t mark)
{
	Fd fd(socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	if (!fd.open())
		return -1;
	auto option = [&](int level, int name, int value) {
		return setsockopt(fd.get(), level, name, &value, sizeof(value)) == 0;
	};
	option(SOL_TCP, TCP_NODELAY, 1);
	option(SOL_TCP, TCP_SYNCNT, UPSTREAM_SYN_COUNT);
	option(SOL_SOCKET, SO_KEEPALIVE, 1);
	option(SOL_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	if (from) {
		bool v4 = to.ss_family == AF_INET;
		bool any_port = (v4 ? reinterpret_cast<const sockaddr_in *>(from)->sin_port
				    : reinterpret_cast<const sockaddr_in6 *>(from)->sin6_port) == 0;
		/* Without its mark the datapath would take it for a stranger's: no connection. */
		if (!option(v4 ? SOL_IP : SOL_IPV6, v4 ? IP_TRANSPARENT : IPV6_TRANSPARENT, 1) ||
		    !option(SOL_SOCKET, SO_MARK, static_cast<int>(mark)) ||
		    !option(SOL_SOCKET, SO_REUSEADDR, 1) ||
		    (any_port && !option(SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1)) ||
		    bind(fd.get(), reinterpret_cast<const sockaddr *>(from), length_of(*from)) < 0)
			return -1;
	}
	if (connect(fd.get(), reinterpret_cast<const sockaddr *>(&to), length_of(to)) < 0 &&
	    errno != EINPROGRESS)
		return -1;
	return fd.release();
}
} // namespace

void Relay::add_listener(Listener listener)
{
	watch(listener.fd.get(), EPOLLIN, KEY_LISTENER + listeners_.size());
	listeners_.push_back(std::move(listener));
}

/* On the loopback address, free port; the datapath assigns connections to it. Returns its fd. */
int Relay::listen_transparent(bool ipv6)
{
	sockaddr_storage at = {};
	if (ipv6) {
		auto &v6 = reinterpret_cast<sockaddr_in6 &>(at);
		v6.sin6_family = AF_INET6;
		v6.sin6_addr = in6addr_loopback;
	} else {
		auto &v4 = reinterpret_cast<sockaddr_in &>(at);
		v4.sin_family = AF_INET;
		v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	}
	Listener listener;
	listener.fd = open_listener(at, true);
	listener.transparent = true;
	int fd = listener.fd.get();
	add_listener(std::move(listener));
	return fd;
}

/* Returns the port, which matters when `at` asked for a free one. */
int Relay::listen_static(const sockaddr_storage &at, const sockaddr_storage &upstream,
			 const Facts &facts)
{
	Listener listener;
	listener.fd = open_listener(at, false);
	listener.upstream = upstream;
	listener.facts = facts;
	sockaddr_storage bound = {};
	socklen_t length = sizeof(bound);
	check(getsockname(listener.fd.get(), reinterpret_cast<sockaddr *>(&bound), &length),
	      "getsockname");
	uint8_t address[16];
	int port = split_address(bound, address);
	add_listener(std::move(listener));
	return port;
}

void Relay::stop_listening()
{
	for (Listener &listener : listeners_)
		listener.fd.reset();
}

void Relay::accept_from(uint32_t index)
{
	Listener &listener = listeners_[index];
	for (int i = 0; i < ACCEPT_BATCH && listener.fd.open(); i++) {
		if (event_count_ + 1 >= options_.events_max || room() < sizeof(Facts))
			return;
		sockaddr_storage peer = {};
		socklen_t length = sizeof(peer);
		int client = accept4(listener.fd.get(), reinterpret_cast<sockaddr *>(&peer),
				     &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (client < 0) {
			if (errno == EMFILE || errno == ENFILE)
				refuse_one(listener.fd.get());
			if (errno != ECONNABORTED && errno != EINTR)
				return;
			continue;
		}
		if (!admit(listener, client, peer)) {
			linger option = {.l_onoff = 1, .l_linger = 0};
			setsockopt(client, SOL_SOCKET, SO_LINGER, &option, sizeof(option));
			close(client);
		}
	}
}

/* Without a free descriptor the backlog would keep waking us: give up the spare one for it. */
void Relay::refuse_one(int listener)
{
	spare_.reset();
	int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
	if (client >= 0)
		close(client);
	counters_[COUNT_REFUSED_FULL]++;
	spare_ = Fd(dup(wake_.get()));
	errno = EAGAIN;
}

/* False: the caller resets the client. */
bool Relay::admit(Listener &listener, int client, const sockaddr_storage &peer)
{
	if (free_.empty()) {
		counters_[COUNT_REFUSED_FULL]++;
		return false;
	}
	Facts facts = listener.facts;
	facts.source_port = split_address(peer, facts.source);
	sockaddr_storage upstream = listener.upstream;
	if (listener.transparent) {
		socklen_t length = sizeof(upstream);
		handoff row;
		if (getsockname(client, reinterpret_cast<sockaddr *>(&upstream), &length) < 0)
			return false;
		facts.destination_port = split_address(upstream, facts.destination);
		if (!take_handoff(options_.handoff_map, facts, &row)) {
			counters_[COUNT_NO_HANDOFF]++;
			return false;
		}
		copy_handoff(&facts, row);
	} else {
		facts.destination_port = split_address(upstream, facts.destination);
	}
	uint32_t slot = free_.back();
	free_.pop_back();
	live_++;
	counters_[COUNT_ACCEPTED]++;
	Connection &connection = connections_[slot];
	uint32_t generation = connection.generation;
	for (int side = 0; side < 2; side++) {
		bool queued = connection.side[side].queued;
		connection.side[side] = {};
		connection.side[side].queued = queued;
		connection.direction[side].reset();
	}
	connection.phase = Phase::OPEN;
	connection.unreachable = false;

	Side &up = connection.side[UPSTREAM];
	connection.side[CLIENT].fd = client;
	up.fd = connect_upstream(listener, upstream, peer, facts);
	constexpr uint32_t interest = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	uint64_t key = static_cast<uint64_t>(generation) << 33 | slot << 1;
	watch(client, interest, key);
	if (up.fd >= 0) {
		up.connecting = true;
		watch(up.fd, interest, key | 1);
	} else {
		connection.unreachable = up.failed = true;
		counters_[COUNT_UNREACHABLE]++;
		make_ready(connection, UPSTREAM);
	}
	memcpy(options_.arena + arena_used_, &facts, sizeof(facts));
	push_event(EVENT_ACCEPT, slot, static_cast<int32_t>(arena_used_), sizeof(facts));
	arena_used_ += (sizeof(facts) + 63) & ~63u;
	return true;
}

/*
 * A socket on its way to the upstream, or -1. It has the client's address and port, unless the port
 * is taken (a connection of the same tuple is dying), or the upstream is the node itself: then its
 * SYN would not leave the node, and the stack would give it to the client's socket, which has the
 * same tuple.
 */
int Relay::connect_upstream(const Listener &listener, const sockaddr_storage &upstream,
			    const sockaddr_storage &client, const Facts &facts)
{
	if (!listener.transparent)
		return start_connection(upstream, nullptr, 0);
	uint32_t mark = identity_mark(facts.source_identity);
	if (facts.destination_identity != IDENTITY_HOST) {
		int fd = start_connection(upstream, &client, mark);
		if (fd >= 0 || (errno != EADDRINUSE && errno != EADDRNOTAVAIL))
			return fd;
	}
	counters_[COUNT_PORT_CHANGED]++;
	sockaddr_storage from = client;
	if (from.ss_family == AF_INET)
		reinterpret_cast<sockaddr_in &>(from).sin_port = 0;
	else
		reinterpret_cast<sockaddr_in6 &>(from).sin6_port = 0;
	return start_connection(upstream, &from, mark);
}
