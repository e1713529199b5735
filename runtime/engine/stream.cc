/*
 * Bytes through a connection: reading into the arena or behind what is held, spending pass and drop
 * budgets without the worker, presenting windows, writing with a bounded queue. Back-pressure: a
 * side is not read while its destination has not taken what it was given.
 */
#include <sys/socket.h>
#include <algorithm>
#include <cerrno>
#include "relay.h"

namespace
{
/* One connection may not keep the others waiting: reads of one side in one poll. */
constexpr int READS_MAX = 4;

bool relaying(const Connection &connection)
{
	return connection.phase == Phase::OPEN || connection.phase == Phase::FINISHING;
}
} // namespace

bool Relay::gated(const Connection &connection, int side) const
{
	/* An answer inserted by a call for this side lands in the other direction's queue. */
	return !connection.direction[side].queue.empty() || connection.side[1 - side].failed ||
	       connection.direction[1 - side].queue.size() +
		       connection.direction[1 - side].later_bytes >
		   WINDOW_BYTES_MAX;
}

void Relay::serve(Connection &connection, int side)
{
	if (connection.phase == Phase::LINGERING) {
		if (side == CLIENT)
			discard_lingering(connection);
		return;
	}
	if (connection.phase == Phase::FINISHING) {
		if (side == UPSTREAM)
			finish_for_client(connection);
		else if (connection.side[CLIENT].failed)
			start_closing(connection);
		return;
	}
	if (connection.phase != Phase::OPEN)
		return;
	Direction &direction = connection.direction[side];
	Side &socket = connection.side[side];
	if (direction.ended) {
		/* It sent FIN long ago; now it is gone altogether. */
		if (socket.failed)
			side_failed(connection, side);
		return;
	}
	if (direction.presented)
		return;
	if (!direction.source_ended && direction.held.size() < WINDOW_BYTES_MAX) {
		if (gated(connection, side)) {
			if (socket.failed)
				side_failed(connection, side);
			return;
		}
		if (socket.readable)
			read_side(connection, side);
	}
	if (connection.phase != Phase::OPEN || direction.presented)
		return;
	if (direction.source_ended) {
		if (direction.rest)
			end_direction(connection, side);
		else
			present(connection, side);
	} else if (socket.failed && !socket.readable) {
		side_failed(connection, side);
	} else if (!direction.held.empty() && direction.held.size() >= direction.need) {
		present(connection, side);
	} else if (socket.readable) {
		make_ready(connection, side);
	}
}

/* Reads until the socket is empty, a window is presented or the share of this poll is used up. */
void Relay::read_side(Connection &connection, int side)
{
	Direction &direction = connection.direction[side];
	Side &socket = connection.side[side];
	for (int reads = 0; reads < READS_MAX; reads++) {
		bool behind = !direction.held.empty();
		uint32_t wanted = behind ? WINDOW_BYTES_MAX - direction.held.size()
					 : std::min(room(), WINDOW_BYTES_MAX);
		/* Held bytes are waiting for a known number: no need to reserve room for more. */
		if (behind && direction.need > direction.held.size())
			wanted = std::min(wanted,
					  std::max(direction.need - direction.held.size(), 16384u));
		if (wanted == 0)
			return;
		uint8_t *into =
		    behind ? direction.held.reserve(wanted) : options_.arena + arena_used_;
		ssize_t got = recv(socket.fd, into, wanted, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0) {
			socket.readable = false;
			if (got == 0 && !socket.failed)
				direction.source_ended = true;
			else if (got < 0 && errno != EAGAIN)
				socket.failed = true;
			return;
		}
		uint32_t length = static_cast<uint32_t>(got);
		/* A short read emptied the socket; what comes later is a new edge. */
		if (length < wanted && !socket.hung_up)
			socket.readable = false;
		if (behind) {
			direction.held.commit(length);
			if (direction.held.size() >= direction.need && !socket.hung_up)
				return;
		} else if (!take(connection, side, into, length)) {
			return;
		}
		if (!socket.readable)
			return;
	}
}

