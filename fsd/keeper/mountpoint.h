/* Folders on which workspaces are mounted: default ones, given ones (checked under the peer's
 * ids), stale mounts, who uses a mount. */
#ifndef FSD_KEEPER_MOUNTPOINT_H
#define FSD_KEEPER_MOUNTPOINT_H

#include <stdbool.h>
#include "core/buf.h"
#include "peer.h"

/* One line of /proc/self/mountinfo. */
struct fsd_mountinfo {
	unsigned major, minor;
	char type[64]; /* "fuse.orch", ... */
};
/* The topmost mount on exactly that path: 1 and *out, 0: none, or -errno. Asks nothing of the
 * mounted file system. */
int fsd_mountpoint_find(const char *path, struct fsd_mountinfo *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Picks the mount from the text of a mountinfo file. Pure. */
bool fsd_mountinfo_find(const char *text, size_t len, const char *path, struct fsd_mountinfo *out)
    ORCH_NONNULL(1, 3, 4);

/* Makes mounts/<name>, root's, 0755. A stale FUSE mount on it is detached; -EBUSY: something else
 * is mounted there. */
int fsd_mountpoint_prepare(const char *path, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* Removes the folder again when it is empty and nothing is mounted on it. */
void fsd_mountpoint_discard(const char *path) ORCH_NONNULL(1);
/* A path that a peer gave: absolute, an existing, empty folder of the peer's, or any for root,
 * that the peer may enter. *out (PATH_MAX bytes) is its real path. */
int fsd_mountpoint_check(const struct fsd_peer *peer, const char *path, char *out, size_t cap,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* umount -l of a FUSE mount whose process has gone; nothing mounted: 0. */
int fsd_mountpoint_detach(const char *path, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* Appends ": in use by make (pid 12), ..." as far as /proc tells; at most a few. */
void fsd_mountpoint_users(const char *path, struct orch_buf *out) ORCH_NONNULL(1, 2);

#endif
