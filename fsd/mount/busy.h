/*
 * Who keeps a mount busy: for the message of a refused unmount, and those that an unmount would not
 * see. Nothing is asked of the mount itself.
 */
#ifndef ORCH_FSD_MOUNT_BUSY_H
#define ORCH_FSD_MOUNT_BUSY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "core/compiler.h"

/* "make (pid 123)" of the first process that is found with its folder or an open file in it. */
bool mnt_busy_find(const char *mountpoint, char *out, size_t cap) ORCH_NONNULL(1, 2);
/*
 * The same of those for whom the kernel does not refuse the unmount: processes in another mount
 * namespace (a sandbox) with a folder, an open file or a mapping on the mount's device, or whose
 * namespace has the mount at another place than ours and than its views (in a folder FMT_VIEWS_FOLDER). A copy at our place that nobody is in does not
 * count: any namespace that was made meanwhile has one. Neither does one at our path below some folder:
 * that is a copy of the whole tree, as every sandbox has while it is made. When the mount is not in our namespace any more,
 * processes of ours count too.
 */
bool mnt_busy_elsewhere(dev_t dev, const char *mountpoint, char *out, size_t cap)
    ORCH_NONNULL(2, 3);
/* Is a mount of that device in our namespace? */
bool mnt_busy_is_here(dev_t dev);

#endif