/* Bytes just read into the arena. False: no more reading for this side in this poll. */
bool Relay::take(Connection &connection, int side, uint8_t *bytes, uint32_t length)
{
	Direction &direction = connection.direction[side];
	uint32_t spent = spend_budgets(connection, side, bytes, length);
	uint32_t left = length - spent;
	bool whole = left >= direction.need && !connection.side[side].hung_up;
	if (left == 0 || !whole || connection.phase != Phase::OPEN) {
		send_out(connection, side);
		if (left > 0 && connection.phase == Phase::OPEN)
			direction.held.append(bytes + spent, left);
		return relaying(connection) && !gated(connection, side);
	}
	direction.window_offset = arena_used_ + spent;
	direction.window_length = left;
	direction.from_held = false;
	/* Cache lines are not shared between the windows of different connections. */
	arena_used_ = std::min((arena_used_ + length + 63) & ~63u, options_.arena_bytes);
	direction.presented = true;
	direction.end = END_OPEN;
	presented_.push_back(slot_of(connection) << 1 | side);
	push_event(EVENT_DATA | side << 8, slot_of(connection), direction.window_offset, left);
	return false;
}

uint32_t Relay::spend_budgets(Connection &connection, int side, uint8_t *bytes, uint32_t length)
{
	Direction &direction = connection.direction[side];
	uint32_t spent = 0;
	while (spent < length) {
		uint64_t here = length - spent;
		if (direction.drop_budget > 0) {
			here = std::min(direction.drop_budget, here);
			direction.drop_budget -= here;
		} else if (direction.pass_budget > 0 || direction.rest) {
			if (!direction.rest) {
				here = std::min(direction.pass_budget, here);
				direction.pass_budget -= here;
			}
			forward(connection, side, bytes + spent, static_cast<uint32_t>(here));
		} else {
			break;
		}
		spent += static_cast<uint32_t>(here);
		if (!direction.later.empty())
			next_steps(connection, side);
	}
	return spent;
}

/* A budget may have ended: what was to follow it begins. */
void Relay::next_steps(Connection &connection, int side)
{
	Direction &direction = connection.direction[side];
	while (direction.drop_budget == 0 && direction.pass_budget == 0 &&
	       !direction.later.empty()) {
		Step step = std::move(direction.later.front());
		direction.later.pop_front();
		if (step.code == OPERATION_PASS) {
			direction.pass_budget = step.length;
		} else if (step.code == OPERATION_DROP) {
			direction.drop_budget = step.length;
		} else if (step.code == OPERATION_REST) {
			direction.rest = true;
		} else {
			direction.later_bytes -= static_cast<uint32_t>(step.length);
			forward(connection, side, step.bytes.get(),
				static_cast<uint32_t>(step.length));
			/* The bytes go with the step. */
			send_out(connection, side);
			if (connection.side[1 - side].readable)
				make_ready(connection, 1 - side);
		}
	}
}

/* No more bytes will come: unfinished budgets end, what was inserted behind them is due. */
void Relay::cut_budgets(Connection &connection, int side)
{
	Direction &direction = connection.direction[side];
	while (direction.budgeted() && connection.phase != Phase::DEAD) {
		direction.drop_budget = direction.pass_budget = 0;
		next_steps(connection, side);
	}
}

/* Bytes of the plugin's own, behind everything that was forwarded or is certain to be. */
void Relay::insert(Connection &connection, int direction, const uint8_t *bytes, uint32_t length)
{
	Direction &way = connection.direction[direction];
	if (way.rest || (way.pass_budget == 0 && way.later.empty())) {
		forward(connection, direction, bytes, length);
		return;
	}
	if (way.queue.size() + way.later_bytes + length > QUEUE_BYTES_MAX) {
		abort_connection(connection);
		report_closed(connection, CLOSED_OVERFLOW);
		return;
	}
	auto copy = std::make_unique<uint8_t[]>(length);
	memcpy(copy.get(), bytes, length);
	way.later.push_back({OPERATION_INJECT, length, std::move(copy)});
	way.later_bytes += length;
}

