/* Maps by file descriptor: create, look up, update, delete, walk, in batches where that helps. */
#include "native.h"

#include <bpf/bpf.h>

#include <cerrno>

namespace imker
{

namespace
{

/* (type, name, keyBytes, valueBytes, entries, flags) → fd */
Napi::Value MapCreate(const Napi::CallbackInfo &info)
{
	LIBBPF_OPTS(bpf_map_create_opts, options);
	options.map_flags = NumberOf(info, 5);
	int fd =
	    bpf_map_create(static_cast<bpf_map_type>(NumberOf(info, 0)), TextOf(info, 1).c_str(),
			   NumberOf(info, 2), NumberOf(info, 3), NumberOf(info, 4), &options);
	if (fd < 0)
		ThrowErrno(info.Env(), fd, "create BPF map");
	return Napi::Number::New(info.Env(), fd);
}

/* (fd, key, value) → was it there; value is filled (per-CPU maps: one value per possible CPU) */
Napi::Value MapLookup(const Napi::CallbackInfo &info)
{
	int error =
	    bpf_map_lookup_elem(FdOf(info, 0), BytesOf(info, 1).data, BytesOf(info, 2).data);
	if (error && error != -ENOENT)
		ThrowErrno(info.Env(), error, "look up BPF map entry");
	return Napi::Boolean::New(info.Env(), !error);
}

/* (fd, key, value, flags) */
void MapUpdate(const Napi::CallbackInfo &info)
{
	int error = bpf_map_update_elem(FdOf(info, 0), BytesOf(info, 1).data, BytesOf(info, 2).data,
					NumberOf(info, 3));
	if (error)
		ThrowErrno(info.Env(), error, "update BPF map entry");
}

/* (fd, keys, values, count): a new trie or hash is filled with one call */
void MapUpdateBatch(const Napi::CallbackInfo &info)
{
	uint32_t count = NumberOf(info, 3);
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	int error = bpf_map_update_batch(FdOf(info, 0), BytesOf(info, 1).data,
					 BytesOf(info, 2).data, &count, &options);
	if (error)
		ThrowErrno(info.Env(), error, "update BPF map");
}

/* (fd, key) → was it there */
Napi::Value MapDelete(const Napi::CallbackInfo &info)
{
	int error = bpf_map_delete_elem(FdOf(info, 0), BytesOf(info, 1).data);
	if (error && error != -ENOENT)
		ThrowErrno(info.Env(), error, "delete BPF map entry");
	return Napi::Boolean::New(info.Env(), !error);
}

/* (fd, key | null, next) → is there one; next is filled */
Napi::Value MapNextKey(const Napi::CallbackInfo &info)
{
	int error = bpf_map_get_next_key(FdOf(info, 0), OptionalBytesOf(info, 1).data,
					 BytesOf(info, 2).data);
	if (error && error != -ENOENT)
		ThrowErrno(info.Env(), error, "walk BPF map");
	return Napi::Boolean::New(info.Env(), !error);
}

/*
 * (fd, cursor | null, nextCursor, keys, values, count) → entries read; the last batch is the one
 * with fewer than count. Hash maps only. A cursor is 4 bytes.
 */
Napi::Value MapLookupBatch(const Napi::CallbackInfo &info)
{
	uint32_t count = NumberOf(info, 5);
	uint32_t asked = count;
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	int error = bpf_map_lookup_batch(FdOf(info, 0), OptionalBytesOf(info, 1).data,
					 BytesOf(info, 2).data, BytesOf(info, 3).data,
					 BytesOf(info, 4).data, &count, &options);
	if (error && error != -ENOENT)
		ThrowErrno(info.Env(), error, "read BPF map");
	Napi::Object result = Napi::Object::New(info.Env());
	result.Set("count", Napi::Number::New(info.Env(), count > asked ? asked : count));
	result.Set("last", Napi::Boolean::New(info.Env(), error == -ENOENT));
	return result;
}

/* (id) → fd */
Napi::Value MapById(const Napi::CallbackInfo &info)
{
	int fd = bpf_map_get_fd_by_id(NumberOf(info, 0));
	if (fd < 0)
		ThrowErrno(info.Env(), fd, "open BPF map by id");
	return Napi::Number::New(info.Env(), fd);
}

/* (fd) → {id, type, keyBytes, valueBytes, entries, flags} */
Napi::Value MapInfo(const Napi::CallbackInfo &info)
{
	bpf_map_info map = {};
	uint32_t length = sizeof(map);
	int error = bpf_obj_get_info_by_fd(FdOf(info, 0), &map, &length);
	if (error)
		ThrowErrno(info.Env(), error, "describe BPF map");
	Napi::Object result = Napi::Object::New(info.Env());
	result.Set("id", Napi::Number::New(info.Env(), map.id));
	result.Set("type", Napi::Number::New(info.Env(), map.type));
	result.Set("keyBytes", Napi::Number::New(info.Env(), map.key_size));
	result.Set("valueBytes", Napi::Number::New(info.Env(), map.value_size));
	result.Set("entries", Napi::Number::New(info.Env(), map.max_entries));
	result.Set("flags", Napi::Number::New(info.Env(), map.map_flags));
	return result;
}

} // namespace

void RegisterMap(Napi::Env env, Napi::Object exports)
{
	exports.Set("mapCreate", Napi::Function::New<MapCreate>(env));
	exports.Set("mapLookup", Napi::Function::New<MapLookup>(env));
	exports.Set("mapUpdate", Napi::Function::New<MapUpdate>(env));
	exports.Set("mapUpdateBatch", Napi::Function::New<MapUpdateBatch>(env));
	exports.Set("mapDelete", Napi::Function::New<MapDelete>(env));
	exports.Set("mapNextKey", Napi::Function::New<MapNextKey>(env));
	exports.Set("mapLookupBatch", Napi::Function::New<MapLookupBatch>(env));
	exports.Set("mapById", Napi::Function::New<MapById>(env));
	exports.Set("mapInfo", Napi::Function::New<MapInfo>(env));
}

} // namespace imker
