/*
 * What every algorithm of this room is given beside its input: how to be cancelled, where progress
 * and warnings go, what it counts, and the first failure of its threads. Thread-safe after _init.
 */
#ifndef ORCH_SYNC_TASK_H
#define ORCH_SYNC_TASK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "core/err.h"
#include "core/pool.h"
#include "core/strv.h"

/* How far something is that comes from elsewhere. 0: not known. */
struct sync_transfer {
	uint64_t done, total; /* objects */
	uint64_t bytes;
	uint64_t rate_bytes; /* a second */
	uint64_t left_ms;
};

struct sync_listener {
	/* At most ten times a second, by one thread at a time. May be NULL. */
	void (*on_progress)(void *priv, const char *phase, uint64_t files, uint64_t bytes);
	/* The same of a transfer. May be NULL. */
	void (*on_transfer)(void *priv, const char *phase, const struct sync_transfer *t);
	/* One line without a newline; bytes of names as they are. One at a time. May be NULL. */
	void (*on_warning)(void *priv, const char *message);
	void *priv;
};

#define SYNC_SKIPPED_MAX    1000 /* paths remembered */
#define SYNC_UNREADABLE_MAX 8	 /* paths named in the error */

struct sync_task {
	const atomic_bool *cancel; /* borrowed, never NULL; a signal handler may set it */
	unsigned threads;	   /* 0: one for each CPU */
	const struct sync_listener *listener; /* borrowed; NULL: nobody listens */
	const char *phase;		      /* static string, for progress */

	/* Counted. files and bytes are what progress shows. */
	_Atomic uint64_t files, bytes, read_files, read_bytes, hashed_files, skipped;
	_Atomic uint64_t next_tick_ns;
	_Atomic bool failed;

	pthread_mutex_t lock; /* the members below, and calls of the listener */
	struct orch_err err;
	struct orch_strv skipped_paths;
	struct orch_strv unreadable;
	size_t unreadable_count;
	int unreadable_code;
};

void sync_task_init(struct sync_task *t, const atomic_bool *cancel,
    const struct sync_listener *listener) ORCH_NONNULL(1, 2);
void sync_task_fini(struct sync_task *t) ORCH_NONNULL(1);

/* Whether threads should end: cancelled, or one of them failed. */
bool sync_task_stopped(struct sync_task *t) ORCH_NONNULL(1);
/* Records a failure; the first one wins. err may be NULL: then code (positive errno) alone. */
void sync_task_fail(struct sync_task *t, const struct orch_err *err, int code) ORCH_NONNULL(1);
/* A path that can't be read: the work goes on so that all of them are named, then fails. */
void sync_task_unreadable(struct sync_task *t, const char *path, int code) ORCH_NONNULL(1, 2);
/* 0, or the failure: cancelled, the first error, the unreadable paths. */
int sync_task_result(struct sync_task *t, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

void sync_task_warn(struct sync_task *t, const char *fmt, ...) ORCH_NONNULL(1, 2) ORCH_PRINTF(2, 3);
/* An entry that a snapshot can't hold: counted, remembered, and a warning "skipped <what> <path>". */
void sync_task_skip(struct sync_task *t, const char *what, const char *path) ORCH_NONNULL(1, 2, 3);
/* Sorted, at most SYNC_SKIPPED_MAX, so that two runs tell the same. Call when no thread runs. */
const struct orch_strv *sync_task_skipped(struct sync_task *t) ORCH_NONNULL(1);
/* Tells how far a transfer is; the caller sees to it that this is not too often. */
void sync_task_transfer(struct sync_task *t, const char *phase, const struct sync_transfer *how)
    ORCH_NONNULL(1, 2, 3);
/* Tells progress if the last telling is long enough ago. */
void sync_task_tick(struct sync_task *t) ORCH_NONNULL(1);

#endif
