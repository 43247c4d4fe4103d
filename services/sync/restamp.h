/*
 * Trees without stamps become a snapshot: each file gets its inode number and mtime from the lineage.
 * What has the same path, type and content as in the parent snapshot keeps both; a folder keeps its
 * number, and its mtime while its list of names is the same; all else is new. Folders that the parent
 * has just so are not looked at.
 */
#ifndef ORCH_SYNC_RESTAMP_H
#define ORCH_SYNC_RESTAMP_H

#include "cache/quarantine.h"
#include "format/snapshot.h"
#include "sync/task.h"

struct sync_restamp_spec {
	struct view_packset *packs;
	struct cas_quarantine *quarantine;
	/* Trees that are only in the quarantine yet; -ENOENT: it is none of these. */
	int (*tree)(void *priv, const struct orch_digest *digest, struct fmt_tree *out,
	    struct orch_err *err);
	void *priv;
	const struct fmt_entry *root;	  /* the root's entry: mode, tree, size, count */
	const struct orch_digest *parent; /* NULL: a lineage begins */
	int64_t first_ns;		  /* mtime of all files of a lineage that begins */
	int64_t wall_ns; /* of what is new; raised above every mtime of the parent */
	const char *source;
	size_t source_len;
};

/* A parent that is damaged is told, and a lineage begins. */
int sync_restamp(struct sync_task *t, const struct sync_restamp_spec *spec,
    struct orch_digest *out_snapshot, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
