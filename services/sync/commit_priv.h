/* What the files of a commit share. */
#ifndef ORCH_SYNC_COMMIT_PRIV_H
#define ORCH_SYNC_COMMIT_PRIV_H

#include "format/overlay.h"
#include "sync/commit.h"
#include "sync/edit.h"

struct commit_file { /* a private file that has to be hashed */
	struct commit *commit;
	uint64_t ino, spool_layer, spool_id;
	struct cas_added added;
};

struct commit {
	const struct sync_commit_spec *spec;
	struct sync_task *task;
	struct fmt_overlay *overlay;
	struct sync_edit edit; /* of the base */
	struct orch_buf path;  /* of where we are, for messages */
	struct orch_err *err;
	struct orch_digest empty; /* object of no bytes */
	struct sync_inomap spool; /* ino -> 1 + index of its file */
	struct commit_file *files;
	size_t file_count, file_cap;
	struct sync_inomap placed; /* numbers of files that a recorded entry led to */
	struct sync_inomap linked; /* ino -> names; of files that have or had several names */
	bool search_base;	   /* some of them may have names that no layer records */
};

/* commit_entry.c: the entry and stamp that a recorded node (no folder) makes. 1: a snapshot can't
 * hold it, a line was told. Private files get their content in commit_hash. */
int commit_entry(struct commit *c, const struct fmt_node *n, struct fmt_entry *e,
    struct fmt_stamp *s) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;
/* Mode, owner and attributes. */
void commit_attributes(const struct fmt_node *n, struct fmt_entry *e) ORCH_NONNULL(1, 2);

/* commit_hash.c: hashes the private files in parallel and fills in what they are. */
int commit_hash(struct commit *c) ORCH_NONNULL(1) ORCH_WUR;

/* commit_links.c: files with several names. */
int commit_find_linked(struct commit *c) ORCH_NONNULL(1) ORCH_WUR;
int commit_links(struct commit *c) ORCH_NONNULL(1) ORCH_WUR;

#endif
