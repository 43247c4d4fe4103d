/*
 * Snapshots as the store knows them: the identity (format/snapshot.h) lies in a pack, beside it a
 * record in the database tells how it came about. A snapshot without a record does not exist for
 * anyone. Records are made by publishing (publish.h). Thread-safe.
 */
#ifndef ORCH_CACHE_SNAPSHOT_H
#define ORCH_CACHE_SNAPSHOT_H

#include "cache/store.h"
#include "core/hash.h"
#include "core/json.h"

struct cas_snapshot {
	struct orch_digest id;
	struct orch_digest tree, stamps;
	uint64_t files;		   /* entries below the root, of every type */
	uint64_t bytes;		   /* of all files */
	int64_t created_wall_ns;   /* when it was published last */
	struct orch_digest parent; /* null: none. For people: a parent may be gone */
	char *source;		   /* identity of the source; NULL: none */
	struct orch_json *record;  /* an object, from the caller of publish; never NULL */
};
void cas_snapshot_fini(struct cas_snapshot *x) ORCH_NONNULL(1);

/* -ENOENT names the id. *out is for cas_snapshot_fini. */
int cas_snapshot_get(struct cas_store *s, const struct orch_digest *id, struct cas_snapshot *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* rev: 64 hex digits, a unique prefix of at least CAS_PREFIX_MIN, or a ref (which is asked first).
 * -ENOENT; -EINVAL: neither; -ENOTUNIQ: the prefix fits several. */
#define CAS_PREFIX_MIN 8
int cas_snapshot_resolve(struct cas_store *s, const char *rev, struct orch_digest *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

typedef int cas_snapshot_fn(void *priv, const struct cas_snapshot *x); /* x is borrowed */
/* In order of ids; damaged records are skipped (verify reports them). */
int cas_snapshot_list(struct cas_store *s, cas_snapshot_fn *fn, void *priv, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Forgets the record; content is left to gc. -EBUSY while a ref, or a record with this "snapshot",
 * names it: err says which. */
int cas_snapshot_remove(struct cas_store *s, const struct orch_digest *id, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* {"id","tree","stamps","files","bytes","created","source"?,"parent"?,"record"} as in
 * docs/api.md, without "refs". */
int cas_snapshot_to_json(const struct cas_snapshot *x, struct orch_json **out)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
