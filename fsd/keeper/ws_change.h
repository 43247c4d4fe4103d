/* What is done to workspaces as a whole: create, fork, commit, drop. Each acquires the workspaces
 * that it needs, and leaves a state that the next start understands wherever it is cut off. */
#ifndef FSD_KEEPER_WS_CHANGE_H
#define FSD_KEEPER_WS_CHANGE_H

#include "mount_client.h"
#include "registry.h"
#include "transfer.h"
#include "ws_mount.h"

/* Looks at the workspace for the peer: -EPERM unless it is the owner, root or the daemon's user. */
int fsd_ws_allow(struct fsd_request *r, const char *name, struct fsd_ws_record *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* The same, and acquires it. -ORCH_ECORRUPT when its record is damaged. */
int fsd_ws_take(struct fsd_request *r, const char *name, struct fsd_ws **out, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* The same, but holds it (registry.h): it stays the one that was looked at until fsd_registry_unhold. */
int fsd_ws_hold(struct fsd_request *r, const char *name, struct fsd_ws **out, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* The turn of a commit (registry.h), and the workspace acquired. Release it, end the commit. */
int fsd_ws_take_commit(struct fsd_request *r, const char *name, struct fsd_ws **out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Acquires it again in that turn. -ENOENT: it was dropped. */
int fsd_ws_take_again(struct fsd_request *r, struct fsd_ws *ws, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

struct fsd_ws_create {
	const char *name;
	struct orch_digest snapshot;
	const char *at; /* NULL: the default place */
	uid_t uid;
	gid_t gid;
	bool read_only, passthrough, mount;
};
int fsd_ws_create(struct fsd_request *r, const struct fsd_ws_create *c, struct fsd_ws_record *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* *out_seal: of the source; fsd_seal_fini. */
int fsd_ws_fork(struct fsd_request *r, const char *source, const char *name, const char *at,
    bool mount, struct fsd_ws_record *out, struct fsd_seal *out_seal, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3, 6, 7) ORCH_WUR;

/* Mounts it if it is not, at `at` or where it was last. */
int fsd_ws_remount(struct fsd_request *r, const char *name, const char *at,
    struct fsd_ws_record *out, struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;

int fsd_ws_commit(struct fsd_request *r, const char *name, const struct fsd_transfer *t,
    struct orch_json **out, struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

int fsd_ws_drop(struct fsd_request *r, const char *name, bool force, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* One JSON line for each change after `since` to fd. */
int fsd_ws_changes(struct fsd_request *r, const char *name, uint64_t since, int fd,
    uint64_t *out_seq, struct orch_err *err) ORCH_NONNULL(1, 2, 5) ORCH_WUR;

#endif
