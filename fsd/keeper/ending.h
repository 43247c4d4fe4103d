/*
 * What may still begin while the daemon is about to end, and how it ends: stopped, or replaced by the
 * program at its path. A stop waits for mounts in use and refuses new work meanwhile; an upgrade waits
 * for running streams and asks the clients of new ones to come again. Atomic; no locks.
 */
#ifndef FSD_KEEPER_ENDING_H
#define FSD_KEEPER_ENDING_H

#include <stdatomic.h>
#include <stdbool.h>
#include "core/err.h"

enum fsd_end {
	FSD_END_NONE,
	FSD_END_STOP,
	FSD_END_REPLACE,
};

struct fsd_ending {
	atomic_uint stops;     /* requests that want the end and wait for mounts */
	atomic_bool upgrading; /* one request wants to be the last before the successor */
	atomic_int end;	       /* enum fsd_end; once decided it stays */
};

/* A new mount, import, export, apply: -ESHUTDOWN when a stop waits or is decided. */
int fsd_ending_check(const struct fsd_ending *e, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* A new stream, which was counted as running before: -EAGAIN when an upgrade waits for its end. */
int fsd_ending_check_stream(const struct fsd_ending *e, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;

/* Stops may wait side by side. -EAGAIN: an upgrade is decided. Undone by _give_up_stop. */
int fsd_ending_begin_stop(struct fsd_ending *e, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
void fsd_ending_give_up_stop(struct fsd_ending *e) ORCH_NONNULL(1);
/* -EBUSY: another upgrade is under way, -ESHUTDOWN: the daemon is stopping. Undone by _give_up_upgrade. */
int fsd_ending_begin_upgrade(struct fsd_ending *e, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
void fsd_ending_give_up_upgrade(struct fsd_ending *e) ORCH_NONNULL(1);
/* The first decision counts. Whether it is (now) that one. */
bool fsd_ending_decide(struct fsd_ending *e, enum fsd_end how) ORCH_NONNULL(1);

#endif
