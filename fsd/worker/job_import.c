/* The job "import". */
#include "fsd/worker/jobs.h"

#include <fcntl.h>
#include <string.h>
#include "core/fd.h"
#include "sync/import.h"

int worker_open_dir(const struct worker_request *q, struct orch_err *err)
{
	int fd = open(q->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? orch_err_sys(err, errno, "open %s", q->dir) : fd;
}

int worker_job_import(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	const struct worker_request *q = w->request;
	struct sync_imported made;
	struct sync_import_spec spec = {.path = q->dir,
	    .quarantine = w->quarantine,
	    .packs = w->packs,
	    .objects_fd = q->fds[WORKER_FD_OBJECTS],
	    .seed = q->seed,
	    .scan_fd = q->fds[WORKER_FD_SCAN],
	    .exclude = q->exclude,
	    .ignore_file = q->ignore_file,
	    .parent = q->has_parent ? &q->parent : NULL,
	    .source = q->source,
	    .source_len = q->source ? strlen(q->source) : 0,
	    .uid = w->uid,
	    .gid = w->gid,
	    .store_dev = q->store_dev,
	    .store_ino = q->store_ino};
	orch_auto(fd) int dir = worker_open_dir(q, err);
	int r = dir;

	spec.root_fd = dir;
	if (r >= 0)
		r = sync_import(w->task, &spec, &made, err);
	if (r < 0)
		return r;
	worker_put_snapshot(result, &made.snapshot, made.files, made.bytes);
	return orch_json_set_str(result, "scan", made.scan_key);
}
