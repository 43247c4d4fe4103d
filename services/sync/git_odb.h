/*
 * The objects of a bare Git repository, read by libgit2: the one door to it. Only objects: no refs, no
 * configuration, no working tree, no hook, no program. Each is checked against its name.
 * A handle is for one thread at a time; several of one repository share nothing that matters.
 */
#ifndef ORCH_SYNC_GIT_ODB_H
#define ORCH_SYNC_GIT_ODB_H

#include "sync/git_parse.h"

struct sync_git_odb;

/* dirfd: the repository's folder (that holds "objects"); not kept. Packs only: a mirror has nothing else,
 * and libgit2 1.5 never ends at a loose object that was cut. Packs that come later are seen. */
int sync_git_odb_open(int dirfd, struct sync_git_odb **out, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
void sync_git_odb_free(struct sync_git_odb *o);

enum sync_git_kind { SYNC_GIT_COMMIT, SYNC_GIT_TREE, SYNC_GIT_BLOB };
struct sync_git_object {
	const void *p; /* lives until _done */
	size_t len;
	void *handle;
};
/* -ENOENT: it is not there. ORCH_ECORRUPT: it is damaged, or something of another kind. -EFBIG: it has
 * more than `max` bytes. err names it by kind and id. */
int sync_git_odb_read(struct sync_git_odb *o, const struct sync_git_id *id, enum sync_git_kind kind,
    size_t max, struct sync_git_object *out, struct orch_err *err) ORCH_NONNULL(1, 2, 5) ORCH_WUR;
void sync_git_object_done(struct sync_git_object *x) ORCH_NONNULL(1);

#endif
