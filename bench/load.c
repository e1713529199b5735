// SPDX-License-Identifier: Apache-2.0
/*
 * Closed-loop HTTP/1.1 load: N connections on one thread, each with one GET in flight. It owns the
 * measured window: after the warm-up it reads the given files (cgroup CPU, /proc/stat), after the
 * window again, so that CPU and requests are counted over the same instants. Requests still in
 * flight at the end are drained, so the totals can be compared with the records a proxy wrote.
 * Prints one JSON object. Cheaper per request than wrk, because it shares its core with the server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 4096
#define HEAD_BYTES_MAX 8192
#define REQUEST_BYTES_MAX 4096
#define DISCARD_BYTES (1 << 20)
#define SNAPSHOTS_MAX 8
#define SNAPSHOT_BYTES_MAX 4096
#define EVENTS_MAX 256
#define ERRORS_MAX 1000
#define DRAIN_NS 1000000000ull
#define STATUS_MAX 600
#define PATH_BYTES_MAX 512

/* Log-linear histogram: 64 buckets per power of two of nanoseconds, so within 1.6 %. */
#define SUB_BITS 6
#define BUCKETS ((64 - SUB_BITS + 1) << SUB_BITS)

enum phase { WARMUP, WINDOW, DRAIN };

struct conn {
	int fd;
	int connecting;
	int busy;
	uint64_t started_ns;
	uint64_t body_left;
	int in_body;
	uint32_t have;
	char head[HEAD_BYTES_MAX];
};

struct snapshot {
	const char *path;
	char before[SNAPSHOT_BYTES_MAX];
	char after[SNAPSHOT_BYTES_MAX];
};

struct load {
	struct sockaddr_in to;
	int epoll;
	int reconnect;
	enum phase phase;
	uint64_t requests_max;
	char request[REQUEST_BYTES_MAX];
	size_t request_len;
	struct conn *conns;
	uint32_t n_conns;
	uint32_t busy;
	/* The window. */
	uint64_t requests, bytes;
	uint64_t histogram[BUCKETS];
	/* The whole run. */
	uint64_t sent, completed, statuses[STATUS_MAX];
	uint64_t connect_errors, reset_errors, malformed;
	struct snapshot snapshots[SNAPSHOTS_MAX];
	int n_snapshots;
};

static char discard[DISCARD_BYTES];

static uint64_t now_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

static void die(const char *what, const char *state)
{
	fprintf(stderr, "Cannot %s: %s\n", what, state);
	exit(1);
}

static uint32_t bucket_of(uint64_t ns)
{
	if (ns < (1u << SUB_BITS))
		return (uint32_t)ns;
	uint32_t shift = 63 - (uint32_t)__builtin_clzll(ns) - SUB_BITS;
	return ((shift + 1) << SUB_BITS) + (uint32_t)((ns >> shift) & ((1u << SUB_BITS) - 1));
}

/* Middle of a bucket. */
static uint64_t bucket_ns(uint32_t bucket)
{
	uint32_t shift = bucket >> SUB_BITS;
	uint64_t low = bucket & ((1u << SUB_BITS) - 1);
	if (shift == 0)
		return low;
	return (((1u << SUB_BITS) + low) << (shift - 1)) + ((1ull << (shift - 1)) >> 1);
}

static uint64_t quantile_ns(const struct load *l, double q)
{
	uint64_t want = (uint64_t)((double)l->requests * q), seen = 0;
	for (uint32_t b = 0; b < BUCKETS; b++) {
		seen += l->histogram[b];
		if (seen > want)
			return bucket_ns(b);
	}
	return 0;
}

static void snapshot_read(const char *path, char *into)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, into, SNAPSHOT_BYTES_MAX - 1);
	if (n < 0)
		die("read a snapshot file", path);
	into[n] = 0;
	close(fd);
}

static void check_errors(const struct load *l)
{
	if (l->connect_errors + l->reset_errors + l->malformed > ERRORS_MAX)
		die("go on with the load", "more than 1000 connections failed");
}

