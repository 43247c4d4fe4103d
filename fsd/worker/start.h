/*
 * How a worker begins: signals, the task from standard input, descriptors, ids. Called once, by
 * main, before there are threads.
 */
#ifndef ORCH_WORKER_START_H
#define ORCH_WORKER_START_H

#include <stdatomic.h>
#include <stdbool.h>
#include "core/buf.h"
#include "fsd/worker/request.h"

/* SIGTERM and SIGINT set *the returned flag; SIGPIPE is ignored; umask 0077; not dumpable. */
atomic_bool *worker_start_signals(void);
/* Standard input up to its end, at most WORKER_TASK_MAX. */
int worker_start_read(struct orch_buf *out, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* Checks that the descriptors are folders, makes them close-on-exec, closes all others above 2. */
int worker_start_fds(const struct worker_request *q, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* With "place": mounts the quarantine there, for this process and what it starts alone, since git wants a
 * path by which its user gets to it. Before the ids. */
int worker_start_place(const struct worker_request *q, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;
/* Takes on the ids; afterwards nothing can be gained back, and the parent's death ends us. */
int worker_start_ids(const struct worker_request *q, pid_t parent, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;

#endif
