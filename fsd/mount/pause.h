/*
 * The jobs of the workspace stand still while a seal takes what they write: their control groups are
 * frozen here, not by the keeper, so that a keeper that is killed meanwhile leaves nobody frozen.
 *
 * Threads: one of its own for as long as the pause lasts, which thaws when the time is over, whatever
 * the thread that began it is doing then.
 */
#ifndef ORCH_FSD_MOUNT_PAUSE_H
#define ORCH_FSD_MOUNT_PAUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"

struct mnt_pause;

/* Freezes the groups (folders, borrowed until _end) for at most limit_ms. This process may not be in
 * one of them. After a failure nobody is frozen. */
int mnt_pause_begin(const int *groups, size_t count, uint64_t limit_ms, struct mnt_pause **out,
    struct orch_err *err) ORCH_NONNULL(1, 4) ORCH_WUR;
/* Whether they stand still, without a break since _begin. */
bool mnt_pause_holds(struct mnt_pause *p) ORCH_NONNULL(1);
/* The processes that stand still, ascending. Borrowed until _end. */
const int32_t *mnt_pause_pids(const struct mnt_pause *p, size_t *out_count) ORCH_NONNULL(1, 2);
/* They go on. Returns how long they stood still, in nanoseconds; frees. */
uint64_t mnt_pause_end(struct mnt_pause *p) ORCH_NONNULL(1);

#endif
