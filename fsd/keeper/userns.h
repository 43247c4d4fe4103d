/* User namespaces in which nobody lives: they hold the tables of ids of an idmapped mount. */
#ifndef FSD_KEEPER_USERNS_H
#define FSD_KEEPER_USERNS_H

#include "core/err.h"

/* A descriptor of a new one with these tables (the text of uid_map and gid_map), the caller's. A child is
 * forked, and is gone when this returns. Takes privilege over the ids in the tables. */
int fsd_userns_open(const char *uid_map, const char *gid_map, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
