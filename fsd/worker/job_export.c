/* The job "export". */
#include "fsd/worker/jobs.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fd.h"
#include "sync/export.h"

int worker_job_export(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	const struct worker_request *q = w->request;
	struct sync_exported made;
	struct sync_export_spec spec = {.packs = w->packs,
	    .objects_fd = q->fds[WORKER_FD_OBJECTS],
	    .snapshot = &q->snapshot,
	    .chown = geteuid() == 0,
	    .uid = w->uid,
	    .gid = w->gid};
	orch_auto(fd) int dir = -1;
	bool made_dir = mkdir(q->dir, 0700) == 0;
	int r;

	if (!made_dir && errno != EEXIST)
		return orch_err_sys(err, errno, "make %s", q->dir);
	r = dir = worker_open_dir(q, err);
	spec.root_fd = dir;
	if (r >= 0)
		r = sync_export(w->task, &spec, &made, err);
	if (r < 0 && made_dir)
		(void)rmdir(q->dir); /* if nothing was written */
	if (r < 0) {
		orch_err_wrap(err, "export to %s", q->dir);
		return r;
	}
	(void)orch_json_set_u64(result, "files", made.files);
	return orch_json_set_u64(result, "bytes", made.bytes);
}
