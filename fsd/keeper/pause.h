/* Which jobs stand still while a workspace is sealed: their groups, opened and looked at anew. The
 * freezing is the mount process's (fsd/mount/pause.h). */
#ifndef FSD_KEEPER_PAUSE_H
#define FSD_KEEPER_PAUSE_H

#include "core/fd.h"
#include "mount_client.h"

struct fsd_daemon;

struct fsd_pause {
	int groups[ORCH_SOCK_FDS_MAX];
	size_t count;
};

/* Fills in what `ask` says of the pause; *p must outlive it. A job that can't be frozen, or may not,
 * is left out, and the log says why: what it writes is "last write seen" then. */
void fsd_pause_open(struct fsd_daemon *d, const char *workspace, struct fsd_pause *p,
    struct fsd_mount_seal *ask) ORCH_NONNULL(1, 2, 3, 4);
void fsd_pause_close(struct fsd_pause *p) ORCH_NONNULL(1);

/* Who must never stand still: this process and the mount processes, ascending; free(*out). */
int fsd_pause_never(struct fsd_daemon *d, pid_t **out, size_t *out_count)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
