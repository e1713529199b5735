// SPDX-License-Identifier: Apache-2.0
/*
 * Stands where the agent stands: reads the proxy's record stream (runtime/contract/records.ts) so
 * that records are really written during a measurement, and counts frames. It prints the counts as
 * one JSON line for every line on its standard input and ends when that closes.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER_BYTES (1 << 20)
#define FRAME_HEADER_BYTES 24
#define CONNECT_TRIES_MAX 100
#define CONNECT_RETRY_US 100000

enum { FRAME_OPEN = 1, FRAME_RECORD, FRAME_CLOSE, FRAME_FAULT, FRAME_LOST };

struct counts {
	uint64_t opens, closes, faults, lost, bytes;
	/* By kind (request, response) and verdict (forwarded, denied, error). */
	uint64_t records[2][3];
};

static uint8_t buffer[BUFFER_BYTES];

static void die(const char *what, const char *state)
{
	fprintf(stderr, "Cannot %s: %s\n", what, state);
	exit(1);
}

static int connect_to(const char *path)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	if (strlen(path) >= sizeof(at.sun_path))
		die("connect to the records socket", "its path is too long");
	strcpy(at.sun_path, path);
	for (int i = 0; i < CONNECT_TRIES_MAX; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof(at)) == 0)
			return fd;
		close(fd);
		usleep(CONNECT_RETRY_US);
	}
	die("connect to the records socket", strerror(errno));
	return -1;
}

static uint64_t lost_frames(const uint8_t *body, uint32_t len)
{
	const char *found = memmem(body, len, "\"frames\":", 9);
	return found ? strtoull(found + 9, NULL, 10) : 0;
}

static void frame_count(struct counts *c, const uint8_t *frame, uint32_t len)
{
	switch (frame[4]) {
	case FRAME_OPEN:
		c->opens++;
		break;
	case FRAME_RECORD:
		if (frame[5] > 1 || frame[6] > 2)
			die("read a record", "kind or verdict is out of range");
		c->records[frame[5]][frame[6]]++;
		break;
	case FRAME_CLOSE:
		c->closes++;
		break;
	case FRAME_FAULT:
		c->faults++;
		fprintf(stderr, "fault: %.*s\n", (int)(len - FRAME_HEADER_BYTES),
			(const char *)frame + FRAME_HEADER_BYTES);
		break;
	case FRAME_LOST:
		c->lost += lost_frames(frame + FRAME_HEADER_BYTES, len - FRAME_HEADER_BYTES);
		break;
	default:
		die("read a frame", "its type is unknown");
	}
}

/* Counts the whole frames of the buffer and returns the bytes that remain. */
static uint32_t frames_take(struct counts *c, uint32_t have)
{
	uint32_t at = 0;
	while (have - at >= FRAME_HEADER_BYTES) {
		uint32_t len;
		memcpy(&len, buffer + at, sizeof(len));
		if (len < FRAME_HEADER_BYTES || len > BUFFER_BYTES)
			die("read a frame", "its length is out of range");
		if (have - at < len)
			break;
		frame_count(c, buffer + at, len);
		at += len;
	}
	memmove(buffer, buffer + at, have - at);
	return have - at;
}

static void print_counts(const struct counts *c)
{
	printf("{\"opens\":%lu,\"closes\":%lu,\"faults\":%lu,\"lost\":%lu,\"bytes\":%lu,", c->opens,
	       c->closes, c->faults, c->lost, c->bytes);
	printf("\"requests\":{\"forwarded\":%lu,\"denied\":%lu,\"error\":%lu},", c->records[0][0],
	       c->records[0][1], c->records[0][2]);
	printf("\"responses\":{\"forwarded\":%lu,\"denied\":%lu,\"error\":%lu}}\n",
	       c->records[1][0], c->records[1][1], c->records[1][2]);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	if (argc != 2) {
		fputs("sink SOCKET\n", stderr);
		return 1;
	}
	static struct counts counts;
	struct pollfd fds[2] = {{.fd = connect_to(argv[1]), .events = POLLIN},
				{.fd = 0, .events = POLLIN}};
	puts("connected");
	fflush(stdout);
	uint32_t have = 0;
	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[0].revents) {
			ssize_t n = read(fds[0].fd, buffer + have, BUFFER_BYTES - have);
			if (n <= 0)
				fds[0].fd = -1; /* The proxy has gone; the counts remain. */
			else {
				counts.bytes += (uint64_t)n;
				have = frames_take(&counts, have + (uint32_t)n);
			}
			continue;
		}
		if (fds[1].revents) {
			char line[64];
			if (read(0, line, sizeof(line)) <= 0)
				return 0;
			print_counts(&counts);
		}
	}
}
