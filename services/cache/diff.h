/*
 * What differs between two snapshots; equal subtrees are skipped without being read. Needs packs
 * only, so workers use it too.
 */
#ifndef ORCH_CACHE_DIFF_H
#define ORCH_CACHE_DIFF_H

#include "view/packset.h"

enum cas_change {
	CAS_CHANGE_ADDED,
	CAS_CHANGE_REMOVED,
	CAS_CHANGE_TYPE,       /* file became folder, ... */
	CAS_CHANGE_MODIFIED,   /* content or link target; other things may differ as well */
	CAS_CHANGE_MODE,       /* mode only, or mode and attributes */
	CAS_CHANGE_ATTRIBUTES, /* xattrs, owner; with CAS_DIFF_STAMPS also mtime, inode, nlink */
};
const char *cas_change_name(enum cas_change c); /* "added", ... as in docs/api.md */

struct cas_difference {	  /* borrowed for the time of the call */
	const char *path; /* relative to the root; "" for the root itself */
	size_t path_len;
	enum cas_change change;
	const struct fmt_entry *a, *b; /* NULL: not there */
	const struct fmt_stamp *a_stamp, *b_stamp;
};
/* Negative ends the comparison and is returned; positive is as 0. */
typedef int cas_diff_fn(void *priv, const struct cas_difference *d);

#define CAS_DIFF_STAMPS	 1u /* mtimes, inode numbers and link counts count as attributes */
#define CAS_DIFF_SHALLOW 2u /* an added or removed folder is told once, without what is below */

/* In the order of paths by component bytes, a folder before what is in it (a removed one too).
 * A folder of which only the content differs is not told itself. */
int cas_diff(struct view_packset *packs, const struct orch_digest *a, const struct orch_digest *b,
    unsigned flags, cas_diff_fn *fn, void *priv, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3, 5) ORCH_WUR;

#endif
