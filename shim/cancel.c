#include "shim/cancel.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include "core/fd.h"
#include "shim/cli.h"

/* Written by the handler alone. */
static volatile sig_atomic_t signals_seen;
static volatile sig_atomic_t first_signal;
static volatile sig_atomic_t cancel_fd = -1;
static volatile sig_atomic_t late_fd = -1;
static atomic_bool cancelled;

static void on_signal(int sig)
{
	static const uint64_t one = 1;
	static const struct itimerspec late = {.it_value = {.tv_sec = 2}};
	int saved = errno;

	if (signals_seen == 0)
		first_signal = sig;
	signals_seen++;
	cancelled = true;
	if (signals_seen >= 3)
		_exit(SHIM_CANCELLED);
	if (signals_seen == 1)
		timerfd_settime(late_fd, 0, &late, NULL);
	if (write(cancel_fd, &one, sizeof(one)) < 0)
		_exit(SHIM_CANCELLED);
	errno = saved;
}

int shim_cancel_install(struct orch_err *err)
{
	static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
	struct sigaction sa = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN};
	int fd;

	if (cancel_fd >= 0)
		return cancel_fd;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return orch_err_sys(err, errno, "watch for signals");
	late_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (late_fd < 0) {
		orch_fd_close(fd);
		return orch_err_sys(err, errno, "watch for signals");
	}
	cancel_fd = fd;
	sigemptyset(&sa.sa_mask);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(caught); i++) {
		struct sigaction old;

		/* nohup's choice is kept */
		if (caught[i] == SIGHUP && sigaction(SIGHUP, NULL, &old) == 0 &&
		    old.sa_handler == SIG_IGN)
			continue;
		if (sigaction(caught[i], &sa, NULL) < 0)
			return orch_err_sys(err, errno, "watch for signals");
	}
	sigaction(SIGPIPE, &ignore, NULL);
	return fd;
}

int shim_cancel_late_fd(void)
{
	return late_fd;
}

bool shim_cancelled(void)
{
	return signals_seen > 0;
}

bool shim_cancel_forced(void)
{
	return signals_seen > 1;
}

int shim_cancel_signal(void)
{
	return first_signal;
}

const atomic_bool *shim_cancel_flag(void)
{
	return &cancelled;
}
