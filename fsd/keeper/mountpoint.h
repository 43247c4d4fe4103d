/* Folders on which workspaces are mounted: default ones, given ones (checked under the peer's
 * ids), stale mounts, who uses a mount. */
#ifndef FSD_KEEPER_MOUNTPOINT_H
#define FSD_KEEPER_MOUNTPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include "core/buf.h"
#include "peer.h"

/* Makes mounts/<name>, root's, 0555 (an ordinary user's: 0755), and opens it (O_PATH, *out_fd is the caller's). The
 * mount of a dead process on it is detached; -EBUSY: something else is mounted there. */
int fsd_mountpoint_prepare(const char *path, int *out_fd, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Has the kernel ask the file system mounted there for its root; a child does, with a deadline. -errno */
int fsd_mountpoint_look(const char *path) ORCH_NONNULL(1);
/* Removes the folder again when nothing is mounted on it; one that is not empty stays, and the log says so. */
void fsd_mountpoint_discard(const char *path) ORCH_NONNULL(1);
/* Says in the log when the open folder (O_PATH), below the mount that is on it now, is not empty: somebody who
 * wrote by path before the mount was there does not see his files any more. */
void fsd_mountpoint_tell_hidden(const char *path, int fd) ORCH_NONNULL(1);
/* Removes the folder of that name that a killed keeper left, if it is one that we make: a folder of ours,
 * empty, not mounted on, older than age_s (another daemon may be about to mount). Whether it did. */
bool fsd_mountpoint_sweep(int mounts_fd, const char *name, uint64_t age_s) ORCH_NONNULL(2);
/* A path that a peer gave: absolute, an existing, empty folder of the peer's, or any for root, that
 * the peer may enter. *out (PATH_MAX bytes) is its real path, *out_fd (O_PATH, the caller's) the very
 * folder that was checked: what is mounted is mounted there, whatever its path leads to by then. */
int fsd_mountpoint_check(const struct fsd_peer *peer, const char *path, char *out, size_t cap,
    int *out_fd, struct orch_err *err) ORCH_NONNULL(1, 2, 3, 5) ORCH_WUR;

/* Unmounts those with that source, wherever their folder was moved to; none: 0. lazy: those in use, too
 * (umount -l); else -EBUSY. */
int fsd_mountpoint_unmount(const char *source, bool lazy, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;
/* Whether the topmost mount on that path has that source: 1, 0 or -errno. */
int fsd_mountpoint_has(const char *path, const char *source, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Appends ": in use by make (pid 12), ..." of one of these mounts (NULL ends the list), as far as /proc tells; at
 * most a few. */
void fsd_mountpoint_users(const char *const *paths, struct orch_buf *out) ORCH_NONNULL(1, 2);

#endif
