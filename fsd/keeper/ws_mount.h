/*
 * A workspace and its mount process: mounting, asking, unmounting, burying the dead. The caller has
 * acquired the workspace (registry.h). Each wait ends with the setting mount-timeout.
 */
#ifndef FSD_KEEPER_WS_MOUNT_H
#define FSD_KEEPER_WS_MOUNT_H

#include "daemon.h"
#include "mount_client.h"
#include "registry.h"

/* Where a workspace is mounted unless a user gave another place; malloc'd, NULL: no memory. */
char *fsd_ws_default_path(const struct fsd_daemon *d, const char *name) ORCH_NONNULL(1, 2) ORCH_WUR;

/* Mounts at r->path and saves *r as the record, state MOUNTED. r: NULL allowed for cancel. On
 * failure nothing is mounted and the record is as it was. */
int fsd_ws_mount(struct fsd_daemon *d, struct fsd_ws *ws, struct fsd_ws_record *rec,
    struct fsd_request *r, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* A connection to the mount process. */
int fsd_ws_connect(struct fsd_daemon *d, const struct fsd_ws_record *rec,
    struct fsd_mount_client **out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
int fsd_ws_connect_by(struct fsd_daemon *d, const struct fsd_ws_record *rec, uint64_t deadline_ns,
    struct fsd_mount_client **out, struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;
uint64_t fsd_ws_deadline(const struct fsd_daemon *d) ORCH_NONNULL(1);
/* Of a look that is done again when it has failed; a stuck process shall not hold up others. */
uint64_t fsd_ws_short_deadline(const struct fsd_daemon *d) ORCH_NONNULL(1);
/* Of what takes the longer the more was changed: a seal (files with a writer are copied where the file
 * system can't share them), a rebase, a chain made short. */
uint64_t fsd_ws_long_deadline(const struct fsd_daemon *d) ORCH_NONNULL(1);

enum fsd_umount_how {
	FSD_UMOUNT_IDLE,  /* -EBUSY when it is in use or has a job, err names users */
	FSD_UMOUNT_LAZY,  /* detached at once, ends when the last user leaves */
	FSD_UMOUNT_FORCE, /* detached, and the process is ended */
};
/* State CREATED afterwards, or MOUNTED and detached: lazily, or when a user came at the last instant. One
 * that is not mounted: 0. */
int fsd_ws_umount(struct fsd_daemon *d, struct fsd_ws *ws, enum fsd_umount_how how,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;

/* A keeper may have died after it started a mount process and before it recorded that: then the
 * process serves a workspace that is CREATED. Finds it by its socket; the workspace is MOUNTED then.
 * 0 also when there is none. */
int fsd_ws_find_stray(struct fsd_daemon *d, struct fsd_ws *ws, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Takes away what a mount process that has gone left mounted; nothing: 0. */
int fsd_ws_detach(const struct fsd_ws_record *rec, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* "error" of a workspace whose mount is detached while its process still serves users. */
#define FSD_WS_DETACHED "detached; its last users have not left yet"

/* How the "error" of one begins whose mount process lives but did not answer at the keeper's start. */
#define FSD_WS_DEAF "does not answer: "
bool fsd_ws_is_deaf(const struct fsd_ws_record *rec) ORCH_NONNULL(1);

/* The mount process has ended by itself: what it left is cleared, the reason is recorded. */
int fsd_ws_bury(struct fsd_daemon *d, struct fsd_ws *ws, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
