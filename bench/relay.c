// SPDX-License-Identifier: Apache-2.0
/*
 * The bare relay: accepts, connects upstream, and copies bytes both ways on one epoll thread. It
 * parses nothing and enforces nothing: it is the practical limit of a user-space proxy, against
 * which the others are read. Complete in what a relay must do (back-pressure, half-close, resets),
 * so that the comparison is fair.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES (256 * 1024)
#define EVENTS_MAX 256
#define DEAD_MAX (2 * EVENTS_MAX)

struct pair;

/* One socket. What was read from it and could not be written to the other waits in `pending`. */
struct side {
	struct pair *pair;
	struct side *other;
	int fd;
	uint32_t watched;
	int connecting;
	int ended;
	char *pending;
	size_t pending_at, pending_len;
};

struct pair {
	struct side client, server;
	int dead;
};

struct relay {
	int epoll;
	int listener;
	struct sockaddr_in upstream;
	/* Freed after the batch, because a later event of it may still point there. */
	struct pair *dead[DEAD_MAX];
	int n_dead;
};

static char buffer[READ_BYTES];

static void die(const char *what)
{
	fprintf(stderr, "Cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(struct relay *r, struct side *s, uint32_t events)
{
	if (s->watched == events)
		return;
	s->watched = events;
	struct epoll_event ev = {.events = events, .data.ptr = s};
	epoll_ctl(r->epoll, EPOLL_CTL_MOD, s->fd, &ev);
}

static void watch_again(struct relay *r, struct side *s)
{
	int readable = !s->ended && !s->pending_len && !s->connecting && !s->other->connecting;
	int writable = s->connecting || s->other->pending_len;
	watch(r, s, (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u));
}

static void pair_close(struct relay *r, struct pair *p, int reset)
{
	if (p->dead)
		return;
	p->dead = 1;
	struct linger now = {.l_onoff = 1, .l_linger = 0};
	struct side *sides[2] = {&p->client, &p->server};
	for (int i = 0; i < 2; i++) {
		if (reset)
			setsockopt(sides[i]->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(sides[i]->fd);
	}
	r->dead[r->n_dead++] = p;
}

static void pairs_free(struct relay *r)
{
	for (int i = 0; i < r->n_dead; i++) {
		free(r->dead[i]->client.pending);
		free(r->dead[i]->server.pending);
		free(r->dead[i]);
	}
	r->n_dead = 0;
}

/* Keeps what a full socket did not take. */
static void side_keep(struct side *s, const char *bytes, size_t len)
{
	if (!s->pending && !(s->pending = malloc(READ_BYTES)))
		die("keep bytes");
	memcpy(s->pending, bytes, len);
	s->pending_at = 0;
	s->pending_len = len;
}

static void side_end(struct relay *r, struct side *s)
{
	s->ended = 1;
	if (s->other->ended && !s->other->pending_len)
		pair_close(r, s->pair, 0);
	else
		shutdown(s->other->fd, SHUT_WR);
}

static void side_read(struct relay *r, struct side *s)
{
	ssize_t n = recv(s->fd, buffer, sizeof(buffer), 0);
	if (n < 0) {
		if (errno != EAGAIN)
			pair_close(r, s->pair, 1);
		return;
	}
	if (n == 0) {
		side_end(r, s);
		return;
	}
	ssize_t sent = send(s->other->fd, buffer, (size_t)n, MSG_NOSIGNAL);
	if (sent < 0 && errno != EAGAIN) {
		pair_close(r, s->pair, 1);
		return;
	}
	if (sent < n) {
		size_t done = sent < 0 ? 0 : (size_t)sent;
		side_keep(s, buffer + done, (size_t)n - done);
	}
}

/* Writes to `s` what its other side kept. */
static void side_write(struct relay *r, struct side *s)
{
	struct side *from = s->other;
	ssize_t n = send(s->fd, from->pending + from->pending_at, from->pending_len, MSG_NOSIGNAL);
	if (n < 0) {
		if (errno != EAGAIN)
			pair_close(r, s->pair, 1);
		return;
	}
	from->pending_at += (size_t)n;
	from->pending_len -= (size_t)n;
}

static void side_event(struct relay *r, struct side *s, uint32_t events)
{
	struct pair *p = s->pair;
	if (p->dead)
		return;
	if (s->connecting) {
		if (events & (EPOLLERR | EPOLLHUP)) {
			pair_close(r, p, 1);
			return;
		}
		s->connecting = 0;
	} else if (events & EPOLLERR) {
		pair_close(r, p, 1);
		return;
	}
	if ((events & EPOLLOUT) && s->other->pending_len)
		side_write(r, s);
	if (!p->dead && (events & (EPOLLIN | EPOLLHUP)) && !s->pending_len && !s->ended)
		side_read(r, s);
	if (p->dead)
		return;
	watch_again(r, s);
	watch_again(r, s->other);
}

static int side_open(struct relay *r, struct pair *p, struct side *s, int fd)
{
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->pair = p;
	s->fd = fd;
	s->other = s == &p->client ? &p->server : &p->client;
	struct epoll_event ev = {.events = 0, .data.ptr = s};
	return epoll_ctl(r->epoll, EPOLL_CTL_ADD, fd, &ev);
}

static void accept_all(struct relay *r)
{
	for (;;) {
		int fd = accept4(r->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		int up = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		struct pair *p = calloc(1, sizeof(*p));
		if (up < 0 || !p)
			die("open an upstream socket");
		p->server.connecting = 1;
		if (side_open(r, p, &p->client, fd) < 0 || side_open(r, p, &p->server, up) < 0)
			die("watch a socket");
		if (connect(up, (struct sockaddr *)&r->upstream, sizeof(r->upstream)) < 0 &&
		    errno != EINPROGRESS)
			die("connect upstream");
		watch_again(r, &p->server);
	}
}

static struct sockaddr_in parse_address(char *text)
{
	struct sockaddr_in at = {.sin_family = AF_INET};
	char *colon = strrchr(text, ':');
	if (colon) {
		*colon = 0;
		at.sin_port = htons((uint16_t)atoi(colon + 1));
	}
	if (!at.sin_port || inet_pton(AF_INET, text, &at.sin_addr) != 1) {
		fputs("relay LISTEN UPSTREAM (each A.B.C.D:PORT)\n", stderr);
		exit(1);
	}
	return at;
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fputs("relay LISTEN UPSTREAM (each A.B.C.D:PORT)\n", stderr);
		return 1;
	}
	static struct relay r;
	int one = 1;
	struct sockaddr_in at = parse_address(argv[1]);
	r.upstream = parse_address(argv[2]);
	r.epoll = epoll_create1(EPOLL_CLOEXEC);
	r.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(r.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (r.epoll < 0 || bind(r.listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(r.listener, 4096) < 0)
		die("listen");
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	epoll_ctl(r.epoll, EPOLL_CTL_ADD, r.listener, &ev);
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(r.epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				side_event(&r, events[i].data.ptr, events[i].events);
			else
				accept_all(&r);
		}
		pairs_free(&r);
	}
}
