/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Never loaded. Uses every struct of the ABI by value, so that its type information is in the
 * object for host/datapath/abi.test.ts: clang leaves out what programs reach by pointer only.
 */
#include "abi/abi.h"

struct abi_types {
	struct ipcache_key ipcache_key;
	struct ipcache_value ipcache_value;
	struct endpoint endpoint;
	struct policy_key policy_key;
	struct policy_value policy_value;
	struct tuple tuple;
	struct fragment_key fragment_key;
	struct fragment_value fragment_value;
	struct ct_value ct_value;
	struct handoff handoff;
	struct config config;
	struct proxy_config proxy_config;
	struct event event;
	struct metrics_key metrics_key;
	struct metrics_value metrics_value;
};

struct abi_types abi_types = {};
