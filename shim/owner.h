/* Whose a workspace is to be: --owner. Pure. */
#ifndef ORCH_SHIM_OWNER_H
#define ORCH_SHIM_OWNER_H

#include <stdint.h>
#include "core/compiler.h"

/* UID or UID:GID (the group alone is that of the same number). 0: *out_uid and *out_gid are set, and none is the
 * number that means "no change" to the kernel; -ENOENT: it may be a user's name; -EINVAL: UID:, and no GID. */
int shim_owner_parse(const char *text, uint32_t *out_uid, uint32_t *out_gid)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