static void conn_open(struct load *l, struct conn *c)
{
	int one = 1;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		die("open a socket", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->connecting = 1;
	c->have = 0;
	c->in_body = 0;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
	if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, c->fd, &ev) < 0)
		die("watch a socket", strerror(errno));
	if (connect(c->fd, (struct sockaddr *)&l->to, sizeof(l->to)) < 0 && errno != EINPROGRESS)
		die("connect", strerror(errno));
}

static void conn_end(struct load *l, struct conn *c)
{
	close(c->fd);
	c->fd = -1;
	if (c->busy) {
		c->busy = 0;
		l->busy--;
	}
}

/* A connection that ended before its response: counted, and replaced while the run goes on. */
static void conn_failed(struct load *l, struct conn *c, uint64_t *counter)
{
	(*counter)++;
	check_errors(l);
	conn_end(l, c);
	if (l->phase != DRAIN)
		conn_open(l, c);
}

static void conn_send(struct load *l, struct conn *c, uint64_t now)
{
	if (l->phase == DRAIN || (l->requests_max && l->sent >= l->requests_max))
		return;
	/* One small request on an idle socket always fits its buffer. */
	ssize_t n = send(c->fd, l->request, l->request_len, MSG_NOSIGNAL);
	if (n != (ssize_t)l->request_len) {
		conn_failed(l, c, &l->reset_errors);
		return;
	}
	c->started_ns = now;
	c->busy = 1;
	l->busy++;
	l->sent++;
}

static void response_done(struct load *l, struct conn *c)
{
	uint64_t now = now_ns();
	l->completed++;
	if (l->phase == WINDOW) {
		l->requests++;
		l->histogram[bucket_of(now - c->started_ns)]++;
	}
	c->busy = 0;
	l->busy--;
	c->have = 0;
	c->in_body = 0;
	if (!l->reconnect) {
		conn_send(l, c, now);
		return;
	}
	conn_end(l, c);
	if (l->phase != DRAIN)
		conn_open(l, c);
}

/* Bytes of body after the head (RFC 9112 section 6.3); -1: not framed by Content-Length. */
static int64_t content_length(const char *head, const char *end)
{
	static const char name[] = "content-length:";
	for (const char *line = memchr(head, '\n', (size_t)(end - head)); line;
	     line = memchr(line, '\n', (size_t)(end - line))) {
		line++;
		if ((size_t)(end - line) > sizeof(name) &&
		    strncasecmp(line, name, sizeof(name) - 1) == 0)
			return strtoll(line + sizeof(name) - 1, NULL, 10);
	}
	return -1;
}

/* The buffer holds `have` bytes that start a response. */
static void head_parse(struct load *l, struct conn *c)
{
	const char *end = memmem(c->head, c->have, "\r\n\r\n", 4);
	if (!end) {
		if (c->have == HEAD_BYTES_MAX)
			conn_failed(l, c, &l->malformed);
		return;
	}
	uint32_t head_len = (uint32_t)(end + 4 - c->head);
	int64_t length = content_length(c->head, end + 4);
	int status = memcmp(c->head, "HTTP/1.", 7) == 0 ? atoi(c->head + 9) : 0;
	uint64_t body_here = c->have - head_len;
	if (length < 0 || status < 100 || status >= STATUS_MAX || body_here > (uint64_t)length) {
		conn_failed(l, c, &l->malformed);
		return;
	}
	l->statuses[status]++;
	c->body_left = (uint64_t)length - body_here;
	c->in_body = 1;
	if (c->body_left == 0)
		response_done(l, c);
}

static void conn_read(struct load *l, struct conn *c)
{
	ssize_t n;
	if (c->in_body) {
		/* MSG_TRUNC on TCP throws the bytes away without copying them (tcp(7)). */
		size_t want = c->body_left < DISCARD_BYTES ? c->body_left : DISCARD_BYTES;
		n = recv(c->fd, discard, want, MSG_TRUNC);
	} else {
		n = recv(c->fd, c->head + c->have, HEAD_BYTES_MAX - c->have, 0);
	}
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		if (l->phase == DRAIN && !c->busy)
			conn_end(l, c);
		else
			conn_failed(l, c, &l->reset_errors);
		return;
	}
	if (l->phase == WINDOW)
		l->bytes += (uint64_t)n;
	if (c->in_body) {
		c->body_left -= (uint64_t)n;
		if (c->body_left == 0)
			response_done(l, c);
		return;
	}
	c->have += (uint32_t)n;
	head_parse(l, c);
}

