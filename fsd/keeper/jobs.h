/*
 * The jobs that run in workspaces, as those who run them have said. They are in the store too, so
 * that a keeper that follows a killed one knows them, and thaws what that one may have left frozen. A
 * job whose leader has gone is forgotten. Thread-safe. No workspace has to be acquired for it; who adds
 * to one or removes from one holds it (registry.h).
 */
#ifndef FSD_KEEPER_JOBS_H
#define FSD_KEEPER_JOBS_H

#include "cache/store.h"
#include "job.h"

#define FSD_JOBS_MAX 32 /* of one workspace */

struct fsd_jobs;

struct fsd_jobs *fsd_jobs_new(struct cas_store *store) ORCH_NONNULL(1) ORCH_WUR;
void fsd_jobs_free(struct fsd_jobs *js);

/* At the start: thaws every recorded job, forgets those that have ended. */
int fsd_jobs_load(struct fsd_jobs *js, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* One of the same workspace and id is replaced. -EBUSY: another workspace's job has one of its groups;
 * -E2BIG: there are too many. */
int fsd_jobs_add(struct fsd_jobs *js, const struct fsd_job *job, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* -ENOENT. */
int fsd_jobs_remove(struct fsd_jobs *js, const char *workspace, const char *id,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* All of a workspace that is dropped. */
void fsd_jobs_forget(struct fsd_jobs *js, const char *workspace) ORCH_NONNULL(1, 2);
/* Those whose leader has gone. */
void fsd_jobs_sweep(struct fsd_jobs *js) ORCH_NONNULL(1);

/* A copy of the workspace's living jobs; free(*out). */
int fsd_jobs_list(struct fsd_jobs *js, const char *workspace, struct fsd_job **out,
    size_t *out_count) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;
/* "jobs" of the answer. */
int fsd_jobs_show(struct fsd_jobs *js, const char *workspace, struct orch_json *answer)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
