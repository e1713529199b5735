/*
 * The addon's edge: arguments in, results and Errors out. One Engine object is one Relay; several
 * threads load the addon, so everything lives in the instance or the object. An Error carries
 * `code`, `errno` and `syscall` as Node's own do.
 */
#include <napi.h>
#include <arpa/inet.h>
#include <cerrno>
#include "failure.h"
#include "kernel.h"
#include "relay.h"

namespace
{
Napi::Error to_error(Napi::Env env, const Failure &failure)
{
	Napi::Error error = Napi::Error::New(env, failure.what());
	error.Set("errno", Napi::Number::New(env, failure.number));
	error.Set("code", Napi::String::New(env, strerrorname_np(failure.number)));
	error.Set("syscall", Napi::String::New(env, failure.call));
	return error;
}

/* Runs `body`; a Failure becomes an Error of `env`. */
template <typename Body> auto guarded(Napi::Env env, Body body)
{
	try {
		return body();
	} catch (const Failure &failure) {
		throw to_error(env, failure);
	} catch (const std::bad_alloc &) {
		throw Napi::Error::New(env, "Cannot serve connections: no memory left");
	}
}

sockaddr_storage to_address(Napi::Env env, const std::string &host, uint32_t port)
{
	sockaddr_storage address = {};
	auto &v4 = reinterpret_cast<sockaddr_in &>(address);
	auto &v6 = reinterpret_cast<sockaddr_in6 &>(address);
	if (inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
		v4.sin_family = AF_INET;
		v4.sin_port = htons(static_cast<uint16_t>(port));
	} else if (inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
		v6.sin6_family = AF_INET6;
		v6.sin6_port = htons(static_cast<uint16_t>(port));
	} else {
		throw Napi::TypeError::New(env, "Cannot use '" + host + "': not an IP address");
	}
	return address;
}

class Engine : public Napi::ObjectWrap<Engine>
{
      public:
	explicit Engine(const Napi::CallbackInfo &info) : ObjectWrap(info)
	{
		auto options = info[0].As<Napi::Object>();
		auto arena = options.Get("arena").As<Napi::Uint8Array>();
		auto events = options.Get("events").As<Napi::Int32Array>();
		auto operations = options.Get("operations").As<Napi::Int32Array>();
		auto inject = options.Get("inject").As<Napi::Uint8Array>();
		auto records = options.Get("records").As<Napi::Uint8Array>();
		/* The worker writes and reads these all the time; they live as long as we do. */
		shared_ = Napi::Persistent(options);
		operations_ = operations.Data();
		operations_max_ = operations.ElementLength() / 4;
		record_batch_ = records.Data();
		record_batch_bytes_ = records.ElementLength();
		RelayOptions relay = {
		    .arena = arena.Data(),
		    .arena_bytes = static_cast<uint32_t>(arena.ElementLength()),
		    .events = events.Data(),
		    .events_max = static_cast<uint32_t>(events.ElementLength() - EVENT_HEADER) / 4,
		    .inject = inject.Data(),
		    .inject_bytes = static_cast<uint32_t>(inject.ElementLength()),
		    .connections_max = options.Get("connectionsMax").As<Napi::Number>(),
		    .handoff_map = options.Get("handoffMap").As<Napi::Number>(),
		};
		if (relay.arena_bytes < WINDOW_BYTES_MAX || relay.events_max < 16)
			throw Napi::RangeError::New(info.Env(), "Cannot use so small an arena");
		guarded(info.Env(), [&] { relay_ = std::make_unique<Relay>(relay); });
	}

	static Napi::Function define(Napi::Env env)
	{
		return DefineClass(
		    env, "Engine",
		    {
			InstanceMethod<&Engine::poll>("poll"),
			InstanceMethod<&Engine::flush>("flush"),
			InstanceMethod<&Engine::write_records>("writeRecords"),
			InstanceMethod<&Engine::listen_transparent>("listenTransparent"),
			InstanceMethod<&Engine::listen_static>("listenStatic"),
			InstanceMethod<&Engine::listen_records>("listenRecords"),
			InstanceMethod<&Engine::stop_listening>("stopListening"),
			InstanceMethod<&Engine::wake_fd>("wakeFd"),
			InstanceMethod<&Engine::status>("status"),
			InstanceMethod<&Engine::close>("close"),
		    });
	}

