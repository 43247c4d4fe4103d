/*
 * What is wrong with what the store knows of a workspace, and what can be made good: a record that
 * can't be read is made again from the heads of its layers; a log that lost its end is told.
 */
#ifndef FSD_KEEPER_WS_MEND_H
#define FSD_KEEPER_WS_MEND_H

#include "cache/verify.h"
#include "daemon.h"
#include "registry.h"

/* What layers say of the workspace: its name, snapshot, owner, top layer. The rest (where it was
 * mounted, whether read-only) is as for a new one. 1: found, 0: no layer is its. */
int fsd_ws_rebuild(struct fsd_daemon *d, const char *name, struct fsd_ws_record *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* Of one that is not mounted: whether its layers end where the last mount process said they do.
 * -ORCH_ECORRUPT: the end of a log is missing. Only within the same boot: a power cut may take what was
 * not synced. */
int fsd_ws_check_end(struct fsd_daemon *d, const struct fsd_ws_record *rec, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* For cas_verify: looks at a record of namespace CAS_NS_WORKSPACE, and mends it. */
int fsd_ws_verify(struct fsd_daemon *d, bool repair, const char *name,
    const struct orch_json *value, struct cas_record_state *out) ORCH_NONNULL(1, 3, 5) ORCH_WUR;

#endif
