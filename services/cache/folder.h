/* Names in folders of the store; for this room only. */
#ifndef ORCH_CACHE_FOLDER_H
#define ORCH_CACHE_FOLDER_H

#include <stdint.h>
#include "core/err.h"

/* Calls fn for each name but "." and ".." in the folder `sub` of dirfd ("." for dirfd itself), with
 * a descriptor of that folder. A non-zero return of fn ends it and is returned. */
int cas_dir_each(int dirfd, const char *sub, int (*fn)(void *priv, int dirfd, const char *name),
    void *priv, struct orch_err *err) ORCH_NONNULL(2, 3) ORCH_WUR;

/* "12" -> 12; -EINVAL for 0 and anything that a number would not be written as. */
int cas_number_parse(const char *name, uint64_t *out) ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