/*
 * Presents what is held together with the end of the stream, if it came. False: no room in this
 * poll; the side stays in the ready list.
 */
bool Relay::present(Connection &connection, int side)
{
	Direction &direction = connection.direction[side];
	if ((connection.side[side].failed || direction.source_ended) && direction.budgeted()) {
		cut_budgets(connection, side);
		if (connection.phase == Phase::DEAD)
			return false;
		if (direction.rest) {
			serve(connection, side);
			return false;
		}
	}
	uint32_t length = direction.held.size();
	if (room() < length || event_count_ >= options_.events_max) {
		make_ready(connection, side);
		return false;
	}
	int32_t end = END_OPEN;
	if (connection.side[side].failed)
		end = connection.unreachable && side == UPSTREAM ? END_UNREACHABLE : END_FAILED;
	else if (direction.source_ended)
		end = END_CLOSED;
	if (length > 0)
		memcpy(options_.arena + arena_used_, direction.held.data(), length);
	direction.window_offset = arena_used_;
	direction.window_length = length;
	direction.from_held = true;
	arena_used_ = std::min((arena_used_ + length + 63) & ~63u, options_.arena_bytes);
	direction.presented = true;
	direction.end = end;
	presented_.push_back(slot_of(connection) << 1 | side);
	push_event(EVENT_DATA | side << 8 | end << 16, slot_of(connection), direction.window_offset,
		   length);
	return true;
}

/* PASS, DROP or REST at the first unconsumed byte; what reaches past the window is a budget. */
void Relay::consume_window(Connection &connection, const int32_t *operation)
{
	int side = operation[0] >> 8 & 1;
	Direction &direction = connection.direction[side];
	int32_t code = operation[0] & 0xff;
	uint64_t wanted = static_cast<uint32_t>(operation[2]) |
			  static_cast<uint64_t>(static_cast<uint32_t>(operation[3])) << 32;
	if (direction.budgeted()) {
		direction.later.push_back({code, wanted, nullptr});
		return;
	}
	if (code == OPERATION_REST && !direction.presented && !direction.held.empty()) {
		/* Asked for outside a call: what is held no longer waits for more. */
		forward(connection, side, direction.held.data(), direction.held.size());
		send_out(connection, side);
		direction.held.clear();
		make_ready(connection, side);
	}
	uint32_t here = direction.window_length;
	if (code != OPERATION_REST && wanted < here)
		here = static_cast<uint32_t>(wanted);
	if (code != OPERATION_DROP && here > 0)
		forward(connection, side, options_.arena + direction.window_offset, here);
	direction.window_offset += here;
	direction.window_length -= here;
	if (direction.from_held && here > 0)
		direction.held.consume(here);
	if (code == OPERATION_REST)
		direction.rest = true;
	else if (code == OPERATION_PASS)
		direction.pass_budget = wanted - here;
	else
		direction.drop_budget = wanted - here;
}

/* End of the turn for one window: keep what is left of it and look whether more can be read. */
void Relay::settle_window(Connection &connection, int side)
{
	Direction &direction = connection.direction[side];
	direction.presented = false;
	bool need_given = direction.need_given;
	direction.need_given = false;
	if (connection.phase != Phase::OPEN) {
		direction.window_length = 0;
		return;
	}
	uint32_t left = direction.window_length;
	direction.window_length = 0;
	if (direction.end == END_CLOSED) {
		/* Unconsumed bytes will never become more; they are not forwarded either. */
		direction.held.clear();
		end_direction(connection, side);
		return;
	}
	if (direction.end != END_OPEN) {
		abort_connection(connection);
		report_closed(connection, CLOSED_RESET);
		return;
	}
	if (left > 0 && !direction.from_held)
		direction.held.append(options_.arena + direction.window_offset, left);
	if (!need_given)
		direction.need = left + 1;
	if (left >= WINDOW_BYTES_MAX) {
		abort_connection(connection);
		report_closed(connection, CLOSED_OVERFLOW);
		return;
	}
	Side &socket = connection.side[side];
	if (socket.readable || socket.failed || direction.source_ended)
		make_ready(connection, side);
}

