/* One opened BPF object file: maps are given their pinned file descriptors before it is loaded. */
#include "native.h"

#include <bpf/libbpf.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace imker
{

namespace
{

constexpr size_t kVerifierLogBytes = 1 << 20;

class BpfObject : public Napi::ObjectWrap<BpfObject>
{
      public:
	static Napi::Function Define(Napi::Env env)
	{
		return DefineClass(env, "BpfObject",
				   {InstanceMethod<&BpfObject::ReuseMap>("reuseMap"),
				    InstanceMethod<&BpfObject::Load>("load"),
				    InstanceMethod<&BpfObject::MapFd>("mapFd"),
				    InstanceMethod<&BpfObject::ProgramFd>("programFd"),
				    InstanceMethod<&BpfObject::Close>("close")});
	}

	explicit BpfObject(const Napi::CallbackInfo &info)
	    : Napi::ObjectWrap<BpfObject>(info), log_(kVerifierLogBytes)
	{
		LIBBPF_OPTS(bpf_object_open_opts, options);
		options.kernel_log_buf = log_.data();
		options.kernel_log_size = log_.size();
		object_ = bpf_object__open_file(TextOf(info, 0).c_str(), &options);
		if (!object_)
			ThrowErrno(info.Env(), errno, "open BPF object");
	}

	~BpfObject() override
	{
		bpf_object__close(object_);
	}

      private:
	void RequireOpen(Napi::Env env)
	{
		if (!object_)
			ThrowErrno(env, EBADF, "use BPF object");
	}

	/*
	 * (name, fd) → does the object use such a map; then it is the existing one behind fd, which
	 * stays the caller's
	 */
	Napi::Value ReuseMap(const Napi::CallbackInfo &info)
	{
		RequireOpen(info.Env());
		bpf_map *map = bpf_object__find_map_by_name(object_, TextOf(info, 0).c_str());
		if (!map)
			return Napi::Boolean::New(info.Env(), false);
		int error = bpf_map__reuse_fd(map, FdOf(info, 1));
		if (error)
			ThrowErrno(info.Env(), error, "reuse BPF map");
		return Napi::Boolean::New(info.Env(), true);
	}

	void Load(const Napi::CallbackInfo &info)
	{
		RequireOpen(info.Env());
		int error = bpf_object__load(object_);
		log_.back() = 0;
		if (error)
			ThrowErrno(info.Env(), error, "load BPF object", log_.data());
		log_ = std::vector<char>(1);
	}

	/* The object's descriptor: valid until close. */
	Napi::Value MapFd(const Napi::CallbackInfo &info)
	{
		RequireOpen(info.Env());
		int fd = bpf_object__find_map_fd_by_name(object_, TextOf(info, 0).c_str());
		if (fd < 0)
			ThrowErrno(info.Env(), fd, "find BPF map");
		return Napi::Number::New(info.Env(), fd);
	}

	Napi::Value ProgramFd(const Napi::CallbackInfo &info)
	{
		RequireOpen(info.Env());
		bpf_program *program =
		    bpf_object__find_program_by_name(object_, TextOf(info, 0).c_str());
		int fd = program ? bpf_program__fd(program) : -ENOENT;
		if (fd < 0)
			ThrowErrno(info.Env(), fd, "find BPF program");
		return Napi::Number::New(info.Env(), fd);
	}

	void Close(const Napi::CallbackInfo &)
	{
		bpf_object__close(object_);
		object_ = nullptr;
	}

	bpf_object *object_ = nullptr;
	std::vector<char> log_;
};

} // namespace

void RegisterObject(Napi::Env env, Napi::Object exports, Napi::FunctionReference *keep)
{
	Napi::Function constructor = BpfObject::Define(env);
	*keep = Napi::Persistent(constructor);
	exports.Set("BpfObject", constructor);
}

} // namespace imker