      private:
	Relay &relay(Napi::Env env)
	{
		if (!relay_)
			throw Napi::Error::New(env, "Cannot use the engine: it is closed");
		return *relay_;
	}

	Napi::Value poll(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		int timeout_ms = info[0].As<Napi::Number>();
		return Napi::Number::New(env,
					 guarded(env, [&] { return relay(env).poll(timeout_ms); }));
	}

	/* flush(count, last): carries out operations; `last` also ends the windows of the turn. */
	void flush(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		uint32_t count = info[0].As<Napi::Number>();
		bool last = info[1].As<Napi::Boolean>();
		if (count > operations_max_)
			throw Napi::RangeError::New(env, "Cannot carry out so many operations");
		guarded(env, [&] {
			relay(env).execute(operations_, count);
			if (last)
				relay(env).finish_turn();
		});
	}

	Napi::Value write_records(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		uint32_t length = info[0].As<Napi::Number>();
		if (length > record_batch_bytes_)
			throw Napi::RangeError::New(env, "Cannot write so many record bytes");
		bool taken =
		    guarded(env, [&] { return relay(env).write_records(record_batch_, length); });
		return Napi::Boolean::New(env, taken);
	}

	Napi::Value listen_transparent(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		bool ipv6 = info[0].As<Napi::Boolean>();
		int fd = guarded(env, [&] { return relay(env).listen_transparent(ipv6); });
		return Napi::Number::New(env, fd);
	}

	/* listenStatic(host, port, upstreamHost, upstreamPort, facts: Uint32Array(8)) -> port */
	Napi::Value listen_static(const Napi::CallbackInfo &info)
	{
		Napi::Env env = info.Env();
		sockaddr_storage at =
		    to_address(env, info[0].As<Napi::String>(), info[1].As<Napi::Number>());
		sockaddr_storage upstream =
		    to_address(env, info[2].As<Napi::String>(), info[3].As<Napi::Number>());
		auto words = info[4].As<Napi::Uint32Array>();
		Facts facts = {};
		constexpr size_t FACT_WORDS = 8;
		if (words.ElementLength() != FACT_WORDS)
			throw Napi::RangeError::New(env, "Cannot use facts that are not 8 words");
		memcpy(&facts.source_identity, words.Data(), FACT_WORDS * sizeof(uint32_t));
		int port =
		    guarded(env, [&] { return relay(env).listen_static(at, upstream, facts); });
		return Napi::Number::New(env, port);
	}

	void listen_records(const Napi::CallbackInfo &info)
	{
		std::string path = info[0].As<Napi::String>();
		guarded(info.Env(), [&] { relay(info.Env()).listen_records(path); });
	}

	void stop_listening(const Napi::CallbackInfo &info)
	{
		relay(info.Env()).stop_listening();
	}

	Napi::Value wake_fd(const Napi::CallbackInfo &info)
	{
		return Napi::Number::New(info.Env(), relay(info.Env()).wake_fd());
	}

	/* status(into: Float64Array(COUNTERS + 2)): counters, live connections, buffered bytes. */
	void status(const Napi::CallbackInfo &info)
	{
		auto into = info[0].As<Napi::Float64Array>();
		Relay &from = relay(info.Env());
		if (into.ElementLength() != COUNTERS + 2)
			throw Napi::RangeError::New(info.Env(), "Cannot report: wrong length");
		for (int i = 0; i < COUNTERS; i++)
			into[i] = static_cast<double>(from.counters()[i]);
		into[COUNTERS] = from.live();
		into[COUNTERS + 1] = static_cast<double>(from.buffered());
	}

	void close(const Napi::CallbackInfo &)
	{
		relay_.reset();
	}

