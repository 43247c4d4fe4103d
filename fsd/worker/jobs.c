/* What all jobs have in common; see jobs.h. */
#include "fsd/worker/jobs.h"

#include <unistd.h>
#include "fsd/worker/events.h"
#include "core/fd.h"

static worker_job_fn *const jobs[WORKER_JOBS] = {
    [WORKER_IMPORT] = worker_job_import,
    [WORKER_EXPORT] = worker_job_export,
    [WORKER_APPLY] = worker_job_apply,
    [WORKER_COMMIT] = worker_job_commit,
    [WORKER_GIT_FIND] = worker_job_git_find,
    [WORKER_GIT_FETCH] = worker_job_git_fetch,
    [WORKER_GIT_ADOPT] = worker_job_git_adopt,
    [WORKER_GIT_VERIFY] = worker_job_git_verify,
    [WORKER_GIT_IMPORT] = worker_job_git_import,
};

void worker_put_snapshot(
    struct orch_json *result, const struct orch_digest *id, uint64_t files, uint64_t bytes)
{
	char hex[ORCH_DIGEST_HEX + 1];

	orch_digest_format(id, hex);
	(void)orch_json_set_str(result, "snapshot", hex);
	(void)orch_json_set_u64(result, "files", files);
	(void)orch_json_set_u64(result, "bytes", bytes);
}

static void put_statistics(struct worker *w, struct orch_json *result)
{
	struct cas_quarantine_stats s;
	const struct orch_strv *paths = sync_task_skipped(w->task);
	struct orch_json *skipped = orch_json_array();

	cas_quarantine_stats(w->quarantine, &s);
	(void)orch_json_set_u64(result, "read_files", w->task->read_files);
	(void)orch_json_set_u64(result, "read_bytes", w->task->read_bytes);
	(void)orch_json_set_u64(result, "hashed_files", w->task->hashed_files);
	(void)orch_json_set_u64(result, "hashed_bytes", s.hashed_bytes);
	(void)orch_json_set_u64(result, "new_objects", s.objects);
	(void)orch_json_set_u64(result, "new_bytes", s.object_bytes);
	for (size_t i = 0; skipped && i < paths->count; i++) {
		orch_auto(free) char *text = worker_events_text(paths->v[i]);

		(void)orch_json_push_str(skipped, text ? text : "?");
	}
	(void)orch_json_set_json(result, "skipped", &skipped);
	(void)orch_json_set_u64(result, "skipped_count", w->task->skipped);
}

/* Those about mirrors need nothing of what snapshots are made of. */
static bool is_git(const struct worker *w)
{
	return w->request->job >= WORKER_GIT_FIND;
}

static int open_store(struct worker *w, struct orch_err *err)
{
	const int *fds = w->request->fds;
	struct cas_quarantine_spec spec = {.dirfd = fds[WORKER_FD_QUARANTINE],
	    .objects_fd = fds[WORKER_FD_OBJECTS],
	    .seed = w->request->seed,
	    .cancel = w->task->cancel};
	int r = view_packset_new(fds[WORKER_FD_PACKS], &w->packs, err);

	spec.packset = w->packs;
	if (r == 0 && w->request->job != WORKER_EXPORT)
		r = cas_quarantine_open(&spec, &w->quarantine, err);
	return r;
}

static int run_job(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	int r = jobs[w->request->job](w, result, err);

	if (r < 0 || !w->quarantine)
		return r;
	r = cas_quarantine_finish(w->quarantine, err);
	if (r == 0)
		put_statistics(w, result);
	return r;
}

int worker_run(const struct worker_request *q, struct sync_task *t, struct orch_json **out,
    struct orch_json **out_conflicts, uint64_t *out_conflict_count, struct orch_err *err)
{
	struct worker w = {.request = q,
	    .task = t,
	    .uid = q->owner.set ? q->owner.uid : geteuid(),
	    .gid = q->owner.set ? q->owner.gid : getegid()};
	struct orch_json *result = orch_json_object();
	int r = result ? 0 : orch_err_sys(err, ENOMEM, "result");

	if (r == 0 && !is_git(&w))
		r = open_store(&w, err);
	if (r == 0)
		r = run_job(&w, result, err);
	cas_quarantine_free(w.quarantine);
	view_packset_free(w.packs);
	*out_conflicts = w.conflicts;
	*out_conflict_count = w.conflict_count;
	if (r < 0)
		orch_json_free(result);
	else
		*out = result;
	return r;
}
