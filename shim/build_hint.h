/* What to do about an error that ended a build, by what it is. */
#ifndef ORCH_SHIM_BUILD_HINT_H
#define ORCH_SHIM_BUILD_HINT_H

#include "shim/build.h"

/* Fills b->hint; leaves it empty where nothing is known but to try again. May ask the daemon. */
void shim_build_hint(struct shim_build *b, const char *phase, const struct orch_err *err)
    ORCH_NONNULL(1, 2, 3);

#endif
