/* Clocks, deadlines and the identity of a process. No state; any thread. */
#include "core/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/err.h"
#include "core/fd.h"
#include "core/proc_stat.h"

#define NS ((int64_t)ORCH_NS_PER_S)

uint64_t orch_clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * ORCH_NS_PER_S + (uint64_t)ts.tv_nsec;
}

int64_t orch_wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return orch_timespec_ns(&ts);
}

int64_t orch_timespec_ns(const struct timespec *ts)
{
	int64_t ns;

	if (__builtin_mul_overflow((int64_t)ts->tv_sec, NS, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)ts->tv_nsec, &ns))
		return ts->tv_sec < 0 ? INT64_MIN : INT64_MAX;
	return ns;
}

struct timespec orch_ns_timespec(int64_t ns)
{
	int64_t s = ns / NS, rest = ns % NS;

	if (rest < 0) {
		s--;
		rest += NS;
	}
	return (struct timespec){.tv_sec = s, .tv_nsec = rest};
}

int orch_deadline_poll_ms(uint64_t deadline_ns)
{
	uint64_t now, ms;

	if (deadline_ns == ORCH_FOREVER)
		return -1;
	now = orch_clock_ns();
	if (deadline_ns <= now)
		return 0;
	ms = (deadline_ns - now - 1) / ORCH_NS_PER_MS + 1;
	return ms > INT_MAX ? INT_MAX : (int)ms;
}

uint64_t orch_deadline_in_ms(uint64_t ms)
{
	uint64_t ns;

	if (__builtin_mul_overflow(ms, ORCH_NS_PER_MS, &ns) ||
	    __builtin_add_overflow(ns, orch_clock_ns(), &ns))
		return ORCH_FOREVER;
	return ns;
}

void orch_wall_format(int64_t wall_ns, char out[ORCH_RFC3339_BYTES])
{
	struct timespec ts = orch_ns_timespec(wall_ns);
	struct tm tm;
	size_t n;

	gmtime_r(&ts.tv_sec, &tm);
	n = strftime(out, ORCH_RFC3339_BYTES, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out + n, ORCH_RFC3339_BYTES - n, ".%09ldZ", ts.tv_nsec);
}

static int stat_read(int32_t pid, struct orch_proc_stat *out)
{
	char path[64], text[ORCH_PROC_STAT_BYTES];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%" PRId32 "/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	n = read(fd, text, sizeof(text) - 1);
	if (n < 0)
		n = -errno;
	orch_fd_close(fd);
	if (n <= 0)
		return n < 0 ? (int)n : -ESRCH;
	text[n] = '\0';
	return orch_proc_stat_parse(text, out);
}

int orch_proc_id_get(int32_t pid, struct orch_proc_id *out)
{
	struct orch_proc_stat s;
	int r;

	if (pid <= 0)
		return -EINVAL;
	r = stat_read(pid, &s);
	if (r < 0)
		return r;
	*out = (struct orch_proc_id){.pid = pid, .start_ticks = s.start_ticks};
	return 0;
}

int orch_proc_id_alive(const struct orch_proc_id *id)
{
	struct orch_proc_stat s;
	int r = id->pid <= 0 ? -ESRCH : stat_read(id->pid, &s);

	if (r < 0)
		return r == -ESRCH ? 0 : r;
	return s.start_ticks == id->start_ticks && s.state != 'Z' && s.state != 'X';
}

int orch_boot_id(char out[37])
{
	char text[37];
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = orch_fd_read_all(fd, text, 36);
	orch_fd_close(fd);
	if (r < 0)
		return r;
	text[36] = '\0';
	memcpy(out, text, sizeof(text));
	return 0;
}
