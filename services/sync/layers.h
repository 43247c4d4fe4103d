/* Sealed layers read back: every log.<segment> of layers/<id>/ replayed in order. */
#ifndef ORCH_SYNC_LAYERS_H
#define ORCH_SYNC_LAYERS_H

#include "format/overlay.h"

/* Applies all segments of one layer to o. A torn tail is an error: a sealed layer has none. */
int sync_layer_replay(int layers_fd, uint64_t layer, struct fmt_overlay *o, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
/* Opens a private file for reading. fd or -errno. */
int sync_layer_open_spool(int layers_fd, uint64_t layer, uint64_t spool) ORCH_WUR;

#endif
