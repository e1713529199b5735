/*
 * Registers every family in the instance that loads the addon, and holds the shared argument and
 * error conversions. Instance data only: the addon may be loaded in several threads.
 */
#include "native.h"

#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>

namespace imker
{

Napi::Error ErrnoError(Napi::Env env, int error, const char *syscall, const std::string &log)
{
	int positive = error < 0 ? -error : error;
	const char *name = strerrorname_np(positive);
	Napi::Error failure =
	    Napi::Error::New(env, std::string("Cannot ") + syscall + ": " + strerror(positive));
	failure.Set("code", Napi::String::New(env, name ? name : "EUNKNOWN"));
	failure.Set("errno", Napi::Number::New(env, positive));
	failure.Set("syscall", Napi::String::New(env, syscall));
	if (!log.empty())
		failure.Set("log", Napi::String::New(env, log));
	return failure;
}

void ThrowErrno(Napi::Env env, int error, const char *syscall, const std::string &log)
{
	throw ErrnoError(env, error, syscall, log);
}

Bytes BytesOf(const Napi::CallbackInfo &info, size_t index)
{
	if (!info[index].IsTypedArray())
		throw Napi::TypeError::New(info.Env(), "Cannot call: argument " +
							   std::to_string(index) +
							   " is not a Uint8Array");
	Napi::TypedArray array = info[index].As<Napi::TypedArray>();
	return {static_cast<uint8_t *>(array.ArrayBuffer().Data()) + array.ByteOffset(),
		array.ByteLength()};
}

Bytes OptionalBytesOf(const Napi::CallbackInfo &info, size_t index)
{
	if (info[index].IsUndefined() || info[index].IsNull())
		return {nullptr, 0};
	return BytesOf(info, index);
}

uint32_t NumberOf(const Napi::CallbackInfo &info, size_t index)
{
	return info[index].ToNumber().Uint32Value();
}

int FdOf(const Napi::CallbackInfo &info, size_t index)
{
	return info[index].ToNumber().Int32Value();
}

std::string TextOf(const Napi::CallbackInfo &info, size_t index)
{
	return info[index].ToString().Utf8Value();
}

class Addon : public Napi::Addon<Addon>
{
      public:
	Addon(Napi::Env env, Napi::Object exports)
	{
		/* Failures are errors with their log attached; nothing goes to standard error. */
		libbpf_set_print(nullptr);
		RegisterObject(env, exports, &object_);
		RegisterRing(env, exports, &ring_);
		RegisterMemory(env, exports, &memory_);
		RegisterMap(env, exports);
		RegisterBulk(env, exports);
		RegisterProgram(env, exports);
		RegisterRoutes(env, exports);
		RegisterSystem(env, exports);
	}

      private:
	Napi::FunctionReference object_;
	Napi::FunctionReference ring_;
	Napi::FunctionReference memory_;
};

} // namespace imker

using imker::Addon;
NODE_API_ADDON(Addon)
