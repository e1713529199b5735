/*
 * System calls that neither Node nor Deno offers: bpf(2) on pinned maps, capabilities, the file
 * limit. As thin as the calls themselves; throws Failure.
 */
#pragma once
#include <cstdint>
#include <string>
#include <vector>

int map_open(const std::string &path);
int map_by_id(uint32_t id);
/* False: no such key. Key and value must have the map's sizes. */
bool map_lookup(int map, const void *key, void *value);
void map_update(int map, const void *key, const void *value);
/* Key and value size in bytes of a map, so that a caller cannot be made to overrun a buffer. */
struct MapSizes {
	uint32_t key;
	uint32_t value;
};
MapSizes map_sizes(int map);

/* Raises the soft limit of open files to the hard one; returns it. */
uint64_t raise_file_limit();
/* Keeps only these capabilities in this thread and in threads it starts from now on. */
void keep_capabilities(const std::vector<int> &capabilities);
