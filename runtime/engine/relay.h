/*
 * Relay is one worker's share of the data plane: its listeners, its connections and the epoll set
 * they are in. poll() turns readiness into events, execute() carries out the worker's operations,
 * finish_turn() writes and tidies up. Split by concern: relay.cc (the turn), accept.cc (listeners
 * and upstream sockets), stream.cc (reading, budgets, writing), ending.cc (FIN, RST, lingering),
 * records.cc (the stream to the agent). Not thread-safe; one thread has one.
 */
#pragma once
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/uio.h>
#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>
#include "bytes.h"
#include "fd.h"
#include "protocol.h"

constexpr int CLIENT = 0, UPSTREAM = 1;
constexpr uint32_t OUT_SEGMENTS_MAX = 8;
/* Of a connection being closed: a peer that takes or gives nothing for so long loses the rest. */
constexpr int64_t DRAIN_MS_MAX = 30000;

/* Keys of the epoll set: connections carry generation << 33 | slot << 1 | side. */
constexpr uint64_t KEY_OTHER = 1ULL << 63;
constexpr uint64_t KEY_WAKE = KEY_OTHER;
constexpr uint64_t KEY_RECORDS = KEY_OTHER | 1;
constexpr uint64_t KEY_AGENT = KEY_OTHER | 2;
constexpr uint64_t KEY_LISTENER = KEY_OTHER | 16;

enum class Phase : uint8_t {
	FREE,
	OPEN,
	FINISHING, /* to be closed, but the client is still owed bytes that upstream has not sent */
	CLOSING,   /* writing what is left for both sides, reading nothing */
	LINGERING, /* all written and FIN sent; reads and discards until the client is done */
	DEAD,      /* files closed; the slot is free again in the next turn */
};

/* One socket. Side s is the source of direction s and the destination of direction 1 - s. */
struct Side {
	int fd = -1;
	bool connecting = false;
	bool readable = false; /* an edge was seen and not read to its end */
	bool hung_up = false;  /* FIN or error seen: read until 0 or an error */
	bool failed = false;   /* RST, or a write to it failed, or it was never reached */
	bool queued = false;   /* in the ready list */
};

/* What follows the budget in course: more of them, or bytes inserted behind it. */
struct Step {
	int32_t code = 0; /* OPERATION_PASS, _DROP, _REST or _INJECT */
	uint64_t length = 0;
	std::unique_ptr<uint8_t[]> bytes;
};

struct Direction {
	Bytes held;  /* unconsumed, kept from earlier turns; empty while a budget lasts */
	Bytes queue; /* forwarded, not taken by the destination yet */
	uint64_t drop_budget = 0;
	uint64_t pass_budget = 0; /* at most one of the two is not 0 */
	std::deque<Step> later;
	uint32_t later_bytes = 0; /* of inserted bytes in `later` */
	uint32_t need = 1;        /* call the worker when so many bytes are held */
	uint32_t window_offset = 0;
	uint32_t window_length = 0;
	int32_t end = END_OPEN; /* what the last event said */
	bool rest = false;
	bool presented = false;    /* the worker has a window of this turn */
	bool from_held = false;    /* that window is a copy of `held` */
	bool need_given = false;   /* by an operation of this turn */
	bool source_ended = false; /* FIN read */
	bool ended = false;        /* nothing more will be forwarded */
	bool fin_sent = false;
	bool touched = false;
	uint8_t out_count = 0;
	std::array<iovec, OUT_SEGMENTS_MAX> out;

	bool budgeted() const
	{
		return drop_budget > 0 || pass_budget > 0 || !later.empty();
	}

	/* As for a new connection. */
	void reset()
	{
		held.clear();
		queue.clear();
		later.clear();
		drop_budget = pass_budget = later_bytes = 0;
		need = 1;
		window_offset = window_length = 0;
		end = END_OPEN;
		rest = presented = from_held = need_given = false;
		source_ended = ended = fin_sent = touched = false;
		out_count = 0;
	}
};

struct Connection {
	Phase phase = Phase::FREE;
	bool unreachable = false;
	uint32_t generation = 0;
	int64_t deadline_ms = 0;
	Side side[2];
	Direction direction[2];
};

struct Listener {
	Fd fd;
	bool transparent = false;
	sockaddr_storage upstream = {}; /* where a static listener relays to */
	Facts facts = {};               /* what a static listener tells of every connection */
};

