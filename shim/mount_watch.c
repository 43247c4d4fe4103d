/*
 * Whether the workspace of a command is still what it began in: mounted, and by the same
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
#include "shim/mount_watch.h"
#include "shim/out.h"

#define ANSWER_MS 10000

static bool is_gone_here(const struct shim_mount *m)
{
	struct statfs fs;

	if (statfs(m->path, &fs) == 0)
		return fs.f_type != FUSE_SUPER_MAGIC;
	return errno == ENOTCONN || errno == ECONNABORTED || errno == ENOENT;
}

/* No answer says nothing: mounts outlive their daemon. */
static bool is_gone_there(const struct shim_mount *m)
{
	orch_auto(json) struct orch_json *w = NULL;
	struct orch_err ignored = ORCH_ERR_INIT;
	struct shim_call call = {.method = "GET",
	    .path = "/v1/workspaces/%",
	    .parts = {m->workspace},
	    .timeout_ms = ANSWER_MS};
	int r = shim_call(m->cli, &call, &w, &ignored);

	if (r == -ENOENT)
		return true;
	if (r < 0) {
		shim_disconnect(m->cli);
		return false;
	}
	return strcmp(shim_get(w, "state"), "mounted") != 0 || shim_get_u64(w, "pid") != m->pid;
}

bool shim_mount_lost(const struct shim_mount *m)
{
	return is_gone_here(m) || is_gone_there(m);
}

int shim_mount_error(const struct shim_mount *m, struct orch_err *err)
{
	return orch_err_set(err, EIO, "the mount process of workspace %s ended during the %s",
	    m->workspace, m->what);
}

static int add(int epoll, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return fd < 0 ? 0 : epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int shim_mount_watch_begin(const struct shim_mount *m, struct shim_mount_watch *w)
{
	*w = (struct shim_mount_watch){.pidfd = -1, .epoll = -1};
	if (m->pid)
		w->pidfd = pidfd_open((pid_t)m->pid, 0);
	if (w->pidfd >= 0)
		w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll >= 0 && add(w->epoll, w->pidfd) == 0 && add(w->epoll, m->cli->cancel_fd) == 0)
		return w->epoll;
	return m->cli->cancel_fd;
}

void shim_mount_watch_end(struct shim_mount_watch *w)
{
	orch_fd_close(w->epoll);
	orch_fd_close(w->pidfd);
}
