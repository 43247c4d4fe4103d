/*
 * A bounded pool of threads for CPU- or I/O-heavy tasks (hashing, copying). Tasks may add tasks.
 * With no memory for a thread it still makes progress in the calling thread.
 */
#ifndef ORCH_CORE_POOL_H
#define ORCH_CORE_POOL_H

#include <stddef.h>
#include "core/compiler.h"

struct orch_pool;
typedef void orch_pool_fn(void *arg);

/* threads 0: one per available CPU. queue_max: adds beyond it from outside block. NULL: no memory. */
struct orch_pool *orch_pool_new(unsigned threads, size_t queue_max) ORCH_WUR;
/* Never fails: runs the task itself when it can't be queued. */
void orch_pool_add(struct orch_pool *p, orch_pool_fn *fn, void *arg) ORCH_NONNULL(1, 2);
/* Returns when no task is queued or running. */
void orch_pool_drain(struct orch_pool *p) ORCH_NONNULL(1);
void orch_pool_free(struct orch_pool *p); /* drains */
unsigned orch_cpu_count(void);		  /* of the affinity mask; at least 1 */

#endif
