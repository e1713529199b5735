// SPDX-License-Identifier: Apache-2.0
/*
 * The server behind every proxy of the benchmark: HTTP/1.1 keep-alive on one epoll thread, the same
 * fixed 200 response for every path. It is as cheap as it can be, because it shares a core with the
 * load generator and neither may be the bottleneck.
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

#define REQUEST_HEAD_BYTES_MAX 16384
#define EVENTS_MAX 256
#define BODY_BYTES_MAX (64 << 20)

struct conn {
	int fd;
	int closing;
	int watching_out;
	uint32_t have;
	/* Bytes of request body still to skip. */
	uint64_t skip;
	/* Bytes of responses still to write; `at` is the place in the one fixed response. */
	uint64_t owed;
	uint64_t at;
	char buf[REQUEST_HEAD_BYTES_MAX];
};

struct server {
	int epoll;
	int listener;
	char *response;
	uint64_t response_len;
};

static void die(const char *what)
{
	fprintf(stderr, "Cannot %s: %s\n", what, strerror(errno));
	exit(1);
}

static void conn_free(struct conn *c)
{
	close(c->fd);
	free(c);
}

static void watch(struct server *s, struct conn *c, int out)
{
	if (c->watching_out == out)
		return;
	c->watching_out = out;
	struct epoll_event ev = {.events = out ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
	epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

/* Returns 0 when the connection is gone. */
static int conn_write(struct server *s, struct conn *c)
{
	while (c->owed) {
		uint64_t here = s->response_len - c->at;
		ssize_t n =
		    send(c->fd, s->response + c->at, here < c->owed ? here : c->owed, MSG_NOSIGNAL);
		if (n < 0 && errno == EAGAIN) {
			watch(s, c, 1);
			return 1;
		}
		if (n <= 0) {
			conn_free(c);
			return 0;
		}
		c->owed -= (uint64_t)n;
		c->at = (c->at + (uint64_t)n) % s->response_len;
	}
	watch(s, c, 0);
	if (c->closing) {
		conn_free(c);
		return 0;
	}
	return 1;
}

static uint64_t body_length(char *head, size_t len)
{
	/* Only these methods bring bodies here; the scan is spared for GET. */
	if (head[0] != 'P')
		return 0;
	char last = head[len - 1];
	head[len - 1] = 0;
	const char *found = strcasestr(head, "\ncontent-length:");
	head[len - 1] = last;
	return found ? strtoull(found + 16, NULL, 10) : 0;
}

/* Takes every whole request of the buffer. Returns 0 for a head that is too long. */
static int requests_take(struct server *s, struct conn *c)
{
	uint32_t at = 0;
	while (at < c->have) {
		uint64_t left = c->have - at;
		if (c->skip) {
			uint64_t n = c->skip < left ? c->skip : left;
			c->skip -= n;
			at += (uint32_t)n;
			continue;
		}
		char *head = c->buf + at;
		char *end = memmem(head, left, "\r\n\r\n", 4);
		if (!end)
			break;
		size_t len = (size_t)(end + 4 - head);
		c->skip = body_length(head, len);
		c->owed += s->response_len;
		if (memmem(head, len, "onnection: close\r\n", 18))
			c->closing = 1;
		at += (uint32_t)len;
	}
	memmove(c->buf, c->buf + at, c->have - at);
	c->have -= at;
	return c->have < REQUEST_HEAD_BYTES_MAX;
}

static void conn_event(struct server *s, struct conn *c, uint32_t events)
{
	if ((events & EPOLLOUT) && !conn_write(s, c))
		return;
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	ssize_t n = recv(c->fd, c->buf + c->have, REQUEST_HEAD_BYTES_MAX - c->have, 0);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		conn_free(c);
		return;
	}
	c->have += (uint32_t)n;
	if (!requests_take(s, c)) {
		conn_free(c);
		return;
	}
	conn_write(s, c);
}

static void accept_all(struct server *s)
{
	int one = 1;
	for (;;) {
		int fd = accept4(s->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		struct conn *c = calloc(1, sizeof(*c));
		if (!c)
			die("accept a connection");
		c->fd = fd;
		struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
		if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) < 0)
			die("watch a connection");
	}
}

static void build_response(struct server *s, uint64_t body_bytes)
{
	char head[128];
	int n =
	    snprintf(head, sizeof(head),
		     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %lu\r\n\r\n",
		     body_bytes);
	s->response_len = (uint64_t)n + body_bytes;
	s->response = malloc(s->response_len);
	if (!s->response)
		die("build the response");
	memcpy(s->response, head, (size_t)n);
	memset(s->response + n, 'x', body_bytes);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fputs("server ADDRESS PORT BODY_BYTES\n", stderr);
		return 1;
	}
	uint64_t body_bytes = strtoull(argv[3], NULL, 10);
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
	if (inet_pton(AF_INET, argv[1], &at.sin_addr) != 1 || body_bytes > BODY_BYTES_MAX) {
		fputs("server ADDRESS PORT BODY_BYTES\n", stderr);
		return 1;
	}
	static struct server s;
	int one = 1;
	build_response(&s, body_bytes);
	s.epoll = epoll_create1(EPOLL_CLOEXEC);
	s.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(s.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s.epoll < 0 || bind(s.listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(s.listener, 4096) < 0)
		die("listen");
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
	epoll_ctl(s.epoll, EPOLL_CTL_ADD, s.listener, &ev);
	for (;;) {
		struct epoll_event events[EVENTS_MAX];
		int n = epoll_wait(s.epoll, events, EVENTS_MAX, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				conn_event(&s, events[i].data.ptr, events[i].events);
			else
				accept_all(&s);
		}
	}
}
