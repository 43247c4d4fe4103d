/*
 * Where root's mount lies: made on an open folder, so that nobody can put another in its place between
 * a check and the mount, and taken away by its id, wherever the folder was moved to. Knows nothing of
 * FUSE's protocol; an ordinary user's mount is made by fusermount3 instead (place_user.h).
 */
#ifndef ORCH_FSD_MOUNT_PLACE_H
#define ORCH_FSD_MOUNT_PLACE_H

#include <stdbool.h>
#include <stdint.h>
#include "core/err.h"

struct mnt_place_spec {
	int folder;	    /* O_PATH is enough; borrowed */
	const char *source; /* what /proc/mounts shows; no other mount's */
	bool allow_other, read_only;
};

/* *out_fuse_fd (/dev/fuse, the caller's) is the kernel's end, *out_id the id of the mount. */
int mnt_place_mount(const struct mnt_place_spec *s, int *out_fuse_fd, uint64_t *out_id,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* The mount with that id and source; 0 also when it is gone already. -EBUSY: in use (not with lazy). */
int mnt_place_unmount(uint64_t id, const char *source, bool lazy, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
/* Every mount with that source, lazily: views of it (fsd/keeper/views.h) too. */
int mnt_place_detach_all(const char *source, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

#endif
