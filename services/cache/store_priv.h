/* What the files of this room share, and what their tests need to see; nobody else includes it. */
#ifndef ORCH_CACHE_STORE_PRIV_H
#define ORCH_CACHE_STORE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "cache/db.h"
#include "cache/folder.h"
#include "cache/manifest.h"
#include "cache/ref.h"
#include "cache/store.h"
#include "core/fd.h"
#include "core/json.h"

struct cas_counters { /* meta record "counters" */
	uint64_t objects, object_bytes;
};

#define CAS_DB_NAME "db"
#define CAS_AWAY    "quarantine" /* what was moved out of the way */

struct cas_store {
	char *path;
	char id[CAS_STORE_ID_HEX + 1];
	uint64_t seed;
	int root_fd, lock_fd, objects_fd, packs_fd, layers_fd, scan_fd, tmp_fd;
	struct view_packset *packset;
	struct cas_db *db;
	struct cas_reserve *reserve;
	char db_name[40]; /* its folder below the store's: CAS_DB_NAME but for a repair */

	/* Taken in this order when both are needed; held over database writes, never over a call
	 * out of this room. */
	pthread_mutex_t pack_lock; /* numbers and merging of packs */
	uint64_t pack_last;	   /* the last number that was given out since the start */
	pthread_mutex_t
	    change_lock; /* refs, snapshot records, keeper's records, counters, layers */
	struct cas_counters counters;
	atomic_uint publishing; /* publishes between their first rename and their commit */
	atomic_bool unrecorded; /* tmp/ holds objects for cas_publish_retry */
	/* The copy of refs (ref_copy.h); change_lock. */
	bool refs_copied; /* else it is to be written anew */
	size_t refs_bytes, refs_appended;
	uint64_t layer_next, layer_limit; /* numbers that are reserved in the database */
	uint64_t *pins; /* layers that are read, one entry a reader; change_lock */
	size_t pin_count;

	/* Tests only: called at each named step of publishing. */
	void (*step)(void *priv, const char *name);
	void *step_priv;
};

/* Names what publishing has just done, for tests that kill the process there. */
static inline void cas_step(const struct cas_store *s, const char *name)
{
	if (s->step)
		s->step(s->step_priv, name);
}

