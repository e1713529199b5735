/*
 * What the engine and the worker loop say to each other through shared memory; protocol.ts beside
 * this file is the same in TypeScript, and engine.test.ts compares the two. Events and operations
 * are quadruples of int32: [code | direction << 8 | detail << 16, slot, a, b].
 */
#pragma once
#include <cstdint>

/* Events. Data always starts at the first unconsumed byte of its direction. */
enum : int32_t {
	EVENT_ACCEPT = 1, /* a: offset of struct Facts in the arena */
	EVENT_DATA = 2,   /* a: offset in the arena, b: length; detail: END_* */
	EVENT_CLOSED = 3, /* over without an operation of the worker; a: CLOSED_* */
	EVENT_WAKE = 4,   /* somebody wrote to the wake-up eventfd */
	EVENT_AGENT = 5,  /* a: 1 a reader of the records came, 0 it left */
};

enum : int32_t { END_OPEN = 0, END_CLOSED = 1, END_FAILED = 2, END_UNREACHABLE = 3 };
enum : int32_t { CLOSED_FINISHED = 0, CLOSED_RESET = 1, CLOSED_OVERFLOW = 2 };

/* Operations; the direction is that of the call, of INJECT that in which the bytes travel. */
enum : int32_t {
	OPERATION_PASS = 1,   /* a, b: low and high half of the number of bytes */
	OPERATION_DROP = 2,   /* a, b: as above */
	OPERATION_NEED = 3,   /* a: call again when so many unconsumed bytes are there */
	OPERATION_REST = 4,   /* forward everything from here on */
	OPERATION_INJECT = 5, /* a: offset in the inject area, b: length */
	OPERATION_CLOSE = 6,  /* orderly, after everything written so far */
	OPERATION_RESET = 7,  /* RST to both sides, at once */
};

/* The first quadruple of the event array: [events, time low, time high, 0]; nanoseconds. */
constexpr uint32_t EVENT_HEADER = 4;

struct Facts {
	uint8_t source[16];
	uint8_t destination[16];
	uint32_t source_port;
	uint32_t destination_port;
	uint32_t source_identity;
	uint32_t destination_identity;
	uint32_t egress_rules;
	uint32_t ingress_rules;
	uint32_t egress_endpoint;
	uint32_t ingress_endpoint;
	uint32_t egress_cookie;
	uint32_t ingress_cookie;
};

/* Unconsumed bytes of one direction, and so the most a plugin may ask to see at once. */
constexpr uint32_t WINDOW_BYTES_MAX = 192 << 10;
/* Bytes one call may insert. */
constexpr uint32_t INJECT_BYTES_MAX = 64 << 10;
/* Bytes for a receiver that does not take them: what one window and one call can add up to. */
constexpr uint32_t QUEUE_BYTES_MAX = WINDOW_BYTES_MAX + INJECT_BYTES_MAX;
/* Record bytes the agent did not take yet; more are lost and counted. */
constexpr uint32_t RECORD_QUEUE_BYTES_MAX = 1 << 20;

/* Counters, in the order of `counters()`. */
enum Counter {
	COUNT_ACCEPTED,
	COUNT_REFUSED_FULL,   /* no slot or no file descriptor left */
	COUNT_NO_HANDOFF,     /* the datapath left no row for it */
	COUNT_PORT_CHANGED,   /* upstream could not keep the client's port */
	COUNT_UNREACHABLE,    /* upstream refused or never answered */
	COUNT_RESET,          /* closed by RST from either side */
	COUNT_OVERFLOW,       /* closed because a queue would have passed its limit */
	COUNT_LINGER_EXPIRED, /* closing took too long */
	COUNT_REQUEST_BYTES,
	COUNT_RESPONSE_BYTES,
	COUNTERS,
};
