/*
 * Several changes of refs and records, made durable together or not at all. Changes are collected
 * without a lock; _commit takes the store's lock of changes, checks every expectation, writes one
 * synced batch. One thread fills a transaction; transactions of many threads may commit at once.
 */
#ifndef ORCH_CACHE_TXN_H
#define ORCH_CACHE_TXN_H

#include "cache/ref.h"
#include "core/json.h"

struct cas_txn;
struct cas_txn *cas_txn_new(struct cas_store *s) ORCH_NONNULL(1) ORCH_WUR; /* NULL: no memory */
void cas_txn_free(struct cas_txn *t);

/* Contracts as in ref.h and record.h; what depends on the store's state is told by _commit. */
/* *out (may be NULL) is written by a successful _commit. */
int cas_txn_ref_set(struct cas_txn *t, const char *name, const struct orch_digest *id,
    const struct cas_expect *expect, struct cas_ref *out, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
int cas_txn_ref_remove(struct cas_txn *t, const char *name, const struct cas_expect *expect,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
int cas_txn_record_put(struct cas_txn *t, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;
int cas_txn_record_remove(struct cas_txn *t, const char *ns, const char *key, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR; /* absent: success */
/* The record must not exist yet: else -EEXIST at commit. */
int cas_txn_record_create(struct cas_txn *t, const char *ns, const char *key,
    const struct orch_json *value, struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;

/* At most one change of a name. A transaction commits once. ORCH_ECONFLICT, -ENOENT, -EEXIST: nothing was changed. */
int cas_txn_commit(struct cas_txn *t, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

#endif
