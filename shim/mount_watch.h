/* Whether the mount under a command has lived as long as the command. */
#ifndef ORCH_SHIM_MOUNT_WATCH_H
#define ORCH_SHIM_MOUNT_WATCH_H

#include <stdbool.h>
#include "shim/cli.h"

/* All borrowed. */
struct shim_mount {
	struct shim_cli *cli;
	const char *workspace, *path;
	uint64_t pid;	  /* the process behind it; 0: unknown */
	const char *what; /* runs in it: "build", "command" */
};

struct shim_mount_watch {
	int pidfd, epoll; /* -1: none */
};

/* An fd that is readable once the mount's process has ended or the command is cancelled; the latter
 * alone where the process can't be watched. Borrowed: good until the end, which is due always. */
int shim_mount_watch_begin(const struct shim_mount *m, struct shim_mount_watch *w)
    ORCH_NONNULL(1, 2) ORCH_WUR;
void shim_mount_watch_end(struct shim_mount_watch *w) ORCH_NONNULL(1);

/* Asks the kernel, then the daemon: seconds when that one is busy. */
bool shim_mount_lost(const struct shim_mount *m) ORCH_NONNULL(1) ORCH_WUR;
/* Says so: -EIO. */
int shim_mount_error(const struct shim_mount *m, struct orch_err *err) ORCH_NONNULL(1, 2);

#endif
