/*
 * Refs: names that point to snapshots. Changed by compare-and-swap only, one at a time, durable
 * when the call returns. Thread-safe. A ref keeps its snapshot from being removed.
 */
#ifndef ORCH_CACHE_REF_H
#define ORCH_CACHE_REF_H

#include "cache/store.h"
#include "core/hash.h"

struct cas_ref {
	char name[1001];
	struct orch_digest id;
	struct orch_digest previous; /* null: it was new */
	int64_t wall_ns;	     /* of the last change */
};

enum cas_expect_how { CAS_EXPECT_ANY, CAS_EXPECT_ABSENT, CAS_EXPECT_ID };
struct cas_expect { /* what a ref must be for a change to happen; zeros: anything */
	enum cas_expect_how how;
	struct orch_digest id; /* CAS_EXPECT_ID */
};

/* -ENOENT names it; -EINVAL: not a name (orch_ref_name_valid). */
int cas_ref_get(struct cas_store *s, const char *name, struct cas_ref *out, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

typedef int cas_ref_fn(void *priv, const struct cas_ref *ref);
/* In order of names; prefix NULL: all. A ref whose record is damaged is skipped (verify reports
 * it). A non-zero return of fn ends it and is returned. */
int cas_ref_list(struct cas_store *s, const char *prefix, cas_ref_fn *fn, void *priv,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

/* Points name to the snapshot id, which must exist (-ENOENT). ORCH_ECONFLICT: expect does not
 * hold, err says what is there. *out (may be NULL): the new state. expect NULL: anything. */
int cas_ref_set(struct cas_store *s, const char *name, const struct orch_digest *id,
    const struct cas_expect *expect, struct cas_ref *out, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* -ENOENT, ORCH_ECONFLICT */
int cas_ref_remove(struct cas_store *s, const char *name, const struct cas_expect *expect,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
