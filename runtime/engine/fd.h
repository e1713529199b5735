/* Fd owns one file descriptor. */
#pragma once
#include <unistd.h>
#include <cerrno>
#include <utility>

class Fd
{
      public:
	Fd() = default;
	explicit Fd(int fd) : fd_(fd)
	{
	}
	Fd(Fd &&other) noexcept : fd_(std::exchange(other.fd_, -1))
	{
	}
	Fd &operator=(Fd &&other) noexcept
	{
		if (this != &other) {
			reset();
			fd_ = std::exchange(other.fd_, -1);
		}
		return *this;
	}
	~Fd()
	{
		reset();
	}

	int get() const
	{
		return fd_;
	}
	bool open() const
	{
		return fd_ >= 0;
	}
	int release()
	{
		return std::exchange(fd_, -1);
	}
	void reset()
	{
		/* Closing must not hide why the caller gives the file up. */
		int error = errno;
		if (fd_ >= 0)
			close(fd_);
		fd_ = -1;
		errno = error;
	}

      private:
	int fd_ = -1;
};
