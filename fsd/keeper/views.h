/*
 * Views of a workspace: its own mount once more, idmapped, at <mounts>/.views/<workspace>.<uid>.<gid>. For a
 * container: its user is the owner of what he sees there, and what he makes is the workspace's owner's.
 * They have the source of the workspace's own mount and say in their path whom they are for, so nobody
 * remembers them, and whatever clears up after a dead mount process finds them too.
 *
 * Nothing here asks the file system anything. The caller has acquired the workspace (registry.h).
 */
#ifndef FSD_KEEPER_VIEWS_H
#define FSD_KEEPER_VIEWS_H

#include "core/mounts.h"
#include "format/msg.h"
#include "ws_record.h"

#define FSD_VIEWS_MAX 16

struct fsd_view {
	const char *path;
	uint32_t uid, gid; /* whom the owner is seen as */
};

/* What the name of a view's folder says: <workspace>.<uid>.<gid>; *out_len is the length of the first. False: it
 * is none. Pure. */
bool fsd_view_name_parse(const char *name, size_t *out_len, struct fsd_view *out)
    ORCH_NONNULL(1, 2, 3);
/* The same of a path, which *out borrows. */
bool fsd_view_parse(const char *path, struct fsd_view *out) ORCH_NONNULL(1, 2);

struct fsd_views { /* all zero: none */
	struct orch_mount *v;
	size_t count;
};
void fsd_views_fini(struct fsd_views *s) ORCH_NONNULL(1);
/* Those that there are; _fini afterwards. */
int fsd_views_load(const struct fsd_ws_record *rec, struct fsd_views *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Makes one on `folder` (O_PATH is enough; borrowed). -EOPNOTSUPP: none can be had, err says why and what to do
 * instead; -ENOENT: the workspace's own mount is gone; -EBUSY: there are FSD_VIEWS_MAX. */
int fsd_view_make(const struct fsd_ws_record *rec, const struct fsd_view *want, int folder,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Takes all away; *out_taken is what there was, _fini. -EBUSY (not with lazy): one is in use; then all are there as
 * before. */
int fsd_views_remove(const struct fsd_ws_record *rec, bool lazy, struct fsd_views *out_taken,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
/* Makes again what was taken away; what fails is logged. */
void fsd_views_put_back(const struct fsd_ws_record *rec, const struct fsd_views *taken)
    ORCH_NONNULL(1, 2);

#endif
