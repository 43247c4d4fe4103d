/*
 * Who else may write certain files: every process but some is looked at, for descriptors and mappings.
 * What is in nobody's table is not seen: a descriptor on its way through a socket, a file that the
 * kernel itself holds (a loop device), the table of a thread that does not share its process's.
 */
#ifndef ORCH_FSD_MOUNT_OUTSIDE_H
#define ORCH_FSD_MOUNT_OUTSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/compiler.h"

struct mnt_outside_file {
	dev_t dev; /* as users of the mount see it */
	uint64_t ino;
	dev_t private_dev; /* the file below: a mapping may name either */
	uint64_t private_ino;
	bool found; /* a process may write it; only ever set here */
};

/*
 * Looks through /proc. inside: the processes that are not meant, ascending; this one never is. A
 * process that can't be looked into (another user's, or one with more rights) may write all of them,
 * unless it is older than this one and so has inherited nothing of the mount. -ENOMEM, or -errno when there is no /proc:
 * nothing is known then.
 */
int mnt_outside_find(const int32_t *inside, size_t inside_count, struct mnt_outside_file *files,
    size_t count) ORCH_NONNULL(3) ORCH_WUR;

#endif
