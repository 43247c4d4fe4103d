/*
 * The import of a commit: the trees of a Git repository become a snapshot, without a clone and without
 * a checkout. What an earlier import of this repository made is remembered, so that a commit costs what
 * it changes. Everything that is read is hostile; docs/git.md says what is refused and what contained.
 */
#ifndef ORCH_SYNC_GIT_IMPORT_H
#define ORCH_SYNC_GIT_IMPORT_H

#include "cache/quarantine.h"
#include "core/glob.h"
#include "sync/git_parse.h"
#include "sync/task.h"

#define SYNC_GIT_ENTRIES_MAX (UINT64_C(20) * 1000 * 1000)
#define SYNC_GIT_BLOB_MAX    (UINT64_C(4) << 30) /* of one file in the repository */

struct sync_git_import_spec {
	int repository_fd; /* a bare repository that holds all of the commit; borrowed */
	const char *url;   /* for the source identity and messages; without secrets */
	struct sync_git_id commit;
	struct cas_quarantine *quarantine;
	struct view_packset *packs;
	int objects_fd;
	uint64_t seed;
	int memo_fd;			  /* folder of tables; -1: none */
	const struct orch_globs *include; /* NULL: everything */
	const struct orch_globs *exclude; /* NULL: nothing */
	const char *sparse; /* include and exclude as text: what a memo depends on; NULL: neither */
	const struct orch_digest *parent; /* snapshot whose lineage is continued; NULL: a new one */
	int64_t wall_ns;		  /* the time of what changed since the parent */
	uint64_t entries_max;		  /* 0: SYNC_GIT_ENTRIES_MAX */
	uint64_t blob_max;		  /* 0: SYNC_GIT_BLOB_MAX */
};

struct sync_git_imported {
	struct orch_digest snapshot;
	struct sync_git_id tree;
	uint64_t files; /* entries */
	uint64_t bytes;
	uint64_t read_trees; /* of the repository; what was known was not read */
	uint64_t lfs_files;  /* pointers that are left as they are */
	bool has_memo;	     /* the quarantine holds a table */
};

/* -ENOENT: the repository has no such commit. ORCH_ECORRUPT: it is damaged, err names the object and
 * where in the tree; or the tree is one that nobody can check out. -EFBIG: a limit. Nothing of this
 * is published unless it returns 0; cas_quarantine_finish is the caller's. Blocks. */
int sync_git_import(struct sync_task *t, const struct sync_git_import_spec *spec,
    struct sync_git_imported *out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
