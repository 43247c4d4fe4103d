/* Where a workspace is mounted, and how one that could not be made disappears again. */
#ifndef FSD_KEEPER_WS_PLACE_H
#define FSD_KEEPER_WS_PLACE_H

#include "registry.h"

/* Sets rec->path and at_given: `at`, checked under the peer's ids and held open in ws (acquired), or
 * the default for NULL. */
int fsd_ws_place(struct fsd_request *r, struct fsd_ws *ws, struct fsd_ws_record *rec,
    const char *at, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* Forgets an acquired workspace that was just made, and its layer. Failures are logged. */
void fsd_ws_undo_create(struct fsd_daemon *d, struct fsd_ws *ws, uint64_t layer) ORCH_NONNULL(1, 2);

#endif
