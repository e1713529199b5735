/*
 * Bytes owns one growable byte buffer: what a direction has to keep because the plugin did not
 * consume it yet, or because the receiver did not take it yet. It has no limit of its own; the
 * callers in stream.cc hold it to WINDOW_BYTES_MAX and QUEUE_BYTES_MAX.
 */
#pragma once
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

class Bytes
{
      public:
	Bytes() = default;
	Bytes(const Bytes &) = delete;
	Bytes &operator=(const Bytes &) = delete;
	~Bytes()
	{
		free(start_);
	}

	uint32_t size() const
	{
		return end_ - begin_;
	}
	bool empty() const
	{
		return end_ == begin_;
	}
	uint8_t *data()
	{
		return start_ + begin_;
	}

	/* Room for `length` more bytes; returns where they go. commit() makes them part of it. */
	uint8_t *reserve(uint32_t length)
	{
		if (capacity_ - end_ >= length)
			return start_ + end_;
		if (begin_ > 0) {
			memmove(start_, start_ + begin_, size());
			end_ -= begin_;
			begin_ = 0;
		}
		if (capacity_ - end_ < length) {
			uint32_t wanted = capacity_ ? capacity_ : BYTES_FIRST;
			while (wanted - end_ < length)
				wanted *= 2;
			auto *grown = static_cast<uint8_t *>(realloc(start_, wanted));
			if (!grown)
				throw std::bad_alloc();
			start_ = grown;
			capacity_ = wanted;
		}
		return start_ + end_;
	}
	void commit(uint32_t length)
	{
		end_ += length;
	}
	void append(const uint8_t *bytes, uint32_t length)
	{
		memcpy(reserve(length), bytes, length);
		commit(length);
	}

	/* Forgets the first `length` bytes. An empty buffer gives its memory back. */
	void consume(uint32_t length)
	{
		begin_ += length;
		if (begin_ == end_)
			clear();
	}
	void clear()
	{
		free(start_);
		start_ = nullptr;
		begin_ = end_ = capacity_ = 0;
	}

      private:
	static constexpr uint32_t BYTES_FIRST = 4096;
	uint8_t *start_ = nullptr;
	uint32_t begin_ = 0;
	uint32_t end_ = 0;
	uint32_t capacity_ = 0;
};
