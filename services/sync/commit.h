/*
 * Commit: a base snapshot and a chain of sealed layers become a new snapshot. Walks only what the
 * layers record; the rest is taken over by digest. docs/sync.md says what becomes of what.
 */
#ifndef ORCH_SYNC_COMMIT_H
#define ORCH_SYNC_COMMIT_H

#include "cache/quarantine.h"
#include "sync/task.h"

struct sync_commit_spec {
	struct view_packset *packs;
	struct cas_quarantine *quarantine;
	const struct orch_digest *base;
	int layers_fd;		/* <store>/layers */
	const uint64_t *layers; /* sealed, oldest first */
	size_t layer_count;
	const char *source; /* identity of the result; NULL: that of base */
	size_t source_len;
};

struct sync_committed {
	struct orch_digest snapshot;
	uint64_t files, bytes; /* entries and bytes of the result */
};

/* ORCH_ECORRUPT: a layer's records contradict themselves or the base; err says where. Blocks. */
int sync_commit(struct sync_task *t, const struct sync_commit_spec *spec,
    struct sync_committed *out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
