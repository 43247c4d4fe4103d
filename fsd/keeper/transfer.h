/* What a worker made becomes a snapshot: quarantine, task, publishing. */
#ifndef FSD_KEEPER_TRANSFER_H
#define FSD_KEEPER_TRANSFER_H

#include "cache/publish.h"
#include "worker.h"

struct fsd_transfer {
	const char *ref; /* NULL: none is moved */
	struct cas_expect expect;
	const struct orch_json *record; /* NULL: {} */
	const char *parent; /* member of the task with the parent for the record; NULL */
	bool as_peer;	    /* the worker runs under the peer's ids */
	int mirror_fd;	    /* of a Git repository, when has_memo: a table that the worker leaves joins its memo */
	bool has_memo;
	/* Adds to the answer, before anything is published; NULL. */
	int (*more)(void *priv, struct orch_json *answer);
	void *more_priv;
};

/* Adds quarantine, objects and packs to the task (made by the caller, with its own members), runs
 * it, publishes. *out: the worker's result with "id" in place of "snapshot"; *out_id (may be NULL)
 * the snapshot. The quarantine is gone afterwards. A failure means that nothing was published: the answer
 * is put together before. */
int fsd_transfer_run(struct fsd_request *r, struct fsd_task *task, const struct fsd_transfer *t,
    struct orch_json **out, struct orch_digest *out_id, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

/* {"task": name} with "user" when the worker is to act for the peer and we may choose. NULL: no memory. */
struct orch_json *fsd_task_json(struct fsd_request *r, const char *name, bool as_peer)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Copies the path member name of the body ("dir" or "dir_b64"), which must be absolute. */
int fsd_task_path(struct fsd_request *r, struct orch_json *task, const char *name,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Resolves a REV and sets it as 64 hex digits. */
int fsd_task_rev(struct fsd_request *r, struct orch_json *task, const char *name, const char *rev,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

#endif
