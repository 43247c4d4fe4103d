/*
 * What needs the mount process of a workspace: one that is not mounted is mounted for that time at its
 * default place, so there is one mechanism. The caller has acquired the workspace.
 */
#ifndef FSD_KEEPER_WS_VISIT_H
#define FSD_KEEPER_WS_VISIT_H

#include "registry.h"

struct fsd_ws_visit {
	bool mine; /* mounted by _enter; _leave unmounts it */
	char path[sizeof(((struct fsd_ws_record *)0)->path)]; /* where it belongs otherwise */
	bool at_given;
};

int fsd_ws_enter(struct fsd_request *r, struct fsd_ws *ws, struct fsd_ws_visit *v,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* After a successful _enter. Failures are logged: the workspace stays mounted. */
void fsd_ws_leave(struct fsd_request *r, struct fsd_ws *ws, const struct fsd_ws_visit *v)
    ORCH_NONNULL(1, 2, 3);

#endif
