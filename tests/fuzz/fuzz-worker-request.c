/* The task that a worker reads from its standard input. */
#include <stdlib.h>
#include <string.h>
#include "fsd/worker/request.h"
#include "tests/lib/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct worker_request q;
	struct orch_err err = ORCH_ERR_INIT;
	int r;

	if (size > WORKER_TASK_MAX)
		return 0;
	r = worker_request_parse((const char *)data, size, &q, &err);
	if (r < 0) {
		if (r != -EINVAL || err.code != EINVAL)
			abort();
		return 0;
	}
	/* jobs about Git have nothing of the packs, and what they have to do with */
	if ((unsigned)q.job >= WORKER_JOBS || (q.dir && q.dir[0] != '/') ||
	    (q.git.place && q.git.place[0] != '/') ||
	    (q.job < WORKER_GIT_FIND && q.fds[WORKER_FD_PACKS] < 3) ||
	    (q.job == WORKER_GIT_FETCH && (!q.git.url || q.fds[WORKER_FD_QUARANTINE] < 3)) ||
	    (q.job == WORKER_GIT_FIND && (!q.git.rev || q.fds[WORKER_FD_MIRROR] < 3)))
		abort();
	worker_request_fini(&q);
	return 0;
}