struct RelayOptions {
	uint8_t *arena;
	uint32_t arena_bytes;
	int32_t *events; /* EVENT_HEADER, then quadruples */
	uint32_t events_max;
	const uint8_t *inject;
	uint32_t inject_bytes;
	uint32_t connections_max;
	int handoff_map; /* borrowed; -1 without a datapath */
};

class Relay
{
      public:
	explicit Relay(const RelayOptions &options);
	~Relay();
	Relay(const Relay &) = delete;
	Relay &operator=(const Relay &) = delete;

	/* Waits at most `timeout_ms` (not at all if work is left); returns the number of events. */
	uint32_t poll(int timeout_ms);
	/* Carries out `count` quadruples. Operations on a slot that is gone are ignored. */
	void execute(const int32_t *operations, uint32_t count);
	/* Writes everything forwarded; windows end here, what is left of them is kept. */
	void finish_turn();

	int listen_transparent(bool ipv6);
	int listen_static(const sockaddr_storage &at, const sockaddr_storage &upstream,
			  const Facts &facts);
	void stop_listening();
	void listen_records(const std::string &path);
	void close_records();
	/* False: nobody reads, or too slowly; the frames are lost. */
	bool write_records(const uint8_t *frames, uint32_t length);

	int wake_fd() const
	{
		return wake_.get();
	}
	uint32_t live() const
	{
		return live_;
	}
	const std::array<uint64_t, COUNTERS> &counters() const
	{
		return counters_;
	}
	/* Bytes in buffers of connections now. */
	uint64_t buffered() const;

      private:
	/* relay.cc */
	void dispatch(const epoll_event &event);
	void serve_ready();
	void make_ready(Connection &connection, int side);
	void push_event(int32_t word, uint32_t slot, int32_t a, int32_t b);
	uint32_t room() const
	{
		return options_.arena_bytes - arena_used_;
	}
	uint32_t slot_of(const Connection &connection) const;
	void watch(int fd, uint32_t events, uint64_t key);

	/* accept.cc */
	void add_listener(Listener listener);
	void accept_from(uint32_t index);
	bool admit(Listener &listener, int client, const sockaddr_storage &peer);
	int connect_upstream(const Listener &listener, const sockaddr_storage &upstream,
			     const sockaddr_storage &client, const Facts &facts);
	void refuse_one(int listener);

	/* stream.cc */
	void serve(Connection &connection, int side);
	void read_side(Connection &connection, int side);
	bool take(Connection &connection, int side, uint8_t *bytes, uint32_t length);
	bool present(Connection &connection, int side);
	bool gated(const Connection &connection, int side) const;
	uint32_t spend_budgets(Connection &connection, int side, uint8_t *bytes, uint32_t length);
	void forward(Connection &connection, int direction, const uint8_t *bytes, uint32_t length);
	void send_out(Connection &connection, int direction);
	void enqueue(Connection &connection, int direction, uint32_t skip);
	void drain_queue(Connection &connection, int direction);
	void settle_window(Connection &connection, int direction);
	void insert(Connection &connection, int direction, const uint8_t *bytes, uint32_t length);
	void next_steps(Connection &connection, int direction);
	void cut_budgets(Connection &connection, int direction);
	void consume_window(Connection &connection, const int32_t *operation);

	/* ending.cc */
	void writable(Connection &connection, int side);
	void end_direction(Connection &connection, int direction);
	void send_fin(Connection &connection, int direction);
	void side_failed(Connection &connection, int side);
	void begin_close(Connection &connection);
	void start_closing(Connection &connection);
	void finish_for_client(Connection &connection);
	void advance_close(Connection &connection);
	void discard_lingering(Connection &connection);
	void abort_connection(Connection &connection);
	void report_closed(Connection &connection, int32_t reason);
	void release(Connection &connection);
	void sweep_closing();

	/* records.cc */
	void accept_agent();
	void serve_agent(uint32_t events);
	bool drain_records();
	void drop_agent();

	RelayOptions options_;
	std::array<uint64_t, COUNTERS> counters_ = {};
	Fd epoll_, wake_, spare_;
	std::vector<Listener> listeners_;
	std::unique_ptr<Connection[]> connections_;
	std::vector<uint32_t> free_, dead_, closing_, presented_, touched_, ready_, serving_;
	std::vector<std::pair<uint32_t, int32_t>> notices_;
	uint32_t live_ = 0;
	uint32_t arena_used_ = 0;
	uint32_t event_count_ = 0;
	int64_t now_ms_ = 0;
	int64_t next_sweep_ms_ = 0;
	bool turn_open_ = false;

	Fd records_, agent_;
	ino_t records_inode_ = 0;
	std::string records_path_;
	Bytes record_queue_;
};
