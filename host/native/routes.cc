/* What this node's network namespace takes for its own: the kernel's table of local routes. */
#include "native.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

namespace imker
{

namespace
{

constexpr size_t ANSWER_BYTES = 64 * 1024;
/* Times a list is asked for when it changes while it is read. */
constexpr int ATTEMPTS_MAX = 8;

struct Request {
	nlmsghdr header;
	rtmsg route;
};

/* A socket that is closed with its owner. */
struct Netlink {
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	~Netlink()
	{
		if (fd >= 0)
			close(fd);
	}
};

/* Asks for that one table: a router's main one may hold a million routes. */
int Ask(const Netlink &netlink, unsigned char family)
{
	int on = 1;
	Request request = {};

	request.header.nlmsg_len = sizeof(request);
	request.header.nlmsg_type = RTM_GETROUTE;
	request.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request.route.rtm_family = family;
	request.route.rtm_table = RT_TABLE_LOCAL;
	if (setsockopt(netlink.fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)))
		return errno;
	return send(netlink.fd, &request, sizeof(request), 0) < 0 ? errno : 0;
}

std::string Destination(const nlmsghdr *message)
{
	auto *route = static_cast<const rtmsg *>(NLMSG_DATA(message));
	auto *attribute = RTM_RTA(route);
	auto left = static_cast<int>(RTM_PAYLOAD(message));
	unsigned char address[sizeof(in6_addr)] = {};
	char text[INET6_ADDRSTRLEN] = {};

	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left))
		if (attribute->rta_type == RTA_DST && RTA_PAYLOAD(attribute) <= sizeof(address))
			memcpy(address, RTA_DATA(attribute), RTA_PAYLOAD(attribute));
	inet_ntop(route->rtm_family, address, text, sizeof(text));
	return std::string(text) + "/" + std::to_string(route->rtm_dst_len);
}

/* What one answer holds; true when there is no more. A kernel without that table says ENOENT. */
bool Take(Napi::Env env, const uint8_t *bytes, size_t length, Napi::Array &routes, bool &changed)
{
	auto *message = reinterpret_cast<const nlmsghdr *>(bytes);

	for (; NLMSG_OK(message, length); message = NLMSG_NEXT(message, length)) {
		changed = changed || (message->nlmsg_flags & NLM_F_DUMP_INTR);
		if (message->nlmsg_type == NLMSG_DONE)
			return true;
		if (message->nlmsg_type == NLMSG_ERROR) {
			auto *error = static_cast<const nlmsgerr *>(NLMSG_DATA(message));
			if (error->error == -ENOENT)
				return true;
			ThrowErrno(env, error->error, "list local routes");
		}
		auto *route = static_cast<const rtmsg *>(NLMSG_DATA(message));
		if (message->nlmsg_type != RTM_NEWROUTE || route->rtm_table != RT_TABLE_LOCAL)
			continue;
		Napi::Array row = Napi::Array::New(env, 2);
		row.Set(0u, Napi::Number::New(env, route->rtm_type));
		row.Set(1u, Napi::String::New(env, Destination(message)));
		routes.Set(routes.Length(), row);
	}
	return false;
}

/* (family) → [route type, prefix] of each route of the local table */
Napi::Value LocalRoutes(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::vector<uint8_t> answer(ANSWER_BYTES);

	for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
		Napi::Array routes = Napi::Array::New(env);
		Netlink netlink;
		bool changed = false;
		int error = netlink.fd < 0 ? errno : Ask(netlink, NumberOf(info, 0));

		if (error)
			ThrowErrno(env, error, "list local routes");
		for (bool done = false; !done;) {
			ssize_t length = recv(netlink.fd, answer.data(), answer.size(), 0);
			if (length < 0)
				ThrowErrno(env, errno, "list local routes");
			done = Take(env, answer.data(), length, routes, changed);
		}
		if (!changed)
			return routes;
	}
	ThrowErrno(env, EAGAIN, "list local routes");
}

} // namespace

void RegisterRoutes(Napi::Env env, Napi::Object exports)
{
	exports.Set("localRoutes", Napi::Function::New<LocalRoutes>(env));
}

} // namespace imker
