/*
 * Whether the workspace of a build is still what its command began in: mounted, and by the same
 * process. When that process ends, the command sees errors that are none of its own, and what it
 * wrote last may be lost; then neither its failure nor its success means anything.
 */
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/vfs.h>
#include "core/fd.h"
#include "shim/api.h"
#include "shim/build.h"
#include "shim/build_mount.h"
#include "shim/out.h"

#define ANSWER_MS 10000

static bool is_gone_here(const struct shim_build *b)
{
	struct statfs fs;

	if (statfs(b->mount_path, &fs) == 0)
		return fs.f_type != FUSE_SUPER_MAGIC;
	return errno == ENOTCONN || errno == ECONNABORTED || errno == ENOENT;
}

/* No answer says nothing: mounts outlive their daemon. */
static bool is_gone_there(struct shim_build *b)
{
	orch_auto(json) struct orch_json *w = NULL;
	struct orch_err ignored = ORCH_ERR_INIT;
	struct shim_call call = {.method = "GET",
	    .path = "/v1/workspaces/%",
	    .parts = {b->workspace},
	    .timeout_ms = ANSWER_MS};
	int r = shim_call(b->cli, &call, &w, &ignored);

	if (r == -ENOENT)
		return true;
	if (r < 0) {
		shim_disconnect(b->cli);
		return false;
	}
	return strcmp(shim_get(w, "state"), "mounted") != 0 ||
	       shim_get_u64(w, "pid") != b->mount_pid;
}

bool shim_build_mount_lost(struct shim_build *b)
{
	return is_gone_here(b) || is_gone_there(b);
}

int shim_build_mount_error(const struct shim_build *b, struct orch_err *err)
{
	return orch_err_set(
	    err, EIO, "the mount process of workspace %s ended during the build", b->workspace);
}

static int add(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return fd < 0 ? 0 : epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int shim_build_mount_watch(const struct shim_build *b, struct shim_mount_watch *w)
{
	*w = (struct shim_mount_watch){.pidfd = -1, .epoll = -1};
	if (b->mount_pid)
		w->pidfd = pidfd_open((pid_t)b->mount_pid, 0);
	if (w->pidfd >= 0)
		w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll >= 0 && add(w->epoll, w->pidfd) == 0 && add(w->epoll, b->cli->cancel_fd) == 0)
		return w->epoll;
	return b->cli->cancel_fd;
}

void shim_build_mount_unwatch(struct shim_mount_watch *w)
{
	orch_fd_close(w->epoll);
	orch_fd_close(w->pidfd);
}
