/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/*
 * Never loaded. Uses every struct of the prefilter's ABI by value, so that its type information is
 * in the object for host/prefilter/layout.test.ts.
 */
#include "abi/prefilter.h"

struct prefilter_types {
	struct prefilter_leaf leaf;
	struct prefilter_node node;
	struct prefilter_tail tail;
	struct prefilter_settings settings;
	struct prefilter_counters counters;
};

struct prefilter_types prefilter_types = {};
