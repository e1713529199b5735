/*
 * How connections end: FIN carried from one side to the other, RST carried as RST (SO_LINGER 0),
 * and the orderly close a plugin asks for, which writes what is left, sends FIN and then reads the
 * client to its end, because closing with unread bytes would send RST and destroy the answer
 * (RFC 9112, section 9.6).
 */
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include "relay.h"

namespace
{
/* Progress of a close is looked at this often; also the resolution of its deadlines. */
constexpr int64_t SWEEP_MS = 100;
/* After FIN the client gets so long to finish. */
constexpr int64_t LINGER_MS_MAX = 2000;
constexpr uint32_t DISCARD_BYTES = 64 << 10;
/* Reads of one poll that only discard. */
constexpr int DISCARD_READS_MAX = 16;
} // namespace

/* EPOLLOUT, or an error that a write would find: finish connecting, write what is queued. */
void Relay::writable(Connection &connection, int side)
{
	Side &socket = connection.side[side];
	if (socket.connecting) {
		int error = 0;
		socklen_t length = sizeof(error);
		getsockopt(socket.fd, SOL_SOCKET, SO_ERROR, &error, &length);
		socket.connecting = false;
		if (error != 0) {
			connection.unreachable = true;
			counters_[COUNT_UNREACHABLE]++;
			connection.direction[1 - side].queue.clear();
			socket.failed = socket.readable = true;
			make_ready(connection, side);
		} else if (connection.direction[1 - side].ended) {
			send_fin(connection, 1 - side);
		}
	}
	drain_queue(connection, 1 - side);
	if (connection.phase == Phase::CLOSING)
		advance_close(connection);
}

/* Nothing more will be forwarded in this direction: FIN follows what is queued. */
void Relay::end_direction(Connection &connection, int direction)
{
	Direction &way = connection.direction[direction];
	way.ended = true;
	way.held.clear();
	send_fin(connection, direction);
}

void Relay::send_fin(Connection &connection, int direction)
{
	Direction &way = connection.direction[direction];
	Side &to = connection.side[1 - direction];
	if (way.fin_sent || to.connecting || !way.queue.empty() || way.out_count > 0)
		return;
	way.fin_sent = true;
	if (to.fd >= 0)
		shutdown(to.fd, SHUT_WR);
	if (connection.phase == Phase::OPEN && connection.direction[1 - direction].fin_sent) {
		release(connection);
		report_closed(connection, CLOSED_FINISHED);
	}
}

/* RST, or the upstream was never reached: the worker may still answer the other side. */
void Relay::side_failed(Connection &connection, int side)
{
	Direction &direction = connection.direction[side];
	if (direction.rest || direction.ended) {
		abort_connection(connection);
		report_closed(connection, CLOSED_RESET);
		return;
	}
	present(connection, side);
}

/* CLOSE: nothing more is asked of the worker; what the client is owed is still written. */
void Relay::begin_close(Connection &connection)
{
	Direction &response = connection.direction[UPSTREAM];
	for (Direction &direction : connection.direction) {
		direction.held.clear();
		direction.window_length = 0;
	}
	connection.deadline_ms = now_ms_ + DRAIN_MS_MAX;
	closing_.push_back(slot_of(connection));
	bool more_to_come = !response.source_ended && !connection.side[UPSTREAM].failed;
	if (response.budgeted() && more_to_come && !response.rest) {
		connection.phase = Phase::FINISHING;
		if (connection.side[UPSTREAM].readable)
			make_ready(connection, UPSTREAM);
		return;
	}
	start_closing(connection);
}

/* The rest of a response that was promised to the client, and what was inserted behind it. */
void Relay::finish_for_client(Connection &connection)
{
	Direction &response = connection.direction[UPSTREAM];
	Side &upstream = connection.side[UPSTREAM];
	if (!upstream.failed && gated(connection, UPSTREAM))
		return;
	if (upstream.readable && !upstream.failed) {
		connection.deadline_ms = now_ms_ + DRAIN_MS_MAX;
		read_side(connection, UPSTREAM);
	}
	if (connection.phase != Phase::FINISHING)
		return;
	if (upstream.failed || response.source_ended || !response.budgeted()) {
		cut_budgets(connection, UPSTREAM);
		if (connection.phase == Phase::FINISHING)
			start_closing(connection);
	} else if (upstream.readable) {
		make_ready(connection, UPSTREAM);
	}
}

