/* The jobs: each wires the request to one algorithm of services/sync and makes its result. */
#ifndef ORCH_WORKER_JOBS_H
#define ORCH_WORKER_JOBS_H

#include "core/json.h"
#include "fsd/worker/request.h"
#include "sync/task.h"
#include "cache/quarantine.h"

struct worker {
	const struct worker_request *request;
	struct sync_task *task;
	struct view_packset *packs;
	struct cas_quarantine *quarantine; /* NULL for an export and for what is about Git */
	struct orch_json *conflicts;	   /* of an apply that failed for them */
	uint64_t conflict_count;
	uint32_t uid, gid; /* the workspace's owner */
};

typedef int worker_job_fn(struct worker *w, struct orch_json *result, struct orch_err *err);

/* Opens what the request names, runs its job, finishes the quarantine. *out is the result. */
int worker_run(const struct worker_request *q, struct sync_task *t, struct orch_json **out,
    struct orch_json **out_conflicts, uint64_t *out_conflict_count, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3, 4, 5) ORCH_WUR;

worker_job_fn worker_job_import;
worker_job_fn worker_job_export;
worker_job_fn worker_job_apply;
worker_job_fn worker_job_commit;
/* job_git.c */
worker_job_fn worker_job_git_find, worker_job_git_fetch, worker_job_git_adopt,
    worker_job_git_verify;
worker_job_fn worker_job_git_import;

/* Opens the request's folder under our ids; links in its path are followed. */
int worker_open_dir(const struct worker_request *q, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* "snapshot", "files", "bytes" of what was made. */
void worker_put_snapshot(struct orch_json *result, const struct orch_digest *id, uint64_t files,
    uint64_t bytes) ORCH_NONNULL(1, 2);

#endif
