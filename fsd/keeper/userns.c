/* A user namespace for its tables. See userns.h. */
#include "userns.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"

#define CHILD_MS 10000

/* The child and the pipes to it: it says what became of the namespace, then lives until it is killed. Its input ends
 * when this process does; another thread's child may hold the other end as long as that lives. */
struct holder {
	pid_t pid;
	int said, hold;
};

/* The threads of this process are not in it: system calls only. */
static _Noreturn void live(const int said[2], const int hold[2])
{
	int32_t r = 0;
	char byte;

	close(hold[1]);
	if (unshare(CLONE_NEWUSER) < 0)
		r = -errno;
	if (write(said[1], &r, sizeof(r)) == sizeof(r))
		while (read(hold[0], &byte, 1) < 0 && errno == EINTR)
			;
	_exit(0);
}

static int start(struct holder *h)
{
	int said[2] = {-1, -1}, hold[2] = {-1, -1};
	int r = 0;

	h->pid = -1;
	if (pipe2(said, O_CLOEXEC) < 0 || pipe2(hold, O_CLOEXEC) < 0)
		r = -errno;
	if (r == 0) {
		h->pid = fork();
		if (h->pid == 0)
			live(said, hold);
		r = h->pid < 0 ? -errno : 0;
	}
	h->said = said[0];
	h->hold = hold[1];
	orch_fd_close(said[1]);
	orch_fd_close(hold[0]);
	return r;
}

/* 0: it is in a namespace of its own. */
static int hear(const struct holder *h)
{
	int32_t r;
	uint64_t deadline = orch_deadline_in_ms(CHILD_MS);
	struct pollfd p = {.fd = h->said, .events = POLLIN};
	ssize_t n;
	int ready;

	do
		ready = poll(&p, 1, orch_deadline_poll_ms(deadline));
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		return -ETIMEDOUT;
	do
		n = read(h->said, &r, sizeof(r));
	while (n < 0 && errno == EINTR);
	return n == sizeof(r) ? r : -EIO;
}

static void end(struct holder *h)
{
	orch_fd_close(h->said);
	orch_fd_close(h->hold);
	if (h->pid > 0)
		kill(h->pid, SIGKILL);
	while (h->pid > 0 && waitpid(h->pid, NULL, 0) < 0 && errno == EINTR)
		;
}

/* The kernel takes a table in one write. */
static int set_map(const struct holder *h, const char *name, const char *text)
{
	orch_auto(fd) int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)h->pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return -errno;
	return 0;
}

static int take(const struct holder *h)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)h->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int fsd_userns_open(const char *uid_map, const char *gid_map, struct orch_err *err)
{
	struct holder h;
	int r = start(&h);

	if (r == 0)
		r = hear(&h);
	if (r == 0)
		r = set_map(&h, "uid_map", uid_map);
	if (r == 0)
		r = set_map(&h, "gid_map", gid_map);
	if (r == 0)
		r = take(&h);
	end(&h);
	if (r == -ENOSPC)
		return orch_err_set(err, EOPNOTSUPP,
		    "no user namespace can be made: /proc/sys/user/max_user_namespaces");
	return r < 0 ? orch_err_sys(err, -r, "make a user namespace") : r;
}
