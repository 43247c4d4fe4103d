/* What the phases that talk to the daemon share. */
#ifndef ORCH_SHIM_BUILD_STORE_H
#define ORCH_SHIM_BUILD_STORE_H

#include "shim/build.h"

/* The ref's snapshot; "" when there is no such ref. */
int shim_build_ref(struct shim_build *b, const char *name, char out[SHIM_ID_BYTES],
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* "record": what the snapshot is, for whom it was made; source: what a result was built from, or NULL. */
int shim_build_add_record(struct shim_build *b, struct orch_json *body, const char *kind,
    const char *source, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* b->start_id: mine with the new source in it, as if no build had touched that; counts what changed. */
int shim_build_apply(struct shim_build *b, const char *base, const char *mine, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Points a ref to id whatever it pointed to; tried again while others move it. */
int shim_build_move_ref(struct shim_build *b, const char *name, const char *id,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
