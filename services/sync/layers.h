/* Sealed layers read back. */
#ifndef ORCH_SYNC_LAYERS_H
#define ORCH_SYNC_LAYERS_H

#include "format/overlay.h"

/* Applies the log of one layer to o. -ORCH_ECORRUPT, too, when it is not sealed. */
int sync_layer_replay(int layers_fd, uint64_t layer, struct fmt_overlay *o, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
/* Opens a private file for reading. fd or -errno. */
int sync_layer_open_spool(int layers_fd, uint64_t layer, uint64_t spool) ORCH_WUR;

#endif