static void conn_event(struct load *l, struct conn *c, uint32_t events)
{
	if (c->fd < 0)
		return;
	if (!c->connecting) {
		conn_read(l, c);
		return;
	}
	if (events & (EPOLLERR | EPOLLHUP)) {
		conn_failed(l, c, &l->connect_errors);
		return;
	}
	if (!(events & EPOLLOUT))
		return;
	c->connecting = 0;
	struct epoll_event ev = {.events = EPOLLIN, .data.ptr = c};
	epoll_ctl(l->epoll, EPOLL_CTL_MOD, c->fd, &ev);
	conn_send(l, c, now_ns());
}

static void run_until(struct load *l, uint64_t deadline)
{
	struct epoll_event events[EVENTS_MAX];
	while (now_ns() < deadline) {
		if (l->phase == DRAIN && l->busy == 0)
			return;
		if (l->requests_max && l->completed >= l->requests_max)
			return;
		int n = epoll_wait(l->epoll, events, EVENTS_MAX, 10);
		for (int i = 0; i < n; i++)
			conn_event(l, events[i].data.ptr, events[i].events);
	}
}

static void print_escaped(const char *s)
{
	putchar('"');
	for (; *s; s++) {
		if (*s == '\n')
			fputs("\\n", stdout);
		else if (*s == '"' || *s == '\\' || (unsigned char)*s < 32)
			printf("\\u%04x", *s);
		else
			putchar(*s);
	}
	putchar('"');
}

static void report(const struct load *l, uint64_t elapsed_ns)
{
	printf("{\"elapsedNs\":%lu,\"requests\":%lu,\"bytes\":%lu,\"sent\":%lu,\"completed\":%lu,",
	       elapsed_ns, l->requests, l->bytes, l->sent, l->completed);
	printf("\"connectErrors\":%lu,\"resetErrors\":%lu,\"malformed\":%lu,\"statuses\":{",
	       l->connect_errors, l->reset_errors, l->malformed);
	const char *comma = "";
	for (int s = 0; s < STATUS_MAX; s++) {
		if (l->statuses[s]) {
			printf("%s\"%d\":%lu", comma, s, l->statuses[s]);
			comma = ",";
		}
	}
	printf("},\"p50Ns\":%lu,\"p90Ns\":%lu,\"p99Ns\":%lu,\"snapshots\":[", quantile_ns(l, 0.5),
	       quantile_ns(l, 0.9), quantile_ns(l, 0.99));
	for (int i = 0; i < l->n_snapshots; i++) {
		printf("%s{\"path\":", i ? "," : "");
		print_escaped(l->snapshots[i].path);
		fputs(",\"before\":", stdout);
		print_escaped(l->snapshots[i].before);
		fputs(",\"after\":", stdout);
		print_escaped(l->snapshots[i].after);
		putchar('}');
	}
	puts("]}");
}

static void build_request(struct load *l, const char *path, size_t head_bytes)
{
	int n = snprintf(l->request, REQUEST_BYTES_MAX,
			 "GET %s HTTP/1.1\r\nHost: bench.local\r\nUser-Agent: imker-bench/1\r\n"
			 "Accept: */*\r\n%s",
			 path, l->reconnect ? "Connection: close\r\n" : "");
	size_t at = (size_t)n;
	/* Grows by headers of 64 bytes, as cookies and trace headers do, then one that fits. */
	for (int i = 0; at + 2 < head_bytes; i++) {
		size_t left = head_bytes - 2 - at;
		size_t line = left >= 96 ? 64 : left < 16 ? 16 : left;
		int name = sprintf(l->request + at, "X-Bench-%02d: ", i % 100);
		memset(l->request + at + name, 'v', line - (size_t)name - 2);
		memcpy(l->request + at + line - 2, "\r\n", 2);
		at += line;
	}
	memcpy(l->request + at, "\r\n", 2);
	l->request_len = at + 2;
}

