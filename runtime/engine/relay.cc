/*
 * The turn: waiting for readiness, handing it out as events, carrying out operations. Sockets are
 * registered once, edge-triggered; what could not be served yet (no room in the arena, receiver too
 * slow) is remembered in flags and the ready list.
 */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <ctime>
#include "failure.h"
#include "relay.h"

namespace
{
constexpr int EPOLL_EVENTS_MAX = 512;
/* A poll stops reading when less room than this is left in the arena. */
constexpr uint32_t READ_BYTES_MIN = 16 << 10;

int64_t monotonic_ms()
{
	timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}
} // namespace

Relay::Relay(const RelayOptions &options) : options_(options)
{
	epoll_ = Fd(check(epoll_create1(EPOLL_CLOEXEC), "epoll_create1"));
	wake_ = Fd(check(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), "eventfd"));
	spare_ = Fd(check(open("/dev/null", O_RDONLY | O_CLOEXEC), "open"));
	watch(wake_.get(), EPOLLIN, KEY_WAKE);
	connections_ = std::make_unique<Connection[]>(options.connections_max);
	for (uint32_t slot = options.connections_max; slot > 0; slot--)
		free_.push_back(slot - 1);
	now_ms_ = monotonic_ms();
}

Relay::~Relay()
{
	for (uint32_t slot = 0; slot < options_.connections_max; slot++)
		if (connections_[slot].phase != Phase::FREE)
			release(connections_[slot]);
	close_records();
}

uint32_t Relay::slot_of(const Connection &connection) const
{
	return static_cast<uint32_t>(&connection - connections_.get());
}

void Relay::watch(int fd, uint32_t events, uint64_t key)
{
	epoll_event event = {.events = events, .data = {.u64 = key}};
	check(epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event), "epoll_ctl");
}

void Relay::push_event(int32_t word, uint32_t slot, int32_t a, int32_t b)
{
	int32_t *event = options_.events + EVENT_HEADER + event_count_++ * 4;
	event[0] = word;
	event[1] = static_cast<int32_t>(slot);
	event[2] = a;
	event[3] = b;
}

uint32_t Relay::poll(int timeout_ms)
{
	if (turn_open_)
		finish_turn();
	turn_open_ = true;
	event_count_ = arena_used_ = 0;
	for (auto [slot, reason] : notices_)
		push_event(EVENT_CLOSED, slot, reason, 0);
	if (!notices_.empty() || !ready_.empty())
		timeout_ms = 0;
	notices_.clear();
	free_.insert(free_.end(), dead_.begin(), dead_.end());
	for (uint32_t slot : dead_)
		connections_[slot].phase = Phase::FREE;
	dead_.clear();

	epoll_event batch[EPOLL_EVENTS_MAX];
	/* Not more than there is certainly room to report. */
	int wanted = static_cast<int>(options_.events_max - event_count_) / 4;
	if (wanted > EPOLL_EVENTS_MAX)
		wanted = EPOLL_EVENTS_MAX;
	int count = wanted > 0 ? epoll_wait(epoll_.get(), batch, wanted, timeout_ms) : 0;
	now_ms_ = monotonic_ms();
	for (int i = 0; i < count; i++)
		dispatch(batch[i]);
	serve_ready();
	if (!closing_.empty() && now_ms_ >= next_sweep_ms_)
		sweep_closing();

	timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	uint64_t time = now.tv_sec * 1000000000ULL + now.tv_nsec;
	options_.events[0] = static_cast<int32_t>(event_count_);
	options_.events[1] = static_cast<int32_t>(time);
	options_.events[2] = static_cast<int32_t>(time >> 32);
	return event_count_;
}

void Relay::dispatch(const epoll_event &event)
{
	uint64_t key = event.data.u64;
	if (key & KEY_OTHER) {
		if (key == KEY_WAKE) {
			uint64_t times;
			if (read(wake_.get(), &times, sizeof(times)) > 0)
				push_event(EVENT_WAKE, 0, 0, 0);
		} else if (key == KEY_RECORDS) {
			accept_agent();
		} else if (key == KEY_AGENT) {
			serve_agent(event.events);
		} else {
			accept_from(static_cast<uint32_t>(key - KEY_LISTENER));
		}
		return;
	}
	Connection &connection = connections_[(key >> 1) & 0xffffffff];
	int side = key & 1;
	/* The file was closed and the slot used again while this event was on its way. */
	if (connection.generation != key >> 33 || connection.side[side].fd < 0)
		return;
	Side &socket = connection.side[side];
	if (event.events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		writable(connection, side);
	if (connection.phase == Phase::DEAD)
		return;
	if (event.events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) {
		socket.readable = true;
		if (event.events & (EPOLLRDHUP | EPOLLERR | EPOLLHUP))
			socket.hung_up = true;
		make_ready(connection, side);
	}
}

void Relay::make_ready(Connection &connection, int side)
{
	if (connection.side[side].queued)
		return;
	connection.side[side].queued = true;
	ready_.push_back(slot_of(connection) << 1 | side);
}

/* Serves what is ready now; what becomes ready meanwhile, or finds no room, waits for the next. */
void Relay::serve_ready()
{
	serving_.swap(ready_);
	size_t done = 0;
	for (; done < serving_.size(); done++) {
		if (room() < READ_BYTES_MIN || event_count_ >= options_.events_max)
			break;
		Connection &connection = connections_[serving_[done] >> 1];
		int side = serving_[done] & 1;
		connection.side[side].queued = false;
		serve(connection, side);
	}
	ready_.insert(ready_.end(), serving_.begin() + done, serving_.end());
	serving_.clear();
}

void Relay::execute(const int32_t *operations, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++, operations += 4) {
		uint32_t slot = static_cast<uint32_t>(operations[1]);
		if (slot >= options_.connections_max || connections_[slot].phase != Phase::OPEN)
			continue;
		Connection &connection = connections_[slot];
		int direction = operations[0] >> 8 & 1;
		uint32_t offset = static_cast<uint32_t>(operations[2]);
		uint32_t length = static_cast<uint32_t>(operations[3]);
		switch (operations[0] & 0xff) {
		case OPERATION_PASS:
		case OPERATION_DROP:
		case OPERATION_REST:
			consume_window(connection, operations);
			break;
		case OPERATION_NEED:
			connection.direction[direction].need = offset;
			connection.direction[direction].need_given = true;
			break;
		case OPERATION_INJECT:
			if (offset <= options_.inject_bytes &&
			    length <= options_.inject_bytes - offset)
				insert(connection, direction, options_.inject + offset, length);
			break;
		case OPERATION_CLOSE:
			begin_close(connection);
			break;
		case OPERATION_RESET:
			abort_connection(connection);
			break;
		}
	}
	/* Segments point into the arena and the inject area, which the worker may write next. */
	for (uint32_t key : touched_)
		send_out(connections_[key >> 1], key & 1);
	touched_.clear();
}

void Relay::finish_turn()
{
	turn_open_ = false;
	for (uint32_t key : touched_)
		send_out(connections_[key >> 1], key & 1);
	touched_.clear();
	for (uint32_t key : presented_)
		settle_window(connections_[key >> 1], key & 1);
	presented_.clear();
}

uint64_t Relay::buffered() const
{
	uint64_t bytes = record_queue_.size();
	for (uint32_t slot = 0; slot < options_.connections_max; slot++)
		for (const Direction &direction : connections_[slot].direction)
			bytes +=
			    direction.held.size() + direction.queue.size() + direction.later_bytes;
	return bytes;
}
