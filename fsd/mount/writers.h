/*
 * Which files of the workspace may be written at an instant at which its jobs stand still, and by whom
 * besides these: what a paused seal needs to know of a copy, is it exact or only what was last seen?
 */
#ifndef ORCH_FSD_MOUNT_WRITERS_H
#define ORCH_FSD_MOUNT_WRITERS_H

#include "fsd/mount/ns_priv.h"

struct mnt_writers;

/*
 * Looks now: at the files that may be written, and at every process but those (ascending) for
 * descriptors and mappings of them; has the kernel write what it holds of their data. dev: of the
 * mount, as its users see it. Takes the lock, and is called without it by a thread that serves no
 * requests. After a failure nothing is known.
 */
int mnt_writers_find(struct mnt_ns *ns, const int32_t *jobs, size_t count, dev_t dev,
    struct mnt_writers **out) ORCH_NONNULL(1, 5) ORCH_WUR;
/* With the lock held. Who outlived an earlier mount process has the file under another number of a device:
 * he can't be found. True: whoever could write the file since _find stands still, if he still does. */
bool mnt_writers_still(const struct mnt_writers *w, const struct mnt_node *n) ORCH_NONNULL(1, 2);
/* Takes the lock. NULL is allowed for w. */
void mnt_writers_free(struct mnt_ns *ns, struct mnt_writers *w) ORCH_NONNULL(1);

#endif