static void usage(void)
{
	fputs(
	    "load --to A.B.C.D:PORT [--path P] [--connections N] [--warmup-ms N] [--window-ms N]\n"
	    "     [--head-bytes N] [--requests N] [--reconnect] [--snapshot FILE]...\n",
	    stderr);
	exit(1);
}

static void parse_to(struct load *l, char *arg)
{
	char *colon = strrchr(arg, ':');
	if (!colon)
		usage();
	*colon = 0;
	l->to.sin_family = AF_INET;
	l->to.sin_port = htons((uint16_t)atoi(colon + 1));
	if (inet_pton(AF_INET, arg, &l->to.sin_addr) != 1)
		usage();
}

/* What the command line says and the load does not keep. */
struct run {
	const char *path;
	uint64_t warmup_ms, window_ms, head_bytes;
};

static void parse_options(struct load *l, struct run *run, int argc, char **argv)
{
	static const struct option options[] = {
	    {"to", 1, NULL, 't'},        {"path", 1, NULL, 'p'},      {"connections", 1, NULL, 'c'},
	    {"warmup-ms", 1, NULL, 'w'}, {"window-ms", 1, NULL, 'm'}, {"head-bytes", 1, NULL, 'h'},
	    {"requests", 1, NULL, 'r'},  {"reconnect", 0, NULL, 'R'}, {"snapshot", 1, NULL, 's'},
	    {NULL, 0, NULL, 0},
	};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 't')
			parse_to(l, optarg);
		else if (o == 'p')
			run->path = optarg;
		else if (o == 'c')
			l->n_conns = (uint32_t)atoi(optarg);
		else if (o == 'w')
			run->warmup_ms = (uint64_t)atoll(optarg);
		else if (o == 'm')
			run->window_ms = (uint64_t)atoll(optarg);
		else if (o == 'h')
			run->head_bytes = (uint64_t)atoll(optarg);
		else if (o == 'r')
			l->requests_max = (uint64_t)atoll(optarg);
		else if (o == 'R')
			l->reconnect = 1;
		else if (o == 's' && l->n_snapshots < SNAPSHOTS_MAX)
			l->snapshots[l->n_snapshots++].path = optarg;
		else
			usage();
	}
	if (!l->to.sin_port || l->n_conns < 1 || l->n_conns > CONNECTIONS_MAX ||
	    strlen(run->path) > PATH_BYTES_MAX || run->head_bytes > REQUEST_BYTES_MAX - 32)
		usage();
}

int main(int argc, char **argv)
{
	static struct load l = {.n_conns = 1};
	struct run run = {.path = "/", .window_ms = 1000};
	parse_options(&l, &run, argc, argv);
	build_request(&l, run.path, run.head_bytes);
	l.conns = calloc(l.n_conns, sizeof(*l.conns));
	l.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (!l.conns || l.epoll < 0)
		die("start", strerror(errno));
	for (uint32_t i = 0; i < l.n_conns; i++)
		conn_open(&l, &l.conns[i]);

	l.phase = WARMUP;
	run_until(&l, now_ns() + run.warmup_ms * 1000000ull);
	for (int i = 0; i < l.n_snapshots; i++)
		snapshot_read(l.snapshots[i].path, l.snapshots[i].before);
	uint64_t start = now_ns();
	l.phase = WINDOW;
	run_until(&l, start + run.window_ms * 1000000ull);
	for (int i = 0; i < l.n_snapshots; i++)
		snapshot_read(l.snapshots[i].path, l.snapshots[i].after);
	uint64_t elapsed = now_ns() - start;
	l.phase = DRAIN;
	run_until(&l, now_ns() + DRAIN_NS);
	report(&l, elapsed);
	return 0;
}
