/*
 * build.log: every byte that the command wrote, in order, in a file; and, if asked, live on a
 * descriptor (a terminal, a pipe). The file is written first and never waits for the live side: a thread
 * reads it from there on its own, so a reader that is slow, or stops, costs no memory and holds up no
 * build. Bytes are not touched on either side.
 */
#ifndef ORCH_OUTPUT_BUILD_LOG_H
#define ORCH_OUTPUT_BUILD_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"

struct out_log;

/* Creates `name` in the folder (-EEXIST when it is there). live_fd is borrowed, may be in non-blocking
 * mode; -1: no live side. */
int out_log_open(int dirfd, const char *name, int live_fd, struct out_log **out,
    struct orch_err *err) ORCH_NONNULL(2, 4) ORCH_WUR;
/* 0 or -errno of the write to the file (ENOSPC, ...), which then is kept for every later call. Any thread. */
int out_log_write(struct out_log *l, const void *p, size_t n) ORCH_NONNULL(1) ORCH_WUR;
uint64_t out_log_bytes(struct out_log *l) ORCH_NONNULL(1);
/* Waits until the live side has shown all that was written so far, or can't any more, or the
 * deadline (absolute, orch_clock_ns) passes: -ETIMEDOUT. */
int out_log_flush(struct out_log *l, uint64_t deadline_ns) ORCH_NONNULL(1) ORCH_WUR;
/* Whether nobody reads the live side any more (EPIPE, EIO). */
bool out_log_live_gone(struct out_log *l) ORCH_NONNULL(1);
/* Flushes the live side until the deadline, ends its thread, closes the file (fsync). 0, or -errno of the
 * first failed write. NULL is taken. */
int out_log_close(struct out_log *l, uint64_t deadline_ns) ORCH_WUR;

#endif
