/*
 * Freezing of control groups that somebody else has made: their folders were written down, and are
 * hostile until opened here. Version 2 (cgroup.freeze) and the freezer of version 1. What is frozen
 * stands still with all groups below it, whatever it does; only who freezes can thaw it. No state, no
 * threads.
 */
#ifndef ORCH_CORE_FREEZER_H
#define ORCH_CORE_FREEZER_H

#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"
#include "core/err.h"

/*
 * The folder of a group that can be frozen, as a descriptor. The path lies below /sys/fs/cgroup, has
 * no link in it, is a control group's as the kernel says, and its name begins with "orch.".
 * -EINVAL: it is not so; -ENOTSUP: the hierarchy has no freezer; -ENOENT: it is gone.
 */
int orch_freezer_open(const char *path, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/*
 * Freezes all of them and waits until they stand still. -ETIMEDOUT: some did not before the deadline
 * (a process is stuck in the kernel). After a failure all are thawed.
 */
int orch_freezer_freeze(
    const int *groups, size_t count, uint64_t deadline_ns, struct orch_err *err) ORCH_WUR;
/* They go on; what was not frozen is left as it is. The first error, after all were tried. */
int orch_freezer_thaw(const int *groups, size_t count);

/* The processes in the group and below it, in no order, by their numbers here; -1 for one of another
 * pid namespace. *out is malloc'd, the caller's. */
int orch_freezer_pids(int group, int32_t **out, size_t *out_count) ORCH_NONNULL(2, 3) ORCH_WUR;

#endif
