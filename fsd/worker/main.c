/* orch-worker: one task, then it ends (docs/worker.md). This file wires. */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>
#include "core/guard.h"
#include "fsd/worker/events.h"
#include "fsd/worker/jobs.h"
#include "fsd/worker/start.h"
#include "sync/gitcred.h"

static int start(struct worker_request *q, pid_t parent, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	int r = worker_start_read(&text, err);

	if (r == 0)
		r = worker_request_parse((const char *)text.data, text.len, q, err);
	if (r == 0)
		r = worker_start_fds(q, err);
	if (r == 0)
		r = worker_start_place(q, err);
	if (r == 0)
		r = worker_start_ids(q, parent, err);
	return r;
}

static int run(struct worker_events *events, const struct worker_request *q, atomic_bool *cancel,
    struct orch_err *err)
{
	orch_auto(json) struct orch_json *result = NULL;
	orch_auto(json) struct orch_json *conflicts = NULL;
	uint64_t conflict_count = 0;
	struct sync_task task;
	int r = orch_guard_install();

	if (r < 0) {
		orch_err_sys(err, -r, "guard of mapped files");
		(void)worker_events_error(events, err, NULL, 0);
		return r;
	}
	sync_task_init(&task, cancel, &events->listener);
	task.threads = q->threads;
	r = worker_run(q, &task, &result, &conflicts, &conflict_count, err);
	sync_task_fini(&task);
	/* what was decoded from them may have become zeros behind its check */
	if (r == 0 && orch_guard_hits() > 0)
		r = orch_err_set(err, ORCH_ECORRUPT,
		    "a file of the store was cut while it was read: `store verify` tells which");
	if (r == 0)
		return worker_events_result(events, &result);
	(void)worker_events_error(events, err, &conflicts, conflict_count);
	return r;
}

int main(int argc, char **argv)
{
	const pid_t parent = getppid();
	atomic_bool *cancel = worker_start_signals();
	struct orch_err err = ORCH_ERR_INIT;
	struct worker_request request = {0};
	struct worker_events events;
	int r;

	if (argc == 3 && strcmp(argv[1], SYNC_GITCRED_WORD) == 0)
		return sync_gitcred_main(argv[2]); /* started by git */
	worker_events_init(&events, STDOUT_FILENO, cancel);
	r = start(&request, parent, &err);
	if (r < 0)
		(void)worker_events_error(&events, &err, NULL, 0);
	else
		r = run(&events, &request, cancel, &err);
	worker_request_fini(&request);
	return r < 0;
}
