/*
 * Looking into a mirror: which commit a revision means there. Runs git under the daemon's ids, on what
 * gitadopt.h has checked, with nobody's configuration but the mirror's own; changes nothing.
 */
#ifndef ORCH_SYNC_GITFIND_H
#define ORCH_SYNC_GITFIND_H

#include <stdbool.h>
#include "core/err.h"
#include "sync/gitrev.h"
#include "sync/gitrun.h"

struct sync_gitfound {
	bool found;
	bool has_refs; /* something was ever fetched */
	char commit[SYNC_GITREV_HEX + 1];
};

/*
 * mirror_fd: its folder (cache/mirror.h). Not to be found is no failure. -ENOTUNIQ: an abbreviation of
 * several commits, a name of a branch and a tag that differ; err says which. -EINVAL: an id of
 * something that is no commit.
 * A mirror holds what is complete alone, so a commit that is found there is complete.
 */
int sync_gitfind(struct sync_task *t, int mirror_fd, const struct sync_gitrev *rev,
    struct sync_gitfound *out, struct orch_err *err) ORCH_NONNULL(1, 3, 4) ORCH_WUR;

/* For gitadopt.c: the list of the mirror's refs, and what kinds of objects are there. */
int sync_gitfind_refs(int mirror_fd, struct sync_gitrefs *out, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;

/* A git on the mirror, as far as it is always the same. objects: a folder of objects beside repo.git to
 * which it writes and from which it reads, too; NULL: none. The caller _fini's env. */
int sync_gitfind_env(int mirror_fd, const char *objects, struct orch_strv *env,
    struct orch_err *err) ORCH_NONNULL(3) ORCH_WUR;

/* `git cat-file --batch-check` for the names in `asked` (a line each): "id type size" or "name missing"
 * a line each, in *out. */
int sync_gitfind_check(struct sync_gitrun *run, const struct orch_buf *asked, struct orch_buf *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
