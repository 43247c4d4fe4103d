/* The job "commit". */
#include "fsd/worker/jobs.h"

#include <string.h>
#include "sync/commit.h"

int worker_job_commit(struct worker *w, struct orch_json *result, struct orch_err *err)
{
	const struct worker_request *q = w->request;
	struct sync_committed made;
	struct sync_commit_spec spec = {.packs = w->packs,
	    .quarantine = w->quarantine,
	    .base = &q->snapshot,
	    .layers_fd = q->fds[WORKER_FD_LAYERS],
	    .layers = q->layers,
	    .layer_count = q->layer_count,
	    .source = q->source,
	    .source_len = q->source ? strlen(q->source) : 0};
	int r = sync_commit(w->task, &spec, &made, err);

	if (r < 0) {
		orch_err_wrap(err, "commit");
		return r;
	}
	worker_put_snapshot(result, &made.snapshot, made.files, made.bytes);
	return 0;
}
