/* Programs and links by file descriptor: load, run once, attach, swap, describe. */
#include "native.h"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace imker
{

namespace
{

/* (type, instructions, license) → fd. For probes: the smallest program of a type. */
Napi::Value ProgramLoad(const Napi::CallbackInfo &info)
{
	Bytes instructions = BytesOf(info, 1);
	int fd = bpf_prog_load(static_cast<bpf_prog_type>(NumberOf(info, 0)), nullptr,
			       TextOf(info, 2).c_str(),
			       reinterpret_cast<const bpf_insn *>(instructions.data),
			       instructions.length / sizeof(bpf_insn), nullptr);
	if (fd < 0)
		ThrowErrno(info.Env(), fd, "load BPF program");
	return Napi::Number::New(info.Env(), fd);
}

/*
 * (fd, frame, frameOut, context | null, contextOut | null, repeat, flags | undefined) → {result,
 * bytes, nanoseconds}
 */
Napi::Value ProgramTestRun(const Napi::CallbackInfo &info)
{
	Bytes in = BytesOf(info, 1), out = BytesOf(info, 2);
	Bytes context = OptionalBytesOf(info, 3), context_out = OptionalBytesOf(info, 4);
	LIBBPF_OPTS(bpf_test_run_opts, options);
	options.data_in = in.data;
	options.data_size_in = in.length;
	options.data_out = out.data;
	options.data_size_out = out.length;
	options.ctx_in = context.data;
	options.ctx_size_in = context.length;
	options.ctx_out = context_out.data;
	options.ctx_size_out = context_out.length;
	options.repeat = NumberOf(info, 5);
	/* An absent flag is NaN, which is 0 to ToUint32. */
	options.flags = NumberOf(info, 6);
	int error = bpf_prog_test_run_opts(FdOf(info, 0), &options);
	if (error)
		ThrowErrno(info.Env(), error, "run BPF program");
	Napi::Object result = Napi::Object::New(info.Env());
	result.Set("result", Napi::Number::New(info.Env(), options.retval));
	result.Set("bytes", Napi::Number::New(info.Env(), options.data_size_out));
	result.Set("nanoseconds", Napi::Number::New(info.Env(), options.duration));
	return result;
}

/* (program fd) → {verified, bytes}: instructions the verifier went through, size as translated */
Napi::Value ProgramInfo(const Napi::CallbackInfo &info)
{
	bpf_prog_info program = {};
	uint32_t length = sizeof(program);
	int error = bpf_obj_get_info_by_fd(FdOf(info, 0), &program, &length);
	if (error)
		ThrowErrno(info.Env(), error, "describe BPF program");
	Napi::Object result = Napi::Object::New(info.Env());
	result.Set("verified", Napi::Number::New(info.Env(), program.verified_insns));
	result.Set("bytes", Napi::Number::New(info.Env(), program.xlated_prog_len));
	return result;
}

/* (program fd, ifindex or namespace fd, attach type, flags | undefined) → fd. libbpf 1.1 has no
 * call for tcx. */
Napi::Value LinkCreate(const Napi::CallbackInfo &info)
{
	bpf_attr attributes;
	memset(&attributes, 0, sizeof(attributes));
	attributes.link_create.prog_fd = FdOf(info, 0);
	attributes.link_create.target_fd = NumberOf(info, 1);
	attributes.link_create.attach_type = NumberOf(info, 2);
	attributes.link_create.flags = NumberOf(info, 3);
	long fd = syscall(SYS_bpf, BPF_LINK_CREATE, &attributes, sizeof(attributes));
	if (fd < 0)
		ThrowErrno(info.Env(), errno, "attach BPF program");
	return Napi::Number::New(info.Env(), static_cast<double>(fd));
}

/* (link fd, program fd): swaps without a gap */
void LinkUpdate(const Napi::CallbackInfo &info)
{
	int error = bpf_link_update(FdOf(info, 0), FdOf(info, 1), nullptr);
	if (error)
		ThrowErrno(info.Env(), error, "replace attached BPF program");
}

/* (link fd) → {id, programId, ifindex, attachType}; ifindex 0: its interface is gone */
Napi::Value LinkInfo(const Napi::CallbackInfo &info)
{
	/* The header of libbpf 1.1 ends before tcx: its ifindex and attach type follow at 16. */
	alignas(bpf_link_info) uint8_t raw[sizeof(bpf_link_info) + 64] = {};
	uint32_t length = sizeof(raw), fields[2];
	int error = bpf_obj_get_info_by_fd(FdOf(info, 0), raw, &length);
	if (error)
		ThrowErrno(info.Env(), error, "describe BPF link");
	const auto *link = reinterpret_cast<const bpf_link_info *>(raw);
	memcpy(fields, raw + 16, sizeof(fields));
	Napi::Object result = Napi::Object::New(info.Env());
	result.Set("id", Napi::Number::New(info.Env(), link->id));
	result.Set("programId", Napi::Number::New(info.Env(), link->prog_id));
	result.Set("ifindex", Napi::Number::New(info.Env(), fields[0]));
	result.Set("attachType", Napi::Number::New(info.Env(), fields[1]));
	return result;
}

} // namespace

void RegisterProgram(Napi::Env env, Napi::Object exports)
{
	exports.Set("programLoad", Napi::Function::New<ProgramLoad>(env));
	exports.Set("programTestRun", Napi::Function::New<ProgramTestRun>(env));
	exports.Set("programInfo", Napi::Function::New<ProgramInfo>(env));
	exports.Set("linkCreate", Napi::Function::New<LinkCreate>(env));
	exports.Set("linkUpdate", Napi::Function::New<LinkUpdate>(env));
	exports.Set("linkInfo", Napi::Function::New<LinkInfo>(env));
}

} // namespace imker
