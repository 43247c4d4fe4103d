/* The job "git-import". */
#include "fsd/worker/jobs.h"

#include <fcntl.h>
#include "cache/mirror.h"
#include "core/clock.h"
#include "core/fd.h"
#include "sync/git_import.h"

static int put_result(
    const struct worker_request *q, const struct sync_git_imported *made, struct orch_json *result)
{
	char tree[SYNC_GIT_ID_HEX + 1];

	sync_git_id_format(&made->tree, tree);
	worker_put_snapshot(result, &made->snapshot, made->files, made->bytes);
	(void)orch_json_set_str(result, "commit", q->git.rev);
	(void)orch_json_set_str(result, "tree", tree);
	(void)orch_json_set_u64(result, "read_trees", made->read_trees);
	(void)orch_json_set_u64(result, "lfs_files", made->lfs_files);
	return orch_json_set_bool(result, "memo", made->has_memo);
}

static int open_below(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int worker_job_git_import(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	const struct worker_request *q = w->request;
	const int mirror = q->fds[WORKER_FD_MIRROR];
	orch_auto(fd) int repository = open_below(mirror, CAS_MIRROR_REPO);
	orch_auto(fd) int memo = open_below(mirror, CAS_MIRROR_MEMO);
	struct sync_git_imported made;
	struct sync_git_import_spec spec = {.repository_fd = repository,
	    .url = q->git.url,
	    .quarantine = w->quarantine,
	    .packs = w->packs,
	    .objects_fd = q->fds[WORKER_FD_OBJECTS],
	    .seed = q->seed,
	    .memo_fd = memo < 0 ? -1 : memo,
	    .include = q->include,
	    .exclude = q->exclude,
	    .sparse = q->sparse,
	    .parent = q->has_parent ? &q->parent : NULL,
	    .wall_ns = q->has_wall ? q->wall_ns : orch_wall_ns(),
	    .entries_max = q->entries_max,
	    .blob_max = q->blob_max};
	int r;

	if (sync_git_id_parse(q->git.rev, &spec.commit) < 0)
		return orch_err_set(err, EINVAL, "task: rev: not 40 hex digits");
	if (repository < 0)
		return orch_err_sys(err, -repository, "the mirror of %s", q->git.url);
	r = sync_git_import(w->task, &spec, &made, err);
	return r < 0 ? r : put_result(q, &made, result);
}
