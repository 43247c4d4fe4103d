/*
 * Keys and values of the database as bytes; they are in docs/format.md. Pure: knows nothing of RocksDB.
 * A value begins with a head: magic, u16 version, u16 0, u64 checksum of the key and of what follows.
 */
#ifndef ORCH_CACHE_DB_VALUE_H
#define ORCH_CACHE_DB_VALUE_H

#include "cache/db.h"

#define CAS_VALUE_HEAD 16

/* Kind and bytes of the key, one after the other. -ENAMETOOLONG. */
int cas_db_key(const struct cas_key *key, char out[CAS_KEY_MAX + 1], size_t *out_len)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* NULL: it is unknown. */
const char *cas_db_kind_name(char kind);
/* As cas_db_name, of a whole key. 0 or -ENOMEM. */
int cas_db_key_name(const char *key, size_t len, struct orch_buf *out) ORCH_NONNULL(1, 3) ORCH_WUR;

/* 0, -ORCH_ECORRUPT or -ORCH_EFORMAT, with the key's name. */
int cas_db_check_value(const char *key, size_t key_len, const char *v, size_t len,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
/* Replaces *out by head and value. -EOVERFLOW above CAS_VALUE_MAX, -ENOMEM. */
int cas_db_format_value(struct orch_buf *out, const char *key, size_t key_len, const void *value,
    size_t len) ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
