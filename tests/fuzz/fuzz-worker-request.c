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
	if ((unsigned)q.job >= WORKER_JOBS || q.fds[WORKER_FD_PACKS] < 3 ||
	    (q.dir && q.dir[0] != '/'))
		abort();
	worker_request_fini(&q);
	return 0;
}
