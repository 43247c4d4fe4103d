/*
 * The door to RocksDB; only db*.c know it, by db_priv.h. A table of small records, each with a kind,
 * a version and a checksum that covers its key too, so a record that was flipped or swapped is
 * ORCH_ECORRUPT with its name, never wrong bytes. Every commit is atomic and synced. Thread-safe.
 * The bytes are in docs/format.md.
 */
#ifndef ORCH_CACHE_DB_H
#define ORCH_CACHE_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/err.h"

struct cas_db;
struct cas_batch;
struct cas_reserve;

enum cas_kind {			 /* first byte of a key, on disk */
	CAS_KIND_META = 'm',	 /* counters and the like, by name */
	CAS_KIND_OBJECT = 'o',	 /* by digest (32 bytes) */
	CAS_KIND_SNAPSHOT = 's', /* by digest */
	CAS_KIND_REF = 'r',	 /* by name */
	CAS_KIND_RECORD = 'n',	 /* by namespace, NUL, key */
};

struct cas_key {
	enum cas_kind kind;
	const void *p; /* borrowed */
	size_t len;    /* at most CAS_KEY_MAX */
};
#define CAS_KEY_MAX   2048
#define CAS_VALUE_MAX ((size_t)16 << 20)

/* Makes the folder when it is absent. The store's LOCK must be held. reserve: of what is given back when
 * an open or a commit finds no space; borrowed, NULL: nothing. */
int cas_db_open(const char *path, struct cas_reserve *reserve, struct cas_db **out,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
/* What can be read of the tables and logs in that folder becomes a database again, for cas_db_open.
 * Nobody has it open. */
int cas_db_repair(const char *path, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
void cas_db_close(struct cas_db *db); /* everything was synced before */
/* It can't be proven that nothing was lost: COMMITS or the sum of commits was missing, or it was
 * repaired. Kept in the database until it is set to false: what no record names may be what a lost
 * one named. */
bool cas_db_has_gap(struct cas_db *db) ORCH_NONNULL(1);
int cas_db_set_gap(struct cas_db *db, bool has_gap, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* Replaces *out by the value. -ENOENT (err untouched: the caller names the thing);
 * ORCH_ECORRUPT names the record; ORCH_EFORMAT: written by a newer orch. */
int cas_db_get(struct cas_db *db, const struct cas_key *key, struct orch_buf *out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* 1, 0 or -errno; reads and checks the record. */
int cas_db_has(struct cas_db *db, const struct cas_key *key, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* One record of an iteration; all borrowed, for the time of the call. */
struct cas_db_item {
	enum cas_kind kind;
	const uint8_t *key; /* without the kind */
	size_t key_len;
	const uint8_t *value; /* NULL when status < 0 */
	size_t value_len;
	int status; /* 0, -ORCH_ECORRUPT or -ORCH_EFORMAT: this record can't be believed */
};
/* "ref main", "object 12ab...": the record as people see it, appended. */
int cas_db_name(const struct cas_db_item *item, struct orch_buf *out) ORCH_NONNULL(1, 2);

typedef int cas_db_fn(void *priv, const struct cas_db_item *item);
/* All records whose kind and first bytes are those of prefix, in the order of their keys, as they
 * were when the call began; fn may read and commit. A non-zero return of fn ends it and is
 * returned. prefix NULL: every record; keys of an unknown kind come with -ORCH_EFORMAT. */
int cas_db_each(struct cas_db *db, const struct cas_key *prefix, cas_db_fn *fn, void *priv,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

/* A list of changes, applied whole or not at all. The first failure of a _put or _remove sticks
 * and is returned by the commit. Later changes of one key win. */
struct cas_batch *cas_batch_new(void) ORCH_WUR; /* NULL: no memory */
void cas_batch_free(struct cas_batch *b);
void cas_batch_put(struct cas_batch *b, const struct cas_key *key, const void *value, size_t len)
    ORCH_NONNULL(1, 2);
void cas_batch_remove(struct cas_batch *b, const struct cas_key *key) ORCH_NONNULL(1, 2);
/* Durable when it returns 0. The batch may be freed or, emptied by this, filled again. */
int cas_db_commit(struct cas_db *db, struct cas_batch *b, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
