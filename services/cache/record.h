/*
 * The keeper's own records (workspaces, runs, leases): JSON objects by namespace and key. Durable
 * when a call returns. Thread-safe.
 * Two members have a meaning here: a record with "snapshot": "<64 hex>" keeps that snapshot from
 * being removed, one with "layer": N keeps that layer (and so its parents).
 */
#ifndef ORCH_CACHE_RECORD_H
#define ORCH_CACHE_RECORD_H

#include "cache/store.h"
#include "core/json.h"

#define CAS_NS_WORKSPACE   "workspace"
#define CAS_NS_RUN	   "run"
#define CAS_NS_LEASE	   "lease"
#define CAS_NS_JOB	   "job"
#define CAS_NS_MAX	   32	/* [a-z0-9-]{1,32} */
#define CAS_RECORD_KEY_MAX 1000 /* bytes, any but NUL, at least one */

/* -ENOENT names it. *out is the caller's. */
int cas_record_get(struct cas_store *s, const char *ns, const char *key, struct orch_json **out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;
int cas_record_put(struct cas_store *s, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;
/* -EEXIST when there is one. */
int cas_record_create(struct cas_store *s, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;
int cas_record_remove(struct cas_store *s, const char *ns, const char *key, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR; /* absent: success */

/* value is borrowed; NULL with status -ORCH_ECORRUPT for a damaged record. */
typedef int cas_record_fn(
    void *priv, const char *ns, const char *key, const struct orch_json *value, int status);
/* In order of keys; ns NULL: all namespaces. fn may change records. A non-zero return of fn ends
 * it and is returned. */
int cas_record_list(struct cas_store *s, const char *ns, cas_record_fn *fn, void *priv,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

#endif
