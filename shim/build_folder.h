/* The run's folder: where results go, and what of earlier runs makes room for them. */
#ifndef ORCH_SHIM_BUILD_FOLDER_H
#define ORCH_SHIM_BUILD_FOLDER_H

#include "shim/build.h"

/* Pure: whether it can be the run's folder at all. -EINVAL. */
int shim_build_folder_check(const struct shim_build *b, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;
/* Makes, opens and locks it; removes what an earlier run left of what this one makes. -EINVAL when
 * another run is at work in it, or something is in the way that no run has made: then nothing was
 * removed. */
int shim_build_folder(struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* The manifest is written: it tells from now on what is a run's. */
void shim_build_folder_done(struct shim_build *b) ORCH_NONNULL(1);

#endif
