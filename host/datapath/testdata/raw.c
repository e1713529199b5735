// SPDX-License-Identifier: Apache-2.0
/*
 * One packet of a protocol that has no sockets of its own, from the namespace it runs in to the
 * address of another: `raw 4|6 PROTOCOL NETNS ADDRESS MILLISECONDS`. Exit 0: it arrived; 3: not.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOT_ARRIVED 3
#define PAYLOAD "imker raw packet"

static int fail(const char *what)
{
	perror(what);
	return 1;
}

static int raw_socket(int family, int protocol)
{
	int fd = socket(family, SOCK_RAW, protocol);

	if (fd < 0)
		exit(fail("socket"));
	return fd;
}

static int send_to(int family, int fd, const char *to)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	const void *address = family == AF_INET ? (void *)&v4 : (void *)&v6;
	socklen_t length = family == AF_INET ? sizeof(v4) : sizeof(v6);
	void *bytes = family == AF_INET ? (void *)&v4.sin_addr : (void *)&v6.sin6_addr;

	if (inet_pton(family, to, bytes) != 1)
		return fail("inet_pton");
	if (sendto(fd, PAYLOAD, sizeof(PAYLOAD), 0, address, length) < 0)
		return fail("sendto");
	return 0;
}

/* IPv4 gives the header too, so the payload is looked for at the end. */
static int arrived(int fd, int milliseconds)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	char bytes[2048];

	while (poll(&wait, 1, milliseconds) > 0) {
		ssize_t length = recv(fd, bytes, sizeof(bytes), 0);
		size_t wanted = sizeof(PAYLOAD);

		if (length >= (ssize_t)wanted && !memcmp(bytes + length - wanted, PAYLOAD, wanted))
			return 0;
	}
	return NOT_ARRIVED;
}

int main(int argc, char **argv)
{
	int family, protocol, sender, receiver, netns;

	if (argc != 6) {
		fprintf(stderr, "usage: raw 4|6 PROTOCOL NETNS ADDRESS MILLISECONDS\n");
		return 1;
	}
	family = argv[1][0] == '4' ? AF_INET : AF_INET6;
	protocol = atoi(argv[2]);
	sender = raw_socket(family, protocol);
	netns = open(argv[3], O_RDONLY | O_CLOEXEC);
	if (netns < 0 || setns(netns, CLONE_NEWNET))
		return fail(argv[3]);
	receiver = raw_socket(family, protocol);
	if (send_to(family, sender, argv[4]))
		return 1;
	return arrived(receiver, atoi(argv[5]));
}
