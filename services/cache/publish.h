/*
 * The keeper's side of publishing: a quarantine that a worker filled becomes part of the store.
 * Its content is hostile until it was checked. Order: data durable, objects in place, pack in
 * place, then one synced batch with object records, snapshot record and ref. A crash leaves either
 * nothing visible or everything. Thread-safe; several publishes run at once.
 */
#ifndef ORCH_CACHE_PUBLISH_H
#define ORCH_CACHE_PUBLISH_H

#include <stdatomic.h>
#include <stdbool.h>
#include "cache/memo.h"
#include "cache/quarantine.h"
#include "cache/ref.h"
#include "core/json.h"

#define CAS_QUARANTINE_ID_BYTES 33

/* Makes tmp/<id> for a worker that runs as uid:gid, mode 0700. *out_fd is the caller's. */
int cas_publish_prepare(struct cas_store *s, uid_t uid, gid_t gid,
    char out_id[CAS_QUARANTINE_ID_BYTES], int *out_fd, struct orch_err *err)
    ORCH_NONNULL(1, 4, 5) ORCH_WUR;
/* Removes a quarantine that is not wanted; absent: success. */
int cas_publish_drop(struct cas_store *s, const char *id, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#define CAS_PUBLISH_CHECK_DIGESTS 1u /* SHA-256 of every object: the worker ran as another user */

struct cas_publish {
	const char *quarantine;	     /* its id; the worker has ended */
	struct orch_digest snapshot; /* in its pack or in the store; null: objects and trees only */
	struct orch_digest parent;   /* for the record; null: none */
	const struct orch_json *record; /* an object, borrowed; NULL: what it had, else {} */
	const char *ref;		/* NULL: none is moved */
	struct cas_expect expect;
	const char *scan_key; /* NULL, or the name in scan/ for the new scan index */
	const struct cas_memo_place *memo; /* NULL, or whose memo the new table joins */
	unsigned flags;
	const atomic_bool *cancel; /* NULL: never; looked at until the first rename */
};
struct cas_published {
	uint64_t objects, object_bytes; /* that the store did not have */
	uint64_t pack;			/* number; 0: no new record */
	bool snapshot_is_new; /* false: this id was there, its record may have been replaced */
};
/*
 * The quarantine is gone afterwards, whatever the result. -ENOENT: no such quarantine, or another
 * call has it. ORCH_ECORRUPT: its content is not what a worker may leave (err says what); nothing
 * was published. ORCH_ECONFLICT: expect does not hold; the content is in the store (a second try
 * is cheap), but neither snapshot nor ref changed. -ENOSPC: nothing is visible.
 */
int cas_publish(struct cas_store *s, const struct cas_publish *p, struct cas_published *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
