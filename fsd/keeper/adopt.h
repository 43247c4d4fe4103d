/*
 * The start of a keeper: the records of workspaces are brought together with what is really there.
 * Living mounts are adopted, dead ones cleared away, layers without a workspace removed. Runs
 * before anything is served.
 */
#ifndef FSD_KEEPER_ADOPT_H
#define FSD_KEEPER_ADOPT_H

#include <stdint.h>
#include "daemon.h"

struct fsd_ws;

/* A workspace that can't be brought in order is shown with its error; only a failure of the store
 * itself is returned. */
int fsd_adopt(struct fsd_daemon *d, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* Later, of one that did not answer then (fsd_ws_is_deaf; acquired): what it says now. */
int fsd_adopt_again(struct fsd_daemon *d, struct fsd_ws *ws, uint64_t deadline_ns,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
