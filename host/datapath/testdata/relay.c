/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The smallest transparent proxy, for tests of the hand-over: a listener per family in the pinned
 * sockmap, one thread per connection, no parsing. Prints one line per connection. Argument: the
 * node's folder of pinned maps.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/abi.h"

#define RELAY_BYTES 65536

static const char *folder;

static int bpf_call(int command, union bpf_attr *attr)
{
	return syscall(SYS_bpf, command, attr, sizeof(*attr));
}

static int map_open(const char *name)
{
	char path[256];
	union bpf_attr attr = {0};
	int fd;

	snprintf(path, sizeof(path), "%s/%s@1", folder, name);
	attr.pathname = (uintptr_t)path;
	fd = bpf_call(BPF_OBJ_GET, &attr);
	if (fd < 0) {
		perror(path);
		exit(1);
	}
	return fd;
}

static int map_do(int command, int fd, const void *key, void *value)
{
	union bpf_attr attr = {
	    .map_fd = fd, .key = (uintptr_t)key, .value = (uintptr_t)value, .flags = BPF_ANY};

	return bpf_call(command, &attr);
}

static void set(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value))) {
		perror("setsockopt");
		exit(1);
	}
}

static void set_transparent(int fd, int family)
{
	if (family == AF_INET)
		set(fd, SOL_IP, IP_TRANSPARENT, 1);
	else
		set(fd, SOL_IPV6, IPV6_TRANSPARENT, 1);
}

static int listen_in_slot(int family, int listeners, uint32_t slot)
{
	struct sockaddr_storage address = {.ss_family = family};
	int fd = socket(family, SOCK_STREAM, 0);
	uint64_t value = fd;

	if (family == AF_INET)
		((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
	set_transparent(fd, family);
	set(fd, SOL_SOCKET, SO_MARK, MARK_MAGIC_PROXY);
	if (bind(fd, (void *)&address, sizeof(address)) || listen(fd, 128) ||
	    map_do(BPF_MAP_UPDATE_ELEM, listeners, &slot, &value)) {
		perror("listener");
		exit(1);
	}
	return fd;
}

static void to_abi(const struct sockaddr_storage *from, struct address *address, __be16 *port)
{
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)from;

		memset(address, 0, sizeof(*address));
		memset(address->bytes + 10, 0xff, 2);
		memcpy(address->bytes + 12, &in->sin_addr, 4);
		*port = in->sin_port;
	} else {
		const struct sockaddr_in6 *in = (const void *)from;

		memcpy(address, &in->sin6_addr, 16);
		*port = in->sin6_port;
	}
}

/* To the original destination, from the client's own address and port if they are free. */
static int connect_upstream(const struct sockaddr_storage *client,
			    const struct sockaddr_storage *server, const struct handoff *why)
{
	struct sockaddr_storage local = *client;
	uint32_t identity = why->source_identity;
	int fd = socket(client->ss_family, SOCK_STREAM, 0);

	set_transparent(fd, client->ss_family);
	set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set(fd, SOL_SOCKET, SO_MARK, MARK_MAGIC_PROXY | identity << 16 | identity >> 16);
	/*
	 * On the node itself the server's socket would have the very addresses of the one that was
	 * accepted here.
	 */
	if (getenv("RELAY_OWN_PORT") || why->destination_identity == IDENTITY_HOST) {
		/* The port is at one place in both address structs. */
		((struct sockaddr_in *)&local)->sin_port = 0;
	}
	if (bind(fd, (void *)&local, sizeof(local))) {
		perror("bind");
		return -1;
	}
	if (connect(fd, (void *)server, sizeof(*server))) {
		close(fd);
		return -1;
	}
	return fd;
}

static void relay(int client, int server)
{
	struct pollfd ends[2] = {{.fd = client, .events = POLLIN},
				 {.fd = server, .events = POLLIN}};
	static _Thread_local char buffer[RELAY_BYTES];

	while (ends[0].events || ends[1].events) {
		if (poll(ends, 2, -1) < 0)
			return;
		for (int i = 0; i < 2; i++) {
			ssize_t bytes;

			if (!ends[i].revents)
				continue;
			bytes = read(ends[i].fd, buffer, sizeof(buffer));
			if (bytes < 0)
				return;
			if (bytes == 0) {
				shutdown(ends[!i].fd, SHUT_WR);
				ends[i].events = 0;
				ends[i].fd = -1;
			} else if (write(i ? client : server, buffer, bytes) != bytes) {
				return;
			}
		}
	}
}

static void *serve(void *argument)
{
	int client = (intptr_t)argument, server;
	struct sockaddr_storage peer = {0}, original = {0};
	socklen_t length = sizeof(peer);
	struct linger abort = {.l_onoff = 1};
	struct handoff why;
	struct tuple tuple = {.protocol = IPPROTO_TCP};
	int handoffs = map_open("handoff");

	getpeername(client, (void *)&peer, &length);
	length = sizeof(original);
	getsockname(client, (void *)&original, &length);
	to_abi(&peer, &tuple.source, &tuple.source_port);
	to_abi(&original, &tuple.destination, &tuple.destination_port);
	if (map_do(BPF_MAP_LOOKUP_ELEM, handoffs, &tuple, &why)) {
		printf("no handoff row\n");
		close(client);
		return NULL;
	}
	map_do(BPF_MAP_DELETE_ELEM, handoffs, &tuple, NULL);
	printf("{\"family\":%d,\"source\":%u,\"destination\":%u,\"egressRules\":%u,"
	       "\"ingressRules\":%u,\"egressEndpoint\":%u,\"ingressEndpoint\":%u}\n",
	       peer.ss_family == AF_INET ? 4 : 6, why.source_identity, why.destination_identity,
	       why.egress_rules, why.ingress_rules, why.egress_endpoint, why.ingress_endpoint);
	server = connect_upstream(&peer, &original, &why);
	if (server >= 0) {
		relay(client, server);
		close(server);
	} else {
		setsockopt(client, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
	}
	close(client);
	close(handoffs);
	return NULL;
}

static void *accept_all(void *argument)
{
	for (;;) {
		int client = accept((intptr_t)argument, NULL, NULL);
		pthread_t thread;

		if (client < 0)
			continue;
		pthread_create(&thread, NULL, serve, (void *)(intptr_t)client);
		pthread_detach(thread);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct proxy_config config = {.workers = 1};
	uint32_t row = 0;
	int listeners, v4, v6;
	pthread_t thread;

	if (argc != 2)
		return 1;
	folder = argv[1];
	setvbuf(stdout, NULL, _IOLBF, 0);
	listeners = map_open("listeners");
	v4 = listen_in_slot(AF_INET, listeners, 0);
	v6 = listen_in_slot(AF_INET6, listeners, 1);
	if (map_do(BPF_MAP_UPDATE_ELEM, map_open("proxy_config"), &row, &config))
		return 1;
	printf("ready\n");
	pthread_create(&thread, NULL, accept_all, (void *)(intptr_t)v6);
	accept_all((void *)(intptr_t)v4);
	return 0;
}
