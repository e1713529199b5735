/*
 * What the addon's families share: how a failed system call becomes a JavaScript error, and how
 * byte arguments are borrowed. One file per family of kernel objects; none keeps state between
 * calls but the classes that own something (Object, RingBuffer, MapMemory).
 */
#ifndef IMKER_NATIVE_H
#define IMKER_NATIVE_H

#include <napi.h>

#include <cstdint>
#include <string>

namespace imker
{

/* The JavaScript error of a failed call: code (ENOENT), errno, syscall, and a log if there is one.
 */
Napi::Error ErrnoError(Napi::Env env, int error, const char *syscall, const std::string &log = {});
[[noreturn]] void ThrowErrno(Napi::Env env, int error, const char *syscall,
			     const std::string &log = {});

/* Bytes of a Uint8Array argument, valid for the length of the call. */
struct Bytes {
	uint8_t *data;
	size_t length;
};
Bytes BytesOf(const Napi::CallbackInfo &info, size_t index);
/* As BytesOf; undefined and null are no bytes. */
Bytes OptionalBytesOf(const Napi::CallbackInfo &info, size_t index);

uint32_t NumberOf(const Napi::CallbackInfo &info, size_t index);
int FdOf(const Napi::CallbackInfo &info, size_t index);
std::string TextOf(const Napi::CallbackInfo &info, size_t index);

void RegisterObject(Napi::Env env, Napi::Object exports, Napi::FunctionReference *keep);
void RegisterRing(Napi::Env env, Napi::Object exports, Napi::FunctionReference *keep);
void RegisterMemory(Napi::Env env, Napi::Object exports, Napi::FunctionReference *keep);
void RegisterMap(Napi::Env env, Napi::Object exports);
void RegisterBulk(Napi::Env env, Napi::Object exports);
void RegisterProgram(Napi::Env env, Napi::Object exports);
void RegisterRoutes(Napi::Env env, Napi::Object exports);
void RegisterSystem(Napi::Env env, Napi::Object exports);

} // namespace imker

#endif