	std::unique_ptr<Relay> relay_;
	Napi::ObjectReference shared_;
	const int32_t *operations_ = nullptr;
	size_t operations_max_ = 0;
	const uint8_t *record_batch_ = nullptr;
	size_t record_batch_bytes_ = 0;
};

Napi::Value open_map(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	int fd = guarded(env, [&] {
		return info[0].IsString() ? map_open(info[0].As<Napi::String>())
					  : map_by_id(info[0].As<Napi::Number>());
	});
	return Napi::Number::New(env, fd);
}

/* The key and value given must be as long as the map's, or the kernel would overrun them. */
void check_sizes(Napi::Env env, int map, const Napi::Uint8Array &key, const Napi::Uint8Array &value)
{
	MapSizes sizes = guarded(env, [&] { return map_sizes(map); });
	if (key.ElementLength() != sizes.key || value.ElementLength() != sizes.value)
		throw Napi::RangeError::New(env, "Cannot use the map: its layout is another");
}

Napi::Value lookup(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	int map = info[0].As<Napi::Number>();
	auto key = info[1].As<Napi::Uint8Array>();
	auto value = info[2].As<Napi::Uint8Array>();
	check_sizes(env, map, key, value);
	return Napi::Boolean::New(
	    env, guarded(env, [&] { return map_lookup(map, key.Data(), value.Data()); }));
}

void update(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	int map = info[0].As<Napi::Number>();
	auto key = info[1].As<Napi::Uint8Array>();
	auto value = info[2].As<Napi::Uint8Array>();
	check_sizes(env, map, key, value);
	guarded(env, [&] { map_update(map, key.Data(), value.Data()); });
}

Napi::Value value_bytes(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	int map = info[0].As<Napi::Number>();
	return Napi::Number::New(env, guarded(env, [&] { return map_sizes(map); }).value);
}

void close_fd(const Napi::CallbackInfo &info)
{
	close(info[0].As<Napi::Number>().Int32Value());
}

/* wake(fd): makes the worker with this wake-up descriptor return from poll(). Any thread. */
void wake(const Napi::CallbackInfo &info)
{
	uint64_t one = 1;
	guarded(info.Env(), [&] {
		ssize_t written = write(info[0].As<Napi::Number>().Int32Value(), &one, sizeof(one));
		/* EAGAIN: so many wake-ups are pending that one more changes nothing. */
		if (written < 0 && errno != EAGAIN)
			throw Failure("wake a worker", errno);
	});
}

Napi::Value file_limit(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	uint64_t limit = guarded(env, [] { return raise_file_limit(); });
	return Napi::Number::New(env, static_cast<double>(limit));
}

void keep_only(const Napi::CallbackInfo &info)
{
	std::vector<int> capabilities;
	auto list = info[0].As<Napi::Uint8Array>();
	for (size_t i = 0; i < list.ElementLength(); i++)
		capabilities.push_back(list[i]);
	guarded(info.Env(), [&] { keep_capabilities(capabilities); });
}

class EngineAddon : public Napi::Addon<EngineAddon>
{
      public:
	EngineAddon(Napi::Env env, Napi::Object exports)
	{
		exports.Set("Engine", Engine::define(env));
		auto put = [&](const char *name, auto function) {
			exports.Set(name, Napi::Function::New(env, function, name));
		};
		put("openMap", open_map);
		put("lookup", lookup);
		put("update", update);
		put("valueBytes", value_bytes);
		put("closeFd", close_fd);
		put("wake", wake);
		put("raiseFileLimit", file_limit);
		put("keepCapabilities", keep_only);
		exports.Set("layout", layout(env));
	}

      private:
	/* What protocol.ts must agree with. */
	static Napi::Object layout(Napi::Env env)
	{
		Napi::Object object = Napi::Object::New(env);
		auto put = [&](const char *name, uint32_t value) {
			object.Set(name, Napi::Number::New(env, value));
		};
		put("eventHeader", EVENT_HEADER);
		put("factsBytes", sizeof(Facts));
		put("counters", COUNTERS);
		put("windowBytesMax", WINDOW_BYTES_MAX);
		put("injectBytesMax", INJECT_BYTES_MAX);
		put("queueBytesMax", QUEUE_BYTES_MAX);
		return object;
	}
};
} // namespace

NODE_API_NAMED_ADDON(engine, EngineAddon)
