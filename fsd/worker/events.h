/*
 * What a worker says on its standard output: one JSON object a line (docs/worker.md). One thread at
 * a time (struct sync_task sees to that for its listener).
 */
#ifndef ORCH_WORKER_EVENTS_H
#define ORCH_WORKER_EVENTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include "core/buf.h"
#include "core/json.h"
#include "sync/task.h"

#define WORKER_WARNINGS_MAX 1000

struct worker_events {
	int fd;
	atomic_bool *cancel; /* set when nobody reads any more */
	uint64_t warnings;
	struct sync_listener listener; /* hand this to a task */
};

void worker_events_init(struct worker_events *e, int fd, atomic_bool *cancel) ORCH_NONNULL(1, 3);
/* The last line. Takes *result over. 0, or -errno when it could not be written. */
int worker_events_result(struct worker_events *e, struct orch_json **result) ORCH_NONNULL(1, 2);
/* As last line an error. *conflicts (conflicts may be NULL) is a list, taken over. */
int worker_events_error(struct worker_events *e, const struct orch_err *err,
    struct orch_json **conflicts, uint64_t conflict_count) ORCH_NONNULL(1, 2);
/* Text as UTF-8: what is not becomes \xHH. malloc'd; NULL: no memory. */
char *worker_events_text(const char *s) ORCH_NONNULL(1) ORCH_WUR;

#endif
