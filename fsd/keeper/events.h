/*
 * The lines of a stream on their way from the thread that works to the one that sends: a bounded
 * queue. One producer, one consumer. The producer waits while the client does not read; the
 * consumer polls wake_fd beside the client's socket.
 */
#ifndef FSD_KEEPER_EVENTS_H
#define FSD_KEEPER_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/json.h"

struct fsd_events;

/* stall_ms: how long an _add waits for a client that does not read. NULL: no memory. */
struct fsd_events *fsd_events_new(uint64_t stall_ms) ORCH_WUR;
void fsd_events_free(struct fsd_events *e);

/* One line without its newline. -ECANCELED: the client has gone; -ETIMEDOUT: it does not read. */
int fsd_events_add(struct fsd_events *e, const void *line, size_t n) ORCH_NONNULL(1, 2) ORCH_WUR;
int fsd_events_add_json(struct fsd_events *e, const struct orch_json *line)
    ORCH_NONNULL(1, 2) ORCH_WUR;
bool fsd_events_any(struct fsd_events *e) ORCH_NONNULL(1); /* whether a line was ever added */
/* The last line (NULL: none), which is taken whatever happened; no more follow. */
void fsd_events_end(struct fsd_events *e, const void *line, size_t n) ORCH_NONNULL(1);

void fsd_events_cancel(struct fsd_events *e) ORCH_NONNULL(1); /* the consumer has gone */
int fsd_events_wake_fd(struct fsd_events *e) ORCH_NONNULL(1); /* borrowed */
/* Up to max bytes; 0: nothing yet; -ENODATA: ended and everything was taken. */
ssize_t fsd_events_take(struct fsd_events *e, char *out, size_t max) ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
