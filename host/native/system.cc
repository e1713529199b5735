/* Pins, feature probes, and the few facts of the system that JavaScript cannot ask for itself. */
#include "native.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace imker
{

namespace
{

/* (path) → fd, undefined when nothing is pinned there */
Napi::Value ObjectGet(const Napi::CallbackInfo &info)
{
	int fd = bpf_obj_get(TextOf(info, 0).c_str());
	if (fd == -ENOENT)
		return info.Env().Undefined();
	if (fd < 0)
		ThrowErrno(info.Env(), fd, "open pinned BPF object");
	return Napi::Number::New(info.Env(), fd);
}

/* (fd, path) */
void ObjectPin(const Napi::CallbackInfo &info)
{
	int error = bpf_obj_pin(FdOf(info, 0), TextOf(info, 1).c_str());
	if (error)
		ThrowErrno(info.Env(), error, "pin BPF object");
}

/* (fd) */
void CloseFd(const Napi::CallbackInfo &info)
{
	if (close(FdOf(info, 0)))
		ThrowErrno(info.Env(), errno, "close file descriptor");
}

/* (map type) → does this kernel make such maps */
Napi::Value ProbeMapType(const Napi::CallbackInfo &info)
{
	int result =
	    libbpf_probe_bpf_map_type(static_cast<bpf_map_type>(NumberOf(info, 0)), nullptr);
	return Napi::Boolean::New(info.Env(), result == 1);
}

/* (program type, helper number) → may such programs call it */
Napi::Value ProbeHelper(const Napi::CallbackInfo &info)
{
	int result = libbpf_probe_bpf_helper(static_cast<bpf_prog_type>(NumberOf(info, 0)),
					     static_cast<bpf_func_id>(NumberOf(info, 1)), nullptr);
	return Napi::Boolean::New(info.Env(), result == 1);
}

/* (path) → f_type of the file system there, 0 when there is none */
Napi::Value FileSystemType(const Napi::CallbackInfo &info)
{
	struct statfs status = {};
	if (statfs(TextOf(info, 0).c_str(), &status))
		return Napi::Number::New(info.Env(), 0);
	return Napi::Number::New(info.Env(), static_cast<double>(status.f_type));
}

/* (path) → fd that holds the folder's lock until it is closed, undefined when somebody else does */
Napi::Value LockFolder(const Napi::CallbackInfo &info)
{
	int fd = open(TextOf(info, 0).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		ThrowErrno(info.Env(), errno, "open folder");
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return Napi::Number::New(info.Env(), fd);
	int error = errno;
	close(fd);
	if (error == EWOULDBLOCK)
		return info.Env().Undefined();
	ThrowErrno(info.Env(), error, "lock folder");
}

/* (name) → ifindex in this thread's network namespace, 0 when there is no such interface */
Napi::Value InterfaceIndex(const Napi::CallbackInfo &info)
{
	return Napi::Number::New(info.Env(), if_nametoindex(TextOf(info, 0).c_str()));
}

/* (name) → is the interface there and up */
Napi::Value InterfaceIsUp(const Napi::CallbackInfo &info)
{
	std::string name = TextOf(info, 0);
	ifreq request = {};
	strncpy(request.ifr_name, name.c_str(), sizeof(request.ifr_name) - 1);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		ThrowErrno(info.Env(), errno, "open socket");
	int error = ioctl(fd, SIOCGIFFLAGS, &request);
	close(fd);
	return Napi::Boolean::New(info.Env(), !error && (request.ifr_flags & IFF_UP));
}

/* How many values a look-up in a per-CPU map gives. */
Napi::Value PossibleCpus(const Napi::CallbackInfo &info)
{
	int count = libbpf_num_possible_cpus();
	if (count < 0)
		ThrowErrno(info.Env(), count, "count CPUs");
	return Napi::Number::New(info.Env(), count);
}

/* (fd of a connected unix socket) → [pid, uid] of who connected it */
Napi::Value PeerCredentials(const Napi::CallbackInfo &info)
{
	ucred peer = {};
	socklen_t length = sizeof(peer);
	if (getsockopt(FdOf(info, 0), SOL_SOCKET, SO_PEERCRED, &peer, &length))
		ThrowErrno(info.Env(), errno, "get peer credentials");
	Napi::Array pair = Napi::Array::New(info.Env(), 2);
	pair.Set(0u, Napi::Number::New(info.Env(), peer.pid));
	pair.Set(1u, Napi::Number::New(info.Env(), peer.uid));
	return pair;
}

} // namespace

void RegisterSystem(Napi::Env env, Napi::Object exports)
{
	exports.Set("objectGet", Napi::Function::New<ObjectGet>(env));
	exports.Set("objectPin", Napi::Function::New<ObjectPin>(env));
	exports.Set("closeFd", Napi::Function::New<CloseFd>(env));
	exports.Set("probeMapType", Napi::Function::New<ProbeMapType>(env));
	exports.Set("probeHelper", Napi::Function::New<ProbeHelper>(env));
	exports.Set("fileSystemType", Napi::Function::New<FileSystemType>(env));
	exports.Set("lockFolder", Napi::Function::New<LockFolder>(env));
	exports.Set("interfaceIndex", Napi::Function::New<InterfaceIndex>(env));
	exports.Set("interfaceIsUp", Napi::Function::New<InterfaceIsUp>(env));
	exports.Set("peerCredentials", Napi::Function::New<PeerCredentials>(env));
	exports.Set("possibleCpus", Napi::Function::New<PossibleCpus>(env));
}

} // namespace imker