void Relay::start_closing(Connection &connection)
{
	connection.phase = Phase::CLOSING;
	connection.deadline_ms = now_ms_ + DRAIN_MS_MAX;
	for (Direction &direction : connection.direction) {
		direction.held.clear();
		direction.later.clear();
		direction.later_bytes = 0;
	}
	for (int direction = 0; direction < 2; direction++)
		if (!connection.direction[direction].touched) {
			connection.direction[direction].touched = true;
			touched_.push_back(slot_of(connection) << 1 | direction);
		}
}

void Relay::advance_close(Connection &connection)
{
	for (int side = 0; side < 2; side++) {
		Direction &toward = connection.direction[1 - side];
		Side &socket = connection.side[side];
		if (socket.fd < 0 || toward.fin_sent)
			continue;
		bool drained = toward.queue.empty() && toward.out_count == 0;
		if (!drained && !socket.failed)
			continue;
		toward.fin_sent = true;
		if (socket.failed || (side == UPSTREAM && socket.connecting)) {
			close(socket.fd);
			socket.fd = -1;
			continue;
		}
		shutdown(socket.fd, SHUT_WR);
		if (side == UPSTREAM) {
			close(socket.fd);
			socket.fd = -1;
		}
	}
	bool upstream_done = connection.side[UPSTREAM].fd < 0;
	if (connection.side[CLIENT].fd < 0) {
		if (upstream_done)
			release(connection);
	} else if (upstream_done && connection.direction[UPSTREAM].fin_sent) {
		connection.phase = Phase::LINGERING;
		connection.deadline_ms = now_ms_ + LINGER_MS_MAX;
		discard_lingering(connection);
	}
}

void Relay::discard_lingering(Connection &connection)
{
	Side &client = connection.side[CLIENT];
	uint8_t discarded[DISCARD_BYTES];
	for (int reads = 0; reads < DISCARD_READS_MAX; reads++) {
		ssize_t got = recv(client.fd, discarded, sizeof(discarded), 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0) {
			release(connection);
			return;
		}
	}
	make_ready(connection, CLIENT);
}

void Relay::abort_connection(Connection &connection)
{
	counters_[COUNT_RESET]++;
	for (Side &side : connection.side) {
		linger option = {.l_onoff = 1, .l_linger = 0};
		if (side.fd >= 0)
			setsockopt(side.fd, SOL_SOCKET, SO_LINGER, &option, sizeof(option));
	}
	release(connection);
}

void Relay::report_closed(Connection &connection, int32_t reason)
{
	if (reason == CLOSED_OVERFLOW)
		counters_[COUNT_OVERFLOW]++;
	notices_.emplace_back(slot_of(connection), reason);
}

/* Closes the files; the slot is used again from the next turn on. */
void Relay::release(Connection &connection)
{
	for (int side = 0; side < 2; side++) {
		if (connection.side[side].fd >= 0)
			close(connection.side[side].fd);
		bool queued = connection.side[side].queued;
		connection.side[side] = {};
		connection.side[side].queued = queued;
		connection.direction[side].held.clear();
		connection.direction[side].queue.clear();
		connection.direction[side].later.clear();
		connection.direction[side].later_bytes = 0;
		connection.direction[side].out_count = 0;
		connection.direction[side].window_length = 0;
	}
	connection.phase = Phase::DEAD;
	connection.generation = (connection.generation + 1) & 0x3fffffff;
	dead_.push_back(slot_of(connection));
	live_--;
}

void Relay::sweep_closing()
{
	next_sweep_ms_ = now_ms_ + SWEEP_MS;
	std::erase_if(closing_, [&](uint32_t slot) {
		Connection &connection = connections_[slot];
		if (connection.phase < Phase::FINISHING || connection.phase > Phase::LINGERING)
			return true;
		if (now_ms_ < connection.deadline_ms)
			return false;
		counters_[COUNT_LINGER_EXPIRED]++;
		abort_connection(connection);
		return true;
	});
}
