/* The state of an instant: the top layer of a workspace is sealed (fsd/mount/seal.c), the workspace
 * goes on in a new one. The caller has acquired the workspace. */
#ifndef FSD_KEEPER_WS_SEAL_H
#define FSD_KEEPER_WS_SEAL_H

#include "mount_client.h"
#include "registry.h"

#define FSD_CHAIN_LONG 128 /* layers; two descriptors of the mount process each */

/* Seals a mounted one, and records the new layer. share: when nothing was changed since the last seal,
 * that one's layer does. fsd_seal_fini. */
int fsd_ws_seal(struct fsd_request *r, struct fsd_ws *ws, bool share, struct fsd_seal *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;
/* The same of any: one that is not mounted is mounted for that time, a read-only one needs nothing. */
int fsd_ws_seal_any(struct fsd_request *r, struct fsd_ws *ws, bool share, struct fsd_seal *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;

#endif
