/*
 * The record stream: a unix socket one agent reads frames from. Frames are written once a turn at
 * most and never waited for; what the agent does not take is kept up to RECORD_QUEUE_BYTES_MAX,
 * whole batches beyond that are refused, so a reader never sees half a frame.
 */
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <cerrno>
#include "failure.h"
#include "relay.h"

namespace
{
constexpr int SEND_BUFFER_BYTES = 1 << 20;
} // namespace

void Relay::listen_records(const std::string &path)
{
	sockaddr_un at = {.sun_family = AF_UNIX};
	if (path.size() >= sizeof(at.sun_path))
		throw Failure("bind the record socket", ENAMETOOLONG);
	memcpy(at.sun_path, path.c_str(), path.size() + 1);
	Fd fd(check(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket"));
	/* A proxy that is being replaced keeps its agent connection, not the name. */
	unlink(path.c_str());
	check(bind(fd.get(), reinterpret_cast<sockaddr *>(&at), sizeof(at)), "bind");
	check(chmod(path.c_str(), 0600), "chmod");
	struct stat made;
	check(stat(path.c_str(), &made), "stat");
	check(listen(fd.get(), 4), "listen");
	watch(fd.get(), EPOLLIN, KEY_RECORDS);
	records_ = std::move(fd);
	records_path_ = path;
	records_inode_ = made.st_ino;
}

void Relay::close_records()
{
	struct stat found;
	/* The name may be a successor's by now. */
	if (records_.open() && stat(records_path_.c_str(), &found) == 0 &&
	    found.st_ino == records_inode_)
		unlink(records_path_.c_str());
	records_.reset();
}

/* The newest reader is the agent; an older one is let go. */
void Relay::accept_agent()
{
	int fd = accept4(records_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return;
	agent_ = Fd(fd);
	record_queue_.clear();
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &SEND_BUFFER_BYTES, sizeof(SEND_BUFFER_BYTES));
	watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, KEY_AGENT);
	push_event(EVENT_AGENT, 0, 1, 0);
}

void Relay::serve_agent(uint32_t events)
{
	uint8_t ignored[256];
	bool gone = (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
	/* The agent has nothing to say here. */
	while (!gone && agent_.open() && recv(agent_.get(), ignored, sizeof(ignored), 0) > 0)
		;
	if (agent_.open() && (gone || !drain_records())) {
		drop_agent();
		push_event(EVENT_AGENT, 0, 0, 0);
	}
}

void Relay::drop_agent()
{
	agent_.reset();
	record_queue_.clear();
}

/* False when the agent is gone. */
bool Relay::drain_records()
{
	while (!record_queue_.empty()) {
		ssize_t sent =
		    send(agent_.get(), record_queue_.data(), record_queue_.size(), MSG_NOSIGNAL);
		if (sent < 0)
			return errno == EAGAIN || errno == EINTR;
		record_queue_.consume(static_cast<uint32_t>(sent));
	}
	return true;
}

bool Relay::write_records(const uint8_t *frames, uint32_t length)
{
	if (!agent_.open() || !drain_records())
		return false;
	uint32_t sent = 0;
	if (record_queue_.empty()) {
		ssize_t result = send(agent_.get(), frames, length, MSG_NOSIGNAL);
		if (result < 0 && errno != EAGAIN && errno != EINTR)
			return false;
		sent = result > 0 ? static_cast<uint32_t>(result) : 0;
	}
	if (record_queue_.size() + (length - sent) > RECORD_QUEUE_BYTES_MAX)
		return false;
	if (sent < length)
		record_queue_.append(frames + sent, length - sent);
	return true;
}
