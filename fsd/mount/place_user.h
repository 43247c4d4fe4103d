/*
 * An ordinary user's mount: fusermount3, which is set-uid, makes it and sends us the kernel's end. Run by us and
 * not by libfuse, so that it has a deadline and that what it says becomes part of the error.
 *
 * Threads: called before there are others, since the environment is changed for a moment.
 */
#ifndef ORCH_FSD_MOUNT_PLACE_USER_H
#define ORCH_FSD_MOUNT_PLACE_USER_H

#include "fsd/mount/place.h"

/* On `mountpoint`, by path: there is nobody's right but ours. s->folder is not used. *out_fuse_fd is the caller's.
 * -EOPNOTSUPP: there is no fusermount3, or it refuses: err says what it said; -ETIMEDOUT: it hangs, and may have
 * mounted. Blocks until it has ended. */
int mnt_place_by_user(const char *mountpoint, const struct mnt_place_spec *s, uint64_t deadline_ns,
    int *out_fuse_fd, struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;

#endif
