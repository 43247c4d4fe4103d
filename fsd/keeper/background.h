/* Going to the background: the first process waits until the daemon answers, or tells why not. */
#ifndef FSD_KEEPER_BACKGROUND_H
#define FSD_KEEPER_BACKGROUND_H

#include "core/err.h"

/* Forks. In the daemon: returns 1, *out_ready_fd is where "ready\n" or fsd_background_failed goes.
 * In the first process: returns 0 once the daemon answers, or -errno with its reason.
 * Must run before any thread. */
int fsd_background_start(int *out_ready_fd, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* What the first process reads, up to the end of the pipe and not empty: 0, or the daemon's error. */
int fsd_background_parse(const char *text, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* In the daemon: it can't come up. */
void fsd_background_failed(int ready_fd, const struct orch_err *err) ORCH_NONNULL(2);

#endif
