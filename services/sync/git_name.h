/*
 * Which names of a Git tree may become files. What Git itself refuses to check out is refused here,
 * in all its disguises at once, whatever the file systems are that a workspace will be seen from.
 * Pure.
 */
#ifndef ORCH_SYNC_GIT_NAME_H
#define ORCH_SYNC_GIT_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include "core/buf.h"

/* NULL: it may. Else why not, to follow the name in a sentence. */
const char *sync_git_name_wrong(const char *name, size_t len, bool is_link) ORCH_NONNULL(1);
/* Appends the name as a message shows it: what is no printable UTF-8 becomes \xHH. */
int sync_git_name_show(const char *name, size_t len, struct orch_buf *out)
    ORCH_NONNULL(1, 3) ORCH_WUR;

#endif
