/*
 * Export: a snapshot becomes a directory, the same in content and metadata. Nothing that exists is
 * ever overwritten or followed. docs/sync.md says what can't be reproduced by whom.
 */
#ifndef ORCH_SYNC_EXPORT_H
#define ORCH_SYNC_EXPORT_H

#include "sync/task.h"
#include "view/packset.h"

struct sync_export_spec {
	int root_fd; /* an empty folder, open for reading; borrowed */
	struct view_packset *packs;
	int objects_fd;
	const struct orch_digest *snapshot;
	bool chown; /* set owners (needs the right to); else setuid bits of foreign files go */
	uint32_t uid, gid; /* the workspace's owner */
};

struct sync_exported {
	uint64_t files; /* entries */
	uint64_t bytes;
};

/* -ENOTEMPTY: the folder holds something. What was written stays when it fails. Blocks. */
int sync_export(struct sync_task *t, const struct sync_export_spec *spec, struct sync_exported *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
