/*
 * The kernel's hello (INIT) on a mount that we placed: it is read here, given to libfuse through a socket
 * that stands for the mount meanwhile, and the answer is sent on with one bit more: that idmapped mounts
 * of this file system are welcome. libfuse (3.18) has no name for that bit. Afterwards libfuse has the
 * mount itself, so its reading, writing and splicing are as without this.
 *
 * Threads: before there are others that know the session's descriptor.
 */
#ifndef ORCH_FSD_MOUNT_GREET_H
#define ORCH_FSD_MOUNT_GREET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"

/* Handles one request that was read from the mount; the answer goes to the session's descriptor. */
typedef void (*mnt_greet_fn)(void *arg, void *request, size_t n);

struct mnt_greet {
	int session_fd,
	    other_fd; /* a socket pair; libfuse has the first and closes it in the end */
};

int mnt_greet_open(struct mnt_greet *g) ORCH_NONNULL(1) ORCH_WUR;
/* Reads the hello from fuse_fd, which is taken in either case: afterwards the session's descriptor is the
 * mount. *out_idmap: the kernel knows idmapped mounts of FUSE, and makes them now. */
int mnt_greet_run(struct mnt_greet *g, int fuse_fd, uint64_t deadline_ns, mnt_greet_fn handle,
    void *arg, bool *out_idmap, struct orch_err *err) ORCH_NONNULL(1, 4, 6) ORCH_WUR;
/* Both, when the session has not been given its own. */
void mnt_greet_close(struct mnt_greet *g) ORCH_NONNULL(1);

/* Pure: allows idmapped mounts in the answer `out` to the request `in`, if that offers them: true. */
bool mnt_greet_allow(const void *in, size_t in_len, void *out, size_t out_len) ORCH_NONNULL(1, 3);

#endif
