/*
 * Views of workspaces, for containers (views.h): <mounts>/.views/<workspace>.<uid>.<gid>, in a folder
 * that root alone may enter. Who starts a container is root; everybody else has no use for files that
 * look as if they were another's.
 */
#ifndef FSD_KEEPER_WS_VIEW_H
#define FSD_KEEPER_WS_VIEW_H

#include "daemon.h"
#include "request.h"

/* The workspace is mounted, if it was not, and *out_path (malloc'd) is where its owner is seen as uid, gid. Asked
 * again: the same. -EOPNOTSUPP: none can be had, err says why and what to do instead. */
int fsd_ws_view(struct fsd_request *r, const char *name, uid_t uid, gid_t gid, char **out_path,
    struct orch_err *err) ORCH_NONNULL(1, 2, 5) ORCH_WUR;

/* Removes the folders of that workspace's views (NULL: of all, but for new ones) on which nothing is mounted. */
void fsd_views_discard(struct fsd_daemon *d, const char *name) ORCH_NONNULL(1);

#endif
