/* The rows of one array map as memory of this process: changed in place, without a system call. */
#include "native.h"

#include <sys/mman.h>

#include <cerrno>

namespace imker
{

namespace
{

class MapMemory : public Napi::ObjectWrap<MapMemory>
{
      public:
	static Napi::Function Define(Napi::Env env)
	{
		return DefineClass(env, "MapMemory",
				   {InstanceAccessor<&MapMemory::Buffer>("buffer"),
				    InstanceMethod<&MapMemory::Close>("close")});
	}

	/* (map fd, bytes): rows of a map that was made with BPF_F_MMAPABLE */
	explicit MapMemory(const Napi::CallbackInfo &info) : Napi::ObjectWrap<MapMemory>(info)
	{
		length_ = static_cast<size_t>(info[1].ToNumber().Int64Value());
		data_ =
		    mmap(nullptr, length_, PROT_READ | PROT_WRITE, MAP_SHARED, FdOf(info, 0), 0);
		if (data_ == MAP_FAILED)
			ThrowErrno(info.Env(), errno, "map BPF map into memory");
		buffer_ = Napi::Persistent(Napi::ArrayBuffer::New(info.Env(), data_, length_));
	}

	~MapMemory() override
	{
		Unmap();
	}

      private:
	Napi::Value Buffer(const Napi::CallbackInfo &info)
	{
		if (buffer_.IsEmpty())
			ThrowErrno(info.Env(), EBADF, "use BPF map memory");
		return buffer_.Value();
	}

	/* Every view of the buffer is empty from now on. */
	void Close(const Napi::CallbackInfo &)
	{
		if (!buffer_.IsEmpty())
			buffer_.Value().Detach();
		buffer_.Reset();
		Unmap();
	}

	void Unmap()
	{
		if (data_ != MAP_FAILED)
			munmap(data_, length_);
		data_ = MAP_FAILED;
	}

	void *data_ = MAP_FAILED;
	size_t length_ = 0;
	Napi::Reference<Napi::ArrayBuffer> buffer_;
};

} // namespace

void RegisterMemory(Napi::Env env, Napi::Object exports, Napi::FunctionReference *keep)
{
	Napi::Function constructor = MapMemory::Define(env);
	*keep = Napi::Persistent(constructor);
	exports.Set("MapMemory", constructor);
}

} // namespace imker
