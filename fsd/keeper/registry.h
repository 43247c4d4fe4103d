/*
 * The workspaces of the store, in memory: found by name, and taken one operation at a time. Who has
 * acquired a workspace holds no lock, only the right to change it; the others queue. A commit gives that
 * right back while a worker reads: it has a turn of its own besides, so that commits queue behind one
 * another and nobody else waits for them. Who only needs it to be there until he is done (a job that is
 * registered) holds it: that waits for no operation, and its removal waits for him. Its record may be looked
 * at by anybody at any time (a copy). Thread-safe.
 */
#ifndef FSD_KEEPER_REGISTRY_H
#define FSD_KEEPER_REGISTRY_H

#include "cache/store.h"
#include "request.h"
#include "ws_record.h"

struct orch_process;
struct fsd_registry;

struct fsd_ws {
	struct fsd_ws *next; /* guarded by the registry, as all but what is said */
	struct fsd_ws_record record;
	bool busy;	 /* somebody acquired it */
	bool committing; /* a commit is at work on it, whoever has acquired it */
	bool gone;	 /* removed; freed when the last waiter and the commit have left */
	bool fresh;	 /* reserved, not yet stored: nobody sees it */
	char *place;	 /* where it is being mounted; until _release */
	unsigned waiters;
	unsigned holders; /* it is not removed before they have left */
	bool leaving;	  /* nobody may hold it any more */
	/* of whoever acquired it: */
	int pidfd;		      /* of the mount process; -1: not mounted */
	struct orch_process *process; /* NULL: adopted, not our child */
	uint64_t layers;	      /* in its chain, as last heard; 0: not yet */
	/* set by a commit, in its turn; read by whoever acquired it */
	_Atomic uint64_t commit_layer;	/* up to which a commit reads; 0: none does */
	_Atomic uint64_t commit_layers; /* how many these are */
	int place_fd; /* the folder that was checked, to be mounted on; closed by _release; -1 */
};

struct fsd_registry *fsd_registry_new(struct cas_store *store) ORCH_NONNULL(1) ORCH_WUR;
/* Nobody may use it any more. Mount processes go on. */
void fsd_registry_free(struct fsd_registry *g);

/* Waits its turn: at most until the deadline, or the request's cancellation (r may be NULL).
 * -ENOENT, -EBUSY (deadline), -ECANCELED. _release it. */
int fsd_registry_acquire(struct fsd_registry *g, const char *name, struct fsd_request *r,
    uint64_t deadline_ns, struct fsd_ws **out, struct orch_err *err) ORCH_NONNULL(1, 2, 5) ORCH_WUR;
/* The turn of a commit, which is waited for in the same way and does not acquire the workspace. *out
 * stays what it is until _commit_end, also when the workspace is removed. */
int fsd_registry_commit_begin(struct fsd_registry *g, const char *name, struct fsd_request *r,
    uint64_t deadline_ns, struct fsd_ws **out, struct orch_err *err) ORCH_NONNULL(1, 2, 5) ORCH_WUR;
void fsd_registry_commit_end(struct fsd_registry *g, struct fsd_ws *ws) ORCH_NONNULL(1, 2);
/* Acquires it, in its commit's turn. -ENOENT: it was removed meanwhile. */
int fsd_registry_acquire_again(struct fsd_registry *g, struct fsd_ws *ws, struct fsd_request *r,
    uint64_t deadline_ns, struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
/* It is not removed until _unhold; for moments only. -ENOENT; -EBUSY: it is being removed. */
int fsd_registry_hold(struct fsd_registry *g, const char *name, struct fsd_ws **out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
void fsd_registry_unhold(struct fsd_registry *g, struct fsd_ws *ws) ORCH_NONNULL(1, 2);
/* NULL: it is busy, or there is none. */
struct fsd_ws *fsd_registry_try_acquire(struct fsd_registry *g, const char *name)
    ORCH_NONNULL(1, 2);
/* A new name, acquired; nobody else sees it before fsd_ws_save. -EEXIST. */
int fsd_registry_reserve(struct fsd_registry *g, const char *name, struct fsd_ws **out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Gives it back; a fresh one that was never saved disappears. NULL is allowed. */
void fsd_registry_release(struct fsd_registry *g, struct fsd_ws *ws) ORCH_NONNULL(1);

/* By the one who acquired it. */
/* Stores the record, then shows it. On failure nothing has changed. */
int fsd_ws_save(struct fsd_registry *g, struct fsd_ws *ws, const struct fsd_ws_record *r,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Shows the record without storing it. */
void fsd_ws_show(struct fsd_registry *g, struct fsd_ws *ws, const struct fsd_ws_record *r)
    ORCH_NONNULL(1, 2, 3);
/* Before it is removed, so that nobody adds to what goes with it: waits for those who hold it, and lets
 * nobody hold it until _remove has failed. */
void fsd_ws_leave_holders(struct fsd_registry *g, struct fsd_ws *ws) ORCH_NONNULL(1, 2);
/* Forgets it in the store and here; ws must still be released. */
int fsd_ws_remove(struct fsd_registry *g, struct fsd_ws *ws, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* By anybody. -ENOENT. */
int fsd_registry_look(struct fsd_registry *g, const char *name, struct fsd_ws_record *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* A copy of all records, ordered by name; free(*out). */
int fsd_registry_list(struct fsd_registry *g, struct fsd_ws_record **out, size_t *out_count)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
unsigned fsd_registry_mounted(struct fsd_registry *g) ORCH_NONNULL(1); /* how many are */
/* By the one who acquired it: it is to be mounted on that path. -EBUSY: another one is, or is to be. */
int fsd_registry_claim_place(struct fsd_registry *g, struct fsd_ws *ws, const char *path)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
