/* Workers: places and the process. */
#include "worker.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "core/process.h"
#include "events.h"
#include "worker_output.h"

#define TURN_MS	 100
#define GRACE_MS 5000

struct fsd_workers {
	unsigned max;
	uint64_t timeout_s;
	pthread_mutex_t lock;
	pthread_cond_t free_place;
	unsigned running; /* guarded by lock */
};

struct fsd_workers *fsd_workers_new(unsigned max, uint64_t timeout_s)
{
	struct fsd_workers *w = calloc(1, sizeof(*w));
	pthread_condattr_t attr;

	if (!w)
		return NULL;
	w->max = max;
	w->timeout_s = timeout_s;
	pthread_mutex_init(&w->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&w->free_place, &attr);
	pthread_condattr_destroy(&attr);
	return w;
}

void fsd_workers_free(struct fsd_workers *w)
{
	if (!w)
		return;
	pthread_cond_destroy(&w->free_place);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

unsigned fsd_workers_running(struct fsd_workers *w)
{
	unsigned n;

	pthread_mutex_lock(&w->lock);
	n = w->running;
	pthread_mutex_unlock(&w->lock);
	return n;
}

static int take_place(struct fsd_workers *w, struct fsd_request *r, struct orch_err *err)
{
	int rc = 0;

	pthread_mutex_lock(&w->lock);
	while (rc == 0 && w->running >= w->max) {
		struct timespec ts = orch_ns_timespec((int64_t)orch_deadline_in_ms(TURN_MS));

		pthread_cond_timedwait(&w->free_place, &w->lock, &ts);
		rc = fsd_request_cancelled(r, err);
	}
	if (rc == 0)
		w->running++;
	pthread_mutex_unlock(&w->lock);
	return rc;
}

static void give_place(struct fsd_workers *w)
{
	pthread_mutex_lock(&w->lock);
	w->running--;
	pthread_cond_signal(&w->free_place);
	pthread_mutex_unlock(&w->lock);
}

/* ---- the process ---- */

void fsd_task_fd(struct fsd_task *t, const char *name, int fd)
{
	ORCH_BUG_ON(t->fd_count == FSD_WORKER_FDS_MAX);
	t->fds[t->fd_count].name = name;
	t->fds[t->fd_count++].fd = fd;
}

/* The task as a file to read from: nobody waits for the worker to read it. */
static int task_file(struct fsd_task *t, int *out_fd, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	orch_auto(fd) int fd = memfd_create("orch-task", MFD_CLOEXEC);
	struct orch_json *fds = orch_json_object();
	int rc = fds ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < t->fd_count; i++)
		rc = orch_json_set_int(fds, t->fds[i].name, t->fds[i].fd);
	if (rc == 0)
		rc = orch_json_set_json(t->json, "fds", &fds);
	orch_json_free(fds);
	if (rc == 0)
		rc = orch_json_format(t->json, 0, &b);
	if (rc == 0)
		rc = fd < 0 ? -errno : orch_fd_pwrite_all(fd, b.data, b.len, 0);
	if (rc < 0)
		return orch_err_sys(err, -rc, "task of a worker");
	*out_fd = fd;
	fd = -1;
	return 0;
}

static int on_output(void *priv, int stream, const void *data, size_t n)
{
	return fsd_worker_output_add(priv, stream, data, n);
}

static int start(struct fsd_task *t, int task_fd, struct fsd_worker_output *o,
    struct orch_process **out, struct orch_err *err)
{
	orch_auto(free) char *program =
	    orch_path_program("orch-worker", "../worker/orch-worker", err);
	const char *argv[] = {program, NULL};
	int keep[FSD_WORKER_FDS_MAX];
	struct orch_process_spec spec = {
	    .argv = argv,
	    .cwd = "/",
	    .stdin_fd = task_fd,
	    .stdout_fd = -1,
	    .stderr_fd = -1,
	    .keep_fds = keep,
	    .keep_fd_count = t->fd_count,
	    .die_with_parent = true,
	    .on_output = on_output,
	    .priv = o,
	};

	if (!program)
		return -err->code;
	for (size_t i = 0; i < t->fd_count; i++)
		keep[i] = t->fds[i].fd;
	return orch_process_start(&spec, out, err);
}

static int pump(struct fsd_workers *w, struct fsd_request *r, struct orch_process *p,
    struct fsd_worker_output *o, int *out_status, struct orch_err *err)
{
	int rc = orch_process_wait(
	    p, orch_deadline_in_ms(w->timeout_s * 1000), r->cancel_fd, out_status, err);

	if (rc >= 0)
		return 0;
	(void)orch_process_end(p, GRACE_MS, out_status);
	if (fsd_request_cancel_flag(r))
		return orch_err_set(err, ECANCELED, "cancelled");
	if (o->err.code) {
		*err = o->err;
		return -err->code;
	}
	return rc;
}

static int run(struct fsd_workers *w, struct fsd_request *r, struct fsd_task *t,
    struct fsd_worker_output *o, int *out_status, struct orch_err *err)
{
	orch_auto(fd) int task_fd = -1;
	struct orch_process *p = NULL;
	int rc = task_file(t, &task_fd, err);

	if (rc == 0)
		rc = start(t, task_fd, o, &p, err);
	if (rc == 0)
		rc = pump(w, r, p, o, out_status, err);
	orch_process_free(p);
	return rc;
}

static int on_event(void *priv, const char *line, size_t len)
{
	struct fsd_request *r = priv;

	return r->events ? fsd_events_add(r->events, line, len) : 0;
}

int fsd_worker_run(struct fsd_workers *w, struct fsd_request *r, struct fsd_task *t,
    struct orch_json **out_result, struct orch_json **out_error, struct orch_err *err)
{
	struct fsd_worker_output o;
	int status = 0;
	int rc = take_place(w, r, err);

	if (rc < 0)
		return rc;
	fsd_worker_output_init(&o, on_event, r);
	rc = run(w, r, t, &o, &status, err);
	give_place(w);
	if (rc == 0)
		rc = fsd_worker_output_end(&o, status, out_result, out_error, err);
	fsd_worker_output_fini(&o);
	return rc;
}
