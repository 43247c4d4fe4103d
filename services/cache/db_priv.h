/*
 * What the files behind db.h share; only they include it, and nothing else of orch knows RocksDB.
 *
 *   db.c         records are read and written
 *   db_count.c   whether commits are missing
 *   db_open.c    options, opening, closing, opening again after a failed write
 *   db_repair.c  a damaged database
 *   db_value.c   keys and values as bytes (db_value.h)
 */
#ifndef ORCH_CACHE_DB_PRIV_H
#define ORCH_CACHE_DB_PRIV_H

#include <pthread.h>
#include <rocksdb/c.h>
#include "cache/db.h"
#include "cache/db_value.h"

#define CAS_DB_LOG_FOLDER_BYTES 48

struct cas_db {
	char *path;
	struct cas_reserve *reserve;		  /* may be NULL */
	char log_folder[CAS_DB_LOG_FOLDER_BYTES]; /* in cas_db_with_log; "": there is none */
	char damaged[32];			  /* file that cas_db_find_damaged found */
	rocksdb_options_t *options;
	rocksdb_readoptions_t *reads;
	rocksdb_writeoptions_t *writes;
	pthread_mutex_t commit_lock; /* one write at a time; commits; taken before lock */
	uint64_t commits;	     /* in the database */
	bool has_sum;		     /* so is their sum */
	bool has_gap;		     /* see cas_db_has_gap */
	int commits_fd;

	pthread_mutex_t lock; /* db while failed, users, failed */
	rocksdb_t *db;	      /* NULL: could not be opened again */
	unsigned users;	      /* calls inside db */
	bool failed;	      /* a write failed: open again before the next one */
};

struct cas_batch {
	rocksdb_writebatch_t *wb;
	struct orch_buf scratch;
	int status; /* first failure */
};

/* ---- db.c */

/* commit_lock is held. b is as it was when it fails, and may be tried again. */
int cas_db_commit_counted(struct cas_db *db, struct cas_batch *b, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* ---- db_open.c */

/* Turns RocksDB's message into an error; takes msg over. */
int cas_db_fail(struct orch_err *err, const char *what, char *msg) ORCH_NONNULL(2, 3) ORCH_WUR;
/* The folder and what RocksDB is to be told. *out is for cas_db_close, also after a failure (NULL: no memory). */
int cas_db_prepare(const char *path, struct cas_db **out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* Calls fn(db, msg) with a folder for RocksDB's information log. */
void cas_db_with_log(struct cas_db *db, void (*fn)(struct cas_db *db, char **msg), char **msg)
    ORCH_NONNULL(1, 2, 3);
/* In such an fn: sets db->db, or *msg. */
void cas_db_open_it(struct cas_db *db, char **msg) ORCH_NONNULL(1, 2);
#define CAS_DB_INFO_LEVEL 5 /* of that log: headers alone; they can't be had without */

/* Between these, db->db can be used: it is open, and nobody opens it again. One that could not be opened again, or
 * whose last write failed when this is for a write, is opened again first. */
int cas_db_enter(struct cas_db *db, bool for_write, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
void cas_db_leave(struct cas_db *db, bool failed) ORCH_NONNULL(1);

/* ---- db_count.c: the number of commits, their sum, and what was promised in the file COMMITS */

/* The key of the sum. Its value is RocksDB's: 8 bytes that a merge adds to, without our head. */
#define CAS_DB_SUM_KEY	     "mcommits-sum"
#define CAS_DB_SUM_KEY_BYTES (sizeof(CAS_DB_SUM_KEY) - 1)

bool cas_db_is_sum(const char *key, size_t len) ORCH_NONNULL(1);
int cas_db_open_mark(struct cas_db *db, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;
/* Not synced, and not missed when it fails: an older count only promises less. */
void cas_db_write_mark(const struct cas_db *db) ORCH_NONNULL(1);
/* After an open: ORCH_ECORRUPT where commits are missing. is_new: it was made by this open. */
int cas_db_check_commits(struct cas_db *db, bool is_new, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;
/* Puts the next number and what is added to the sum into b. The first one begins the sum. */
void cas_db_count_in(const struct cas_db *db, struct cas_batch *b) ORCH_NONNULL(1, 2);

/* ---- db_repair.c */

/* RocksDB names a damaged log in its information log alone, below the level that we let it write:
 * it tries once more, and says it, into db->damaged. With a log folder. */
void cas_db_find_damaged(struct cas_db *db, char **msg) ORCH_NONNULL(1, 2);

#endif
