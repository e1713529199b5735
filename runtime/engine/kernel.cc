/* The calls of kernel.h. */
#include <linux/bpf.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "failure.h"
#include "kernel.h"

namespace
{
int bpf(bpf_cmd command, bpf_attr *attr)
{
	return static_cast<int>(syscall(SYS_bpf, command, attr, sizeof(*attr)));
}

uint64_t address_of(const void *pointer)
{
	return reinterpret_cast<uint64_t>(pointer);
}
} // namespace

int map_open(const std::string &path)
{
	bpf_attr attr = {};
	attr.pathname = address_of(path.c_str());
	return check(bpf(BPF_OBJ_GET, &attr), "open a pinned map");
}

int map_by_id(uint32_t id)
{
	bpf_attr attr = {};
	attr.map_id = id;
	return check(bpf(BPF_MAP_GET_FD_BY_ID, &attr), "open a map by its id");
}

bool map_lookup(int map, const void *key, void *value)
{
	bpf_attr attr = {};
	attr.map_fd = map;
	attr.key = address_of(key);
	attr.value = address_of(value);
	if (bpf(BPF_MAP_LOOKUP_ELEM, &attr) == 0)
		return true;
	if (errno == ENOENT)
		return false;
	throw Failure("look up in a map", errno);
}

void map_update(int map, const void *key, const void *value)
{
	bpf_attr attr = {};
	attr.map_fd = map;
	attr.key = address_of(key);
	attr.value = address_of(value);
	attr.flags = BPF_ANY;
	check(bpf(BPF_MAP_UPDATE_ELEM, &attr), "update a map");
}

MapSizes map_sizes(int map)
{
	bpf_map_info info = {};
	bpf_attr attr = {};
	attr.info.bpf_fd = map;
	attr.info.info_len = sizeof(info);
	attr.info.info = address_of(&info);
	check(bpf(BPF_OBJ_GET_INFO_BY_FD, &attr), "read what a map is");
	return {info.key_size, info.value_size};
}

uint64_t raise_file_limit()
{
	rlimit limit;
	check(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		check(setrlimit(RLIMIT_NOFILE, &limit), "setrlimit");
	}
	return limit.rlim_cur;
}

void keep_capabilities(const std::vector<int> &capabilities)
{
	__user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	__user_cap_data_struct held[2] = {}, kept[2] = {};
	check(static_cast<int>(syscall(SYS_capget, &header, held)), "capget");
	for (int capability : capabilities)
		kept[capability / 32].effective |= 1u << (capability % 32);
	for (int i = 0; i < 2; i++) {
		kept[i].effective &= held[i].permitted;
		kept[i].permitted = kept[i].effective;
	}
	/* First the bounding set, which needs CAP_SETPCAP itself: nothing can be regained by exec.
	 */
	for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (!(kept[capability / 32].effective >> (capability % 32) & 1))
			prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "set no_new_privs");
	check(static_cast<int>(syscall(SYS_capset, &header, kept)), "capset");
}
