/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
/* The Internet's checksum (RFC 1071) of packets that programs write. */
#ifndef IMKER_CHECKSUM_H
#define IMKER_CHECKSUM_H

#include "lib/kernel.h"

/* Of a sum as bpf_csum_diff gives it. */
static __always_inline __sum16 checksum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

#endif
