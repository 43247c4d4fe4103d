/*
 * Running orch-worker (docs/worker.md): one task, at most workers_max at once, its events passed on
 * to the client, cancelled when the client goes.
 */
#ifndef FSD_KEEPER_WORKER_H
#define FSD_KEEPER_WORKER_H

#include "request.h"

struct fsd_workers; /* the places */

/* timeout_s: after which a task is ended. NULL: no memory. */
struct fsd_workers *fsd_workers_new(unsigned max, uint64_t timeout_s) ORCH_WUR;
void fsd_workers_free(struct fsd_workers *w);
unsigned fsd_workers_running(struct fsd_workers *w) ORCH_NONNULL(1);

#define FSD_WORKER_FDS_MAX 5
struct fsd_task {
	struct orch_json *json; /* without "fds"; the task's members are added to it */
	struct {
		const char *name;
		int fd; /* borrowed */
	} fds[FSD_WORKER_FDS_MAX];
	size_t fd_count;
};
void fsd_task_fd(struct fsd_task *t, const char *name, int fd) ORCH_NONNULL(1, 2);

/* Waits for a place, runs the task to its end in this thread. *out_result: the member "result".
 * On failure the error is the worker's own; *out_error (may be NULL) is its whole error object. */
int fsd_worker_run(struct fsd_workers *w, struct fsd_request *r, struct fsd_task *t,
    struct orch_json **out_result, struct orch_json **out_error, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

#endif
