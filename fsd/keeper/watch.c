/*
 * The watcher. It looks twice a second at whether mount processes still are who they were; an end
 * is not urgent: the kernel has told the users already. A workspace in the middle of an operation
 * is left to that operation and looked at again. Processes that an earlier keeper started without
 * getting to record them are found here too. And the reserve of a full disk is made again.
 */
#include "watch.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include "adopt.h"
#include "cache/reserve.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "jobs.h"
#include "mount_process.h"
#include "registry.h"
#include "ws_mount.h"

#define LOOK_MS 500
#define DEAF_MS 300

struct fsd_watch {
	struct fsd_daemon *daemon;
	int stop_fd;
	pthread_t thread;
	bool socket_lost; /* told already */
	size_t deaf_turn;
};

/* Clients can't find us then, and a second daemon is refused by the store. Mounts go on. */
static void look_at_socket(struct fsd_watch *w)
{
	struct fsd_daemon *d = w->daemon;

	if (w->socket_lost || fsd_listen_is(d->settings->socket, &d->socket_file) ||
	    fsd_ending_check(&d->ending, NULL) < 0)
		return;
	w->socket_lost = true;
	orch_log(ORCH_LOG_WARN, "keeper", "socket-lost", "socket=%s pid=%d reason=%s",
	    d->settings->socket, (int)getpid(),
	    "its file was removed or replaced, nobody can connect; end this process with SIGTERM "
	    "and start again, mounts in use go on");
}

/* Without a descriptor: adopted when none was free, or its end could not be recorded. */
static bool has_ended(const struct fsd_ws *ws)
{
	if (ws->pidfd < 0)
		return orch_proc_id_alive(&ws->record.process) == 0;
	return fsd_pidfd_wait(ws->pidfd, 0);
}

static void look_at(struct fsd_daemon *d, const char *name)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct fsd_ws *ws = fsd_registry_try_acquire(d->registry, name);
	int rc = 0;

	if (!ws)
		return;
	if (ws->record.state == FSD_WS_CREATED)
		rc = fsd_ws_find_stray(d, ws, &err);
	else if (has_ended(ws))
		rc = fsd_ws_bury(d, ws, &err);
	if (rc < 0)
		orch_log_err("keeper", "watch", &err);
	fsd_registry_release(d->registry, ws);
}

/* One at each look, since each may cost DEAF_MS: those that did not answer at the start, in turn. */
static void ask_deaf(struct fsd_watch *w, const struct fsd_ws_record *list, size_t n)
{
	struct fsd_daemon *d = w->daemon;
	struct fsd_ws *ws = NULL;
	struct orch_err err = ORCH_ERR_INIT;

	for (size_t i = 0; i < n && !ws; i++) {
		size_t at = (w->deaf_turn + i) % n;

		if (!fsd_ws_is_deaf(&list[at]))
			continue;
		ws = fsd_registry_try_acquire(d->registry, list[at].name);
		w->deaf_turn = at + 1;
	}
	if (ws && fsd_ws_is_deaf(&ws->record) &&
	    fsd_adopt_again(d, ws, orch_deadline_in_ms(DEAF_MS), &err) < 0)
		orch_log(ORCH_LOG_DEBUG, "keeper", "no-answer", "workspace=%s error=%s",
		    ws->record.name, err.msg);
	fsd_registry_release(d->registry, ws);
}

static void look(struct fsd_watch *w)
{
	struct fsd_daemon *d = w->daemon;
	struct fsd_ws_record *list;
	size_t n;

	fsd_jobs_sweep(d->jobs);
	if (fsd_registry_list(d->registry, &list, &n) < 0)
		return; /* no memory now: the next time */
	for (size_t i = 0; i < n; i++)
		if (list[i].state == FSD_WS_CREATED ||
		    (list[i].state == FSD_WS_MOUNTED && orch_proc_id_alive(&list[i].process) == 0))
			look_at(d, list[i].name);
	ask_deaf(w, list, n);
	free(list);
}

static void *run(void *arg)
{
	struct fsd_watch *w = arg;
	struct pollfd p = {.fd = w->stop_fd, .events = POLLIN};

	while (poll(&p, 1, LOOK_MS) <= 0) {
		look(w);
		cas_reserve_fill(cas_store_reserve(w->daemon->store));
		look_at_socket(w);
	}
	return NULL;
}

int fsd_watch_start(struct fsd_daemon *d, struct fsd_watch **out, struct orch_err *err)
{
	struct fsd_watch *w = calloc(1, sizeof(*w));
	int rc;

	if (!w)
		return orch_err_set(err, ENOMEM, "no memory");
	w->daemon = d;
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	rc = w->stop_fd < 0 ? errno : pthread_create(&w->thread, NULL, run, w);
	if (rc != 0) {
		orch_fd_close(w->stop_fd);
		free(w);
		return orch_err_sys(err, rc, "start the watcher");
	}
	*out = w;
	return 0;
}

void fsd_watch_stop(struct fsd_watch *w)
{
	uint64_t one = 1;

	if (!w)
		return;
	ORCH_BUG_ON(write(w->stop_fd, &one, sizeof(one)) != sizeof(one));
	pthread_join(w->thread, NULL);
	orch_fd_close(w->stop_fd);
	free(w);
}
