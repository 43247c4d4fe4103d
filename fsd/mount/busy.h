/* Who keeps a mount busy, for the message of a refused unmount. */
#ifndef ORCH_FSD_MOUNT_BUSY_H
#define ORCH_FSD_MOUNT_BUSY_H

#include <stdbool.h>
#include <stddef.h>
#include "core/compiler.h"

/* "make (pid 123)" of the first process that is found with its folder or an open file in it. */
bool mnt_busy_find(const char *mountpoint, char *out, size_t cap) ORCH_NONNULL(1, 2);

#endif
