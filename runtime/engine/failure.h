/* Failure carries a failed system call to the addon's edge, where it becomes a JavaScript Error. */
#pragma once
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

class Failure : public std::runtime_error
{
      public:
	Failure(const char *call, int number)
	    : std::runtime_error(std::string("Cannot ") + call + ": " + strerror(number)),
	      call(call), number(number)
	{
	}
	const char *call;
	int number;
};

/* The result of a system call, or a Failure when it is negative. */
inline int check(int result, const char *call)
{
	if (result < 0)
		throw Failure(call, errno);
	return result;
}