/* store.c: the two steps of opening. */
/* The folder is looked at and locked. *out is for cas_store_fill, and then for cas_store_close. */
int cas_store_lock(const char *path, unsigned flags, struct cas_store **out, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* FORMAT, folders, the database in the folder `db` below the store's. Another one than CAS_DB_NAME may be
 * empty, and the copy of refs is left as it is. */
int cas_store_fill(struct cas_store *s, unsigned flags, const char *db, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* Moves dirfd/name out of the store's way, to quarantine/<as>. */
int cas_move_away(struct cas_store *s, int dirfd, const char *name, const char *as,
    struct orch_err *err) ORCH_NONNULL(1, 3, 4) ORCH_WUR;
/* Whether anything was ever put into it. 1, 0 or -errno. */
int cas_store_has_content(struct cas_store *s, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* store_format.c: the file FORMAT. */
struct cas_format {
	char id[CAS_STORE_ID_HEX + 1];
	uint64_t seed;
};
int cas_format_make(struct cas_format *out, struct orch_err *err) ORCH_WUR;
int cas_format_save(int root_fd, const struct cas_format *f, struct orch_err *err) ORCH_WUR;
/* -ENOENT: there is none. */
int cas_format_load(int root_fd, struct cas_format *out, struct orch_err *err) ORCH_WUR;
/* A copy in the database: what every fingerprint depends on must not hang on one small file. Written
 * when it is not there or differs. */
int cas_format_remember(
    struct cas_db *db, const struct cas_format *f, struct orch_err *err) ORCH_WUR;
int cas_format_recall(struct cas_db *db, struct cas_format *out, struct orch_err *err) ORCH_WUR;
int cas_format_parse(
    const char *text, size_t len, struct cas_format *out, struct orch_err *err) ORCH_WUR;

/* object.c: records of objects, and their files brought into place. */
int cas_object_load(struct cas_store *s, const struct orch_digest *digest, struct cas_object *out,
    struct orch_err *err) ORCH_WUR; /* -ENOENT */
int cas_object_parse(const uint8_t *key, size_t key_len, const uint8_t *p, size_t n,
    struct cas_object *out) ORCH_WUR; /* -ORCH_ECORRUPT */
void cas_object_put(struct cas_batch *b, const struct cas_object *o);
/* Puts records and counters for those of the manifest that have none; change_lock is held. The new
 * counters become true with the commit: the caller assigns *out_counters then. */
int cas_object_put_new(struct cas_store *s, const struct cas_manifest *m, struct cas_batch *b,
    struct cas_counters *out_counters, struct orch_err *err) ORCH_WUR;
int cas_counters_load(struct cas_store *s, struct orch_err *err) ORCH_WUR;
void cas_counters_put(struct cas_batch *b, const struct cas_counters *c);
/* Renames dirfd/name to its place in objects/, making folders. *out_made: a folder was made. */
int cas_object_place(struct cas_store *s, int dirfd, const char *name,
    const struct orch_digest *digest, bool *out_made, struct orch_err *err) ORCH_WUR;

/* ref.c, change_lock is held: checks expect and puts the change into b. id NULL: removes. *out
 * (may be NULL): the ref as it will be; removed: its id is null. */
int cas_ref_change(struct cas_store *s, struct cas_batch *b, const char *name,
    const struct orch_digest *id, const struct cas_expect *expect, struct cas_ref *out,
    struct orch_err *err) ORCH_WUR;
void cas_ref_put(struct cas_batch *b, const struct cas_ref *ref);
int cas_ref_parse(
    const uint8_t *name, size_t name_len, const uint8_t *p, size_t n, struct cas_ref *out) ORCH_WUR;
/* Only whether expect holds now. */
int cas_ref_expect(struct cas_store *s, const char *name, const struct cas_expect *expect,
    struct orch_err *err) ORCH_WUR;

/* record.c */
int cas_record_key(
    const char *ns, const char *key, struct orch_buf *out, struct orch_err *err) ORCH_WUR;
int cas_json_value(
    const uint8_t *p, size_t n, struct orch_json **out, struct orch_err *err) ORCH_WUR;
/* Names a keeper's record whose member is that string (or number): 1 and "ns/key" in out, or 0. */
int cas_record_user_of_snapshot(struct cas_store *s, const struct orch_digest *id,
    struct orch_buf *out, struct orch_err *err) ORCH_WUR;

/* snapshot.c */
struct cas_snapshot;
int cas_snapshot_put_with(struct cas_batch *b, const struct cas_snapshot *x,
    const struct orch_json *record, struct orch_err *err) ORCH_WUR; /* x->record is not looked at */
int cas_snapshot_parse(const uint8_t *key, size_t key_len, const uint8_t *p, size_t n,
    struct cas_snapshot *out, struct orch_err *err) ORCH_WUR;
/* 1, 0 or -errno */
int cas_snapshot_known(
    struct cas_store *s, const struct orch_digest *id, struct orch_err *err) ORCH_WUR;

/* pack.c: dirfd/name (durable, checked, 0444) becomes packs/<*out_number>, durable. */
int cas_pack_place(struct cas_store *s, int dirfd, const char *name, uint64_t *out_number,
    struct orch_err *err) ORCH_WUR;

/* adopt.c: a claimed quarantine, made ours and checked before it is believed. */
struct cas_adopt {
	struct cas_store *s;
	int dirfd;	/* the claimed quarantine */
	unsigned flags; /* of struct cas_publish */
	const atomic_bool *cancel;
	struct orch_buf manifest_bytes;
	struct cas_manifest manifest;
	uint8_t *moves; /* by object of the manifest: 1: the store lacks it */
	uint64_t move_count;
	int pack_fd; /* -1: no pack */
	struct orch_map pack_map;
	struct fmt_pack pack;
};
/* Takes dirfd over. Whatever it returns, cas_adopt_fini follows. */
int cas_adopt_open(
    struct cas_adopt *a, struct cas_store *s, int dirfd, struct orch_err *err) ORCH_WUR;
/* Every file becomes ours and unwritable, everything is checked. snapshot may be null. */
int cas_adopt_check(
    struct cas_adopt *a, const struct orch_digest *snapshot, struct orch_err *err) ORCH_WUR;
/* "hh/<64 hex>" */
#define CAS_ADOPT_NAME_BYTES (3 + ORCH_DIGEST_HEX + 1)
void cas_adopt_name(const struct orch_digest *d, char out[CAS_ADOPT_NAME_BYTES]);
/* Opens a file of the quarantine for reading and makes it the store's: owner, mode; refuses what
 * is not a plain file of one link without a writer. fd or -errno. */
int cas_adopt_file(struct cas_adopt *a, const char *name, mode_t mode, struct stat *out,
    struct orch_err *err) ORCH_WUR;
void cas_adopt_fini(struct cas_adopt *a);

/* adopt_pack.c: the pack's part of cas_adopt_check. */
int cas_adopt_check_pack(
    struct cas_adopt *a, const struct orch_digest *snapshot, struct orch_err *err) ORCH_WUR;
/* The same of a pack that is open: pack_fd is not read, -1 means there is none. */
int cas_adopt_check_records(
    struct cas_adopt *a, const struct orch_digest *snapshot, struct orch_err *err) ORCH_WUR;

/* memo.c: the quarantine's table joins the memo; -ENOENT: there is none. Tables are merged when there
 * are many. */
struct cas_memo_place;
int cas_memo_take(
    struct cas_adopt *a, const struct cas_memo_place *place, struct orch_err *err) ORCH_WUR;

/* publish.c: after a crash, records the objects that a cut-off publish had moved into place. */
int cas_publish_recover(struct cas_store *s, struct orch_err *err) ORCH_WUR;
/* The same for publishes that failed while the database could not be written. */
void cas_publish_retry(struct cas_store *s);

#endif
