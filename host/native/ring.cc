/* A reader of one ring buffer: copies records into the caller's memory, never calls back. */
#include "native.h"

#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>

namespace imker
{

namespace
{

/* Where consume() is copying to; lives for one call. */
struct Destination {
	uint8_t *data = nullptr;
	size_t stride = 0;
	size_t room = 0;
	size_t count = 0;
};

class RingBuffer : public Napi::ObjectWrap<RingBuffer>
{
      public:
	static Napi::Function Define(Napi::Env env)
	{
		return DefineClass(env, "RingBuffer",
				   {InstanceMethod<&RingBuffer::Consume>("consume"),
				    InstanceMethod<&RingBuffer::Close>("close")});
	}

	/* (map fd, bytes of a record) */
	explicit RingBuffer(const Napi::CallbackInfo &info) : Napi::ObjectWrap<RingBuffer>(info)
	{
		destination_.stride = NumberOf(info, 1);
		ring_ = ring_buffer__new(FdOf(info, 0), Copy, &destination_, nullptr);
		if (!ring_)
			ThrowErrno(info.Env(), errno, "map BPF ring buffer");
	}

	~RingBuffer() override
	{
		ring_buffer__free(ring_);
	}

      private:
	/* libbpf has consumed the record by the time it sees the result; an error only ends the
	 * walk. */
	static int Copy(void *context, void *data, size_t bytes)
	{
		auto *destination = static_cast<Destination *>(context);
		uint8_t *to = destination->data + destination->count * destination->stride;
		memset(to, 0, destination->stride);
		memcpy(to, data, bytes < destination->stride ? bytes : destination->stride);
		destination->count++;
		return destination->count < destination->room ? 0 : -ECANCELED;
	}

	/* (records) → how many records were copied, one after the other */
	Napi::Value Consume(const Napi::CallbackInfo &info)
	{
		Bytes out = BytesOf(info, 0);
		if (!ring_)
			ThrowErrno(info.Env(), EBADF, "read BPF ring buffer");
		destination_.data = out.data;
		destination_.room = out.length / destination_.stride;
		destination_.count = 0;
		int error = destination_.room ? ring_buffer__consume(ring_) : 0;
		if (error < 0 && error != -ECANCELED)
			ThrowErrno(info.Env(), error, "read BPF ring buffer");
		return Napi::Number::New(info.Env(), destination_.count);
	}

	void Close(const Napi::CallbackInfo &)
	{
		ring_buffer__free(ring_);
		ring_ = nullptr;
	}

	ring_buffer *ring_ = nullptr;
	Destination destination_;
};

} // namespace

void RegisterRing(Napi::Env env, Napi::Object exports, Napi::FunctionReference *keep)
{
	Napi::Function constructor = RingBuffer::Define(env);
	*keep = Napi::Persistent(constructor);
	exports.Set("RingBuffer", constructor);
}

} // namespace imker