/* Bytes for the destination, in order; they must stay where they are until send_out(). */
void Relay::forward(Connection &connection, int direction, const uint8_t *bytes, uint32_t length)
{
	Direction &way = connection.direction[direction];
	if (length == 0 || way.fin_sent)
		return;
	if (way.out_count > 0) {
		iovec &last = way.out[way.out_count - 1];
		if (static_cast<const uint8_t *>(last.iov_base) + last.iov_len == bytes) {
			last.iov_len += length;
			return;
		}
		if (way.out_count == OUT_SEGMENTS_MAX)
			send_out(connection, direction);
	}
	way.out[way.out_count++] = {const_cast<uint8_t *>(bytes), length};
	if (!way.touched) {
		way.touched = true;
		touched_.push_back(slot_of(connection) << 1 | direction);
	}
}

void Relay::send_out(Connection &connection, int direction)
{
	Direction &way = connection.direction[direction];
	Side &to = connection.side[1 - direction];
	way.touched = false;
	if (way.out_count > 0 && to.fd >= 0 && !to.failed) {
		uint32_t total = 0;
		for (int i = 0; i < way.out_count; i++)
			total += way.out[i].iov_len;
		ssize_t sent = 0;
		if (!to.connecting && way.queue.empty()) {
			msghdr message = {.msg_iov = way.out.data(), .msg_iovlen = way.out_count};
			sent = way.out_count == 1
				   ? send(to.fd, way.out[0].iov_base, total, MSG_NOSIGNAL)
				   : sendmsg(to.fd, &message, MSG_NOSIGNAL);
		}
		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			to.failed = to.readable = true;
			make_ready(connection, 1 - direction);
		} else if (sent < static_cast<ssize_t>(total)) {
			enqueue(connection, direction, sent < 0 ? 0 : sent);
		}
		counters_[COUNT_REQUEST_BYTES + direction] += total;
	}
	way.out_count = 0;
	if (connection.phase == Phase::CLOSING)
		advance_close(connection);
}

/* Copies the segments behind their first `skip` bytes to the queue. */
void Relay::enqueue(Connection &connection, int direction, uint32_t skip)
{
	Direction &way = connection.direction[direction];
	bool was_empty = way.queue.empty();
	for (int i = 0; i < way.out_count; i++) {
		uint32_t length = way.out[i].iov_len;
		uint32_t passed_over = std::min(skip, length);
		skip -= passed_over;
		if (way.queue.size() + (length - passed_over) > QUEUE_BYTES_MAX) {
			abort_connection(connection);
			report_closed(connection, CLOSED_OVERFLOW);
			return;
		}
		way.queue.append(static_cast<uint8_t *>(way.out[i].iov_base) + passed_over,
				 length - passed_over);
	}
	/* A short write does not promise an edge; only EAGAIN does. */
	if (was_empty && !connection.side[1 - direction].connecting)
		drain_queue(connection, direction);
}

void Relay::drain_queue(Connection &connection, int direction)
{
	Direction &way = connection.direction[direction];
	Side &to = connection.side[1 - direction];
	if (way.queue.empty() || to.failed)
		return;
	uint32_t before = way.queue.size();
	while (!way.queue.empty()) {
		ssize_t sent = send(to.fd, way.queue.data(), way.queue.size(), MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0) {
			if (errno == EAGAIN)
				break;
			way.queue.clear();
			to.failed = to.readable = true;
			make_ready(connection, 1 - direction);
			break;
		}
		way.queue.consume(static_cast<uint32_t>(sent));
	}
	if (way.queue.empty() && way.ended)
		send_fin(connection, direction);
	if (way.queue.size() == before)
		return;
	if (connection.phase != Phase::OPEN)
		connection.deadline_ms = now_ms_ + DRAIN_MS_MAX;
	if (!relaying(connection))
		return;
	for (int side = 0; side < 2; side++)
		if (connection.side[side].readable || connection.side[side].failed)
			make_ready(connection, side);
}
