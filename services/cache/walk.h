/*
 * Every entry below a snapshot's root, depth first, in the order of the trees. Needs packs only,
 * so workers use it too. Blocks on page faults of mapped packs.
 */
#ifndef ORCH_CACHE_WALK_H
#define ORCH_CACHE_WALK_H

#include "view/packset.h"

struct cas_walk_entry {	  /* borrowed for the time of the call */
	const char *path; /* relative to the root, NUL-terminated; any bytes but NUL */
	size_t path_len;
	struct fmt_entry entry;
	struct fmt_stamp stamp;
};
/* Return 0 to go on, 1 to skip what is below a folder, negative to end. */
typedef int cas_walk_fn(void *priv, const struct cas_walk_entry *e);
/* snapshot: its id. Every tree, stamps and entry is checked as it is read. */
int cas_walk(struct view_packset *packs, const struct orch_digest *snapshot, cas_walk_fn *fn,
    void *priv, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

struct cas_count {
	uint64_t files, dirs, symlinks, bytes;
};
int cas_walk_count(struct view_packset *packs, const struct orch_digest *snapshot,
    struct cas_count *out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
