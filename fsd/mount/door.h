/*
 * The door to FUSE: mounts, turns requests into calls of the name space and its results into
 * replies. Only fuse_*.c know libfuse; what they share: fuse_door_priv.h.
 *
 * Threads: a few of its own that read requests (door_run), any thread that finishes a request which
 * had to wait, one that sends notifications to the kernel.
 */
#ifndef ORCH_FSD_MOUNT_DOOR_H
#define ORCH_FSD_MOUNT_DOOR_H

#include "fsd/mount/ns.h"

struct mnt_door;
struct mnt_requests;

struct mnt_door_config {
	const char *mountpoint; /* for messages, and where an ordinary user mounts */
	int mountpoint_fd;  /* root mounts on this very folder; borrowed; -1: what is at the path */
	const char *source; /* for /proc/mounts; no other mount's; borrowed until _free */
	bool allow_other, read_only, passthrough;
};

/* In two steps, since the name space wants a notifier and the door wants a name space. */
int mnt_door_new(struct mnt_door **out) ORCH_NONNULL(1) ORCH_WUR;
struct mnt_notify mnt_door_notify(struct mnt_door *d) ORCH_NONNULL(1);
/* Mounts and answers the kernel's hello; who uses the mount waits until _start. No thread is started, so that rights can be given up
 * between the two. */
int mnt_door_mount(struct mnt_door *d, const struct mnt_door_config *config, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
struct mnt_door_parts { /* all borrowed until _free */
	struct mnt_ns *ns;
	struct mnt_contents *contents;
	struct orch_pool *pool;
	int ended_fd; /* an eventfd: readable when the kernel has unmounted */
};
/* Starts the threads; the kernel has said hello afterwards. */
int mnt_door_start(struct mnt_door *d, const struct mnt_door_parts *parts, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Unmounts; lazily: all that has its source, views too. -EBUSY: somebody uses it (not with lazy). -EPERM: without CAP_SYS_ADMIN it can't be done
 * from here; whoever started us can. */
int mnt_door_unmount(struct mnt_door *d, bool lazy, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* "passthrough", "process": how data goes; known when the kernel has said hello. */
const char *mnt_door_data_path(const struct mnt_door *d) ORCH_NONNULL(1);
/* What the kernel has asked so far; lives as long as the door. */
const struct mnt_requests *mnt_door_requests(const struct mnt_door *d) ORCH_NONNULL(1);
/* Holds every request that would change something until _thaw. */
void mnt_door_freeze(struct mnt_door *d) ORCH_NONNULL(1);
void mnt_door_thaw(struct mnt_door *d) ORCH_NONNULL(1);
bool mnt_door_frozen(struct mnt_door *d) ORCH_NONNULL(1);
/* Waits for the threads; they end when the mount is gone. */
void mnt_door_join(struct mnt_door *d) ORCH_NONNULL(1);
/* Instead of _join by who leaves by _exit, under threads that wait or have just ended. */
void mnt_door_let_go(struct mnt_door *d) ORCH_NONNULL(1);
void mnt_door_free(struct mnt_door *d);

#endif
