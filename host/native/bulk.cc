/*
 * Many rows with one call, so large that it is worth another thread: a map filled, or an inner map
 * of a map of maps changed in place.
 */
#include "native.h"

#include <bpf/bpf.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

namespace imker
{

namespace
{

/* A task in another thread. The bytes that it reads live as long as the arrays do. */
class Later : public Napi::AsyncWorker
{
      public:
	Later(const Napi::CallbackInfo &info, const char *call, std::function<int()> task)
	    : Napi::AsyncWorker(info.Env()), deferred_(Napi::Promise::Deferred::New(info.Env())),
	      call_(call), task_(std::move(task))
	{
		Napi::Array arguments = Napi::Array::New(info.Env(), info.Length());
		for (uint32_t index = 0; index < info.Length(); index++)
			arguments.Set(index, info[index]);
		kept_ = Napi::Persistent(arguments.As<Napi::Object>());
	}

	Napi::Value Begin()
	{
		Napi::Promise promise = deferred_.Promise();
		Queue();
		return promise;
	}

	void Execute() override
	{
		error_ = task_();
	}

	void OnOK() override
	{
		if (!error_)
			return deferred_.Resolve(Env().Undefined());
		deferred_.Reject(ErrnoError(Env(), error_, call_).Value());
	}

      private:
	Napi::Promise::Deferred deferred_;
	Napi::ObjectReference kept_;
	const char *call_;
	std::function<int()> task_;
	int error_ = 0;
};

int Upsert(int fd, Bytes keys, Bytes values, uint32_t count)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	return count ? bpf_map_update_batch(fd, keys.data, values.data, &count, &options) : 0;
}

/* Of keys that are not there the rest is deleted all the same. */
int Delete(int fd, Bytes keys, uint32_t total)
{
	LIBBPF_OPTS(bpf_map_batch_opts, options);
	size_t bytes = total ? keys.length / total : 0;
	for (uint32_t done = 0; done < total;) {
		uint32_t count = total - done;
		int error = bpf_map_delete_batch(fd, keys.data + done * bytes, &count, &options);
		if (error && error != -ENOENT)
			return error;
		done += error ? count + 1 : count;
	}
	return 0;
}

/* (fd, keys, values, count) → promise; the arrays must be left alone until it settles */
Napi::Value MapFill(const Napi::CallbackInfo &info)
{
	int fd = FdOf(info, 0);
	Bytes keys = BytesOf(info, 1), values = BytesOf(info, 2);
	uint32_t count = NumberOf(info, 3);
	auto fill = [=] { return Upsert(fd, keys, values, count); };
	return (new Later(info, "fill BPF map", fill))->Begin();
}

/* (outer fd, key, upsert keys, upsert values, how many, delete keys, how many) */
struct Change {
	int outer;
	Bytes key, upsert_keys, upsert_values, delete_keys;
	uint32_t upserts, deletes;

	explicit Change(const Napi::CallbackInfo &info)
	    : outer(FdOf(info, 0)), key(BytesOf(info, 1)), upsert_keys(BytesOf(info, 2)),
	      upsert_values(BytesOf(info, 3)), delete_keys(BytesOf(info, 5)),
	      upserts(NumberOf(info, 4)), deletes(NumberOf(info, 6))
	{
	}

	/* -ENOENT: the outer map has no such inner one. */
	int Run() const
	{
		uint32_t id = 0;
		int error = bpf_map_lookup_elem(outer, key.data, &id);
		if (error)
			return error;
		int inner = bpf_map_get_fd_by_id(id);
		if (inner < 0)
			return inner;
		error = Upsert(inner, upsert_keys, upsert_values, upserts);
		if (!error)
			error = Delete(inner, delete_keys, deletes);
		close(inner);
		return error;
	}
};

constexpr const char *kChange = "change BPF map";

void InnerMapChange(const Napi::CallbackInfo &info)
{
	int error = Change(info).Run();
	if (error)
		ThrowErrno(info.Env(), error, kChange);
}

/* → promise; the arrays must be left alone until it settles */
Napi::Value InnerMapChangeLater(const Napi::CallbackInfo &info)
{
	Change change(info);
	return (new Later(info, kChange, [=] { return change.Run(); }))->Begin();
}

} // namespace

void RegisterBulk(Napi::Env env, Napi::Object exports)
{
	exports.Set("mapFill", Napi::Function::New<MapFill>(env));
	exports.Set("innerMapChange", Napi::Function::New<InnerMapChange>(env));
	exports.Set("innerMapChangeLater", Napi::Function::New<InnerMapChangeLater>(env));
}

} // namespace imker
