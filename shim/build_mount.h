/* Whether the mount under a build has lived as long as its command. */
#ifndef ORCH_SHIM_BUILD_MOUNT_H
#define ORCH_SHIM_BUILD_MOUNT_H

#include "shim/build.h"

struct shim_mount_watch {
	int pidfd, epoll; /* -1: none */
};

/* An fd that is readable once the mount's process has ended or the build is cancelled; the latter
 * alone where the process can't be watched. Borrowed: good until unwatch, which is due always. */
int shim_build_mount_watch(const struct shim_build *b, struct shim_mount_watch *w)
    ORCH_NONNULL(1, 2) ORCH_WUR;
void shim_build_mount_unwatch(struct shim_mount_watch *w) ORCH_NONNULL(1);

/* Asks the kernel, then the daemon: seconds when that one is busy. */
bool shim_build_mount_lost(struct shim_build *b) ORCH_NONNULL(1) ORCH_WUR;
/* Says so: -EIO. */
int shim_build_mount_error(const struct shim_build *b, struct orch_err *err) ORCH_NONNULL(1, 2);

#endif
