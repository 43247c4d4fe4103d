/* What the files of a three-way application share. */
#ifndef ORCH_SYNC_APPLY_PRIV_H
#define ORCH_SYNC_APPLY_PRIV_H

#include "sync/apply.h"
#include "sync/edit.h"

struct apply_side { /* a folder of base or incoming; zeros: not a folder there */
	struct fmt_tree tree;
	struct fmt_stamps stamps;
};

struct apply_link {	   /* a name that was taken from a file with several names in incoming */
	uint64_t incoming; /* number there */
	size_t order;	   /* in which it was taken */
	struct sync_folder *folder;
	uint32_t index; /* of its node */
	uint64_t old;	/* number that this path has in mine; 0: none */
	uint32_t old_nlink;
};

struct apply {
	const struct sync_apply_spec *spec;
	struct sync_task *task;
	struct sync_edit edit; /* of mine */
	struct orch_buf path;  /* of where we are, for conflicts */
	struct orch_err *err;
	struct sync_inomap touched; /* numbers of mine of which a name may have gone */
	struct apply_link *links;
	size_t link_count, link_cap;
	int64_t mtime_ns; /* of what is taken */
	bool has_mtime;
	uint64_t changed, reset, conflicts;
};

int apply_open(struct apply *a, const struct fmt_entry *e, const struct fmt_stamp *s,
    struct apply_side *out) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

/* apply_take.c: does to mine what incoming says. `node` is an index into f->nodes, -1: absent.
 * *names is set when the folder's list of names changed. */
int apply_take(struct apply *a, struct sync_folder *f, int64_t node, const struct fmt_entry *e,
    const struct fmt_stamp *s, bool *names) ORCH_NONNULL(1, 2, 6) ORCH_WUR;
int apply_remove(struct apply *a, struct sync_folder *f, uint32_t node) ORCH_NONNULL(1, 2) ORCH_WUR;
/* The mtime of everything that is taken: later than all in mine. */
int apply_mtime(struct apply *a, int64_t *out) ORCH_NONNULL(1, 2) ORCH_WUR;

/* apply_links.c: numbers and counts of files with several names, when all is taken. */
int apply_links(struct apply *a) ORCH_NONNULL(1) ORCH_WUR;

#endif
