/*
 * Git's own objects as bytes: ids, commits, trees. Pure. What they hold is hostile: a name is only
 * known not to be empty here, git_name.h says which ones may become files.
 */
#ifndef ORCH_SYNC_GIT_PARSE_H
#define ORCH_SYNC_GIT_PARSE_H

#include <stddef.h>
#include <stdint.h>
#include "core/err.h"

#define SYNC_GIT_ID_BYTES 20
#define SYNC_GIT_ID_HEX	  40

struct sync_git_id {
	uint8_t b[SYNC_GIT_ID_BYTES];
};

/* Exactly 40 hex digits, either case; -EINVAL otherwise. */
int sync_git_id_parse(const char *hex, struct sync_git_id *out) ORCH_NONNULL(1, 2) ORCH_WUR;
void sync_git_id_format(const struct sync_git_id *id, char out[SYNC_GIT_ID_HEX + 1])
    ORCH_NONNULL(1, 2);

struct sync_git_commit {
	struct sync_git_id tree;
	int64_t wall_ns; /* the committer's time; 0 where there is none, cut to what fits */
};
int sync_git_commit_parse(const void *p, size_t len, struct sync_git_commit *out,
    struct orch_err *err) ORCH_NONNULL(3) ORCH_WUR;

enum sync_git_type {
	SYNC_GIT_FILE,
	SYNC_GIT_PROGRAM, /* a file that may be executed */
	SYNC_GIT_SYMLINK,
	SYNC_GIT_FOLDER,
	SYNC_GIT_SUBMODULE,
};
struct sync_git_entry {
	const char *name; /* borrowed from the tree's bytes, not NUL-terminated; no NUL in it */
	size_t name_len;
	enum sync_git_type type;
	struct sync_git_id id;
};
struct sync_git_tree { /* a cursor: set p and end, zero the rest */
	const uint8_t *p, *end;
	struct sync_git_entry last; /* name NULL: none yet */
};
/* 1: *out is the next entry; 0: the end; ORCH_ECORRUPT: cut, out of Git's order, an unknown type.
 * A name that is there as a file and as a folder need not be seen here. */
int sync_git_tree_next(struct sync_git_tree *t, struct sync_git_entry *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
