/*
 * Opening and closing, and opening again: after a failed write RocksDB refuses all others until it is
 * opened again; the next commit does that, as soon as no other call is inside.
 */
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "cache/db_priv.h"
#include "cache/reserve.h"
#include "core/fd.h"
#include "core/hash.h"
#include "core/path.h"

/* The log of writes is replayed at every open: what a keeper killed here leaves stays short. */
#define WRITE_BUFFER_BYTES ((size_t)2 << 20)

static int rocks_errno(const char *msg)
{
	if (strncmp(msg, "Corruption", 10) == 0 || strstr(msg, "No such file") ||
	    strstr(msg, "Is a directory"))
		return ORCH_ECORRUPT;
	if (strstr(msg, "No space left"))
		return ENOSPC;
	if (strstr(msg, "Disk quota"))
		return EDQUOT;
	if (strstr(msg, "Permission denied"))
		return EACCES;
	if (strstr(msg, "Read-only file system"))
		return EROFS;
	if (strstr(msg, "Too many open files"))
		return EMFILE;
	return EIO;
}

int cas_db_fail(struct orch_err *err, const char *what, char *msg)
{
	int code = rocks_errno(msg);

	orch_err_set(err, code, "database: %s: %s", what, msg);
	rocksdb_free(msg);
	return -code;
}

/* What the C interface has no setter for. Missing names fail the open loudly. */
static const char extra_options[] = "allow_fallocate=false;avoid_flush_during_recovery=true";

static int set_extra_options(struct cas_db *db, struct orch_err *err)
{
	rocksdb_options_t *all = rocksdb_options_create();
	char *msg = NULL;

	rocksdb_get_options_from_string(db->options, extra_options, all, &msg);
	if (msg) {
		rocksdb_options_destroy(all);
		return cas_db_fail(err, "options", msg);
	}
	rocksdb_options_destroy(db->options);
	db->options = all;
	return 0;
}

static int make_options(struct cas_db *db, struct orch_err *err)
{
	rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
	rocksdb_cache_t *cache = rocksdb_cache_create_lru((size_t)8 << 20);
	rocksdb_options_t *o = rocksdb_options_create();

	db->options = o;
	db->reads = rocksdb_readoptions_create();
	db->writes = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(db->writes, 1);
	rocksdb_readoptions_set_verify_checksums(db->reads, 1);
	rocksdb_block_based_options_set_block_cache(table, cache);
	rocksdb_block_based_options_set_filter_policy(
	    table, rocksdb_filterpolicy_create_bloom_full(10));
	rocksdb_options_set_block_based_table_factory(o, table);
	rocksdb_options_set_create_if_missing(o, 1);
	rocksdb_options_set_uint64add_merge_operator(o); /* for the sum of commits alone */
	rocksdb_options_set_paranoid_checks(o, 1);
	rocksdb_options_set_compression(o, rocksdb_no_compression);
	rocksdb_options_set_write_buffer_size(o, WRITE_BUFFER_BYTES);
	rocksdb_options_set_max_write_buffer_number(o, 2);
	rocksdb_options_set_max_total_wal_size(o, 2 * WRITE_BUFFER_BYTES);
	rocksdb_options_set_max_background_jobs(o, 2);
	rocksdb_options_set_max_open_files(o, 64);
	rocksdb_options_set_max_file_opening_threads(o, 1);
	rocksdb_options_set_skip_stats_update_on_db_open(o, 1);
	rocksdb_options_set_stats_dump_period_sec(o, 0);
	rocksdb_options_set_stats_persist_period_sec(o, 0);
	rocksdb_options_set_info_log_level(o, CAS_DB_INFO_LEVEL);
	/* every write is synced, so only the unfinished end of the last log may be damaged; that
	 * nothing is lost of others is seen by the sum of commits */
	rocksdb_options_set_wal_recovery_mode(o, rocksdb_tolerate_corrupted_tail_records_recovery);
	rocksdb_block_based_options_destroy(table);
	rocksdb_cache_destroy(cache);
	return set_extra_options(db, err);
}

/*
 * RocksDB insists on writing an information log, and with the assertions that distributions build
 * it with, the second line after a failed one ends the process: on a full disk the keeper would
 * die. So the log goes to memory, into a file that has no name any more once the database is open.
 * What a kill just then leaves is found by the next open of the same database.
 */
static bool make_log_folder(const struct cas_db *db, char folder[CAS_DB_LOG_FOLDER_BYTES])
{
	struct stat st;

	snprintf(folder, CAS_DB_LOG_FOLDER_BYTES, "/dev/shm/orch-log-%u-%016" PRIx64,
	    (unsigned)geteuid(), orch_xxh64(db->path, strlen(db->path), 0));
	if (lstat(folder, &st) == 0 &&
	    (st.st_uid != geteuid() || orch_remove_tree(AT_FDCWD, folder, NULL) < 0))
		return false;
	return mkdir(folder, 0700) == 0;
}

void cas_db_with_log(struct cas_db *db, void (*fn)(struct cas_db *db, char **msg), char **msg)
{
	int ignored;

	if (!make_log_folder(db, db->log_folder))
		db->log_folder[0] = '\0';
	rocksdb_options_set_db_log_dir(db->options, db->log_folder);
	fn(db, msg);
	ignored = db->log_folder[0] ? orch_remove_tree(AT_FDCWD, db->log_folder, NULL) : 0;
	(void)ignored;
}

void cas_db_open_it(struct cas_db *db, char **msg)
{
	db->db = rocksdb_open(db->options, db->path, msg);
}

/* Takes msg over. */
static int open_failed(struct cas_db *db, char *msg, struct orch_err *err)
{
	char *again = NULL;
	int r = cas_db_fail(err, db->path, msg);

	db->damaged[0] = '\0';
	if (r == -ORCH_ECORRUPT)
		cas_db_with_log(db, cas_db_find_damaged, &again);
	rocksdb_free(again);
	db->db = NULL;
	if (db->damaged[0] && err)
		orch_err_wrap(err, "%s is damaged", db->damaged);
	return r;
}

static bool has_current(const struct cas_db *db)
{
	orch_auto(free) char *path = orch_path_join(db->path, "CURRENT");

	return !path || access(path, F_OK) == 0;
}

static int open_once(struct cas_db *db, struct orch_err *err)
{
	bool is_new = !has_current(db);
	char *msg = NULL;
	int r;

	cas_db_with_log(db, cas_db_open_it, &msg);
	if (msg)
		return open_failed(db, msg, err);
	r = cas_db_check_commits(db, is_new, err);
	if (r < 0) {
		rocksdb_close(db->db);
		db->db = NULL;
	}
	return r;
}

/* It makes files: on a full disk what is kept for that makes room for them. */
static int open_rocks(struct cas_db *db, struct orch_err *err)
{
	int r;

	do
		r = open_once(db, err);
	while (cas_reserve_give(db->reserve, r));
	return r;
}

int cas_db_prepare(const char *path, struct cas_db **out, struct orch_err *err)
{
	struct cas_db *db = calloc(1, sizeof(*db));

	if (!db || !(db->path = strdup(path))) {
		free(db);
		return orch_err_set(err, ENOMEM, "database: out of memory");
	}
	pthread_mutex_init(&db->lock, NULL);
	pthread_mutex_init(&db->commit_lock, NULL);
	db->commits_fd = -1;
	*out = db;
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return orch_err_sys(err, errno, "database: mkdir %s", path);
	return make_options(db, err);
}

int cas_db_open(
    const char *path, struct cas_reserve *reserve, struct cas_db **out, struct orch_err *err)
{
	struct cas_db *db = NULL;
	int r = cas_db_prepare(path, &db, err);

	if (r == 0) {
		db->reserve = reserve;
		r = cas_db_open_mark(db, err);
	}
	if (r == 0)
		r = open_rocks(db, err);
	if (r < 0) {
		cas_db_close(db);
		return r;
	}
	*out = db;
	return 0;
}

void cas_db_close(struct cas_db *db)
{
	if (!db)
		return;
	ORCH_BUG_ON(db->users != 0);
	if (db->db)
		rocksdb_close(db->db);
	if (db->reads)
		rocksdb_readoptions_destroy(db->reads);
	if (db->writes)
		rocksdb_writeoptions_destroy(db->writes);
	if (db->options)
		rocksdb_options_destroy(db->options);
	orch_fd_close(db->commits_fd);
	pthread_mutex_destroy(&db->commit_lock);
	pthread_mutex_destroy(&db->lock);
	free(db->path);
	free(db);
}

/* lock is held; nobody is inside */
static int reopen(struct cas_db *db, struct orch_err *err)
{
	int r;

	if (db->db)
		rocksdb_close(db->db);
	r = open_rocks(db, err);
	if (r == 0)
		db->failed = false;
	return r;
}

int cas_db_enter(struct cas_db *db, bool for_write, struct orch_err *err)
{
	int r = 0;

	pthread_mutex_lock(&db->lock);
	if (!db->db || (db->failed && for_write)) {
		if (db->users == 0)
			r = reopen(db, err);
		else
			r = orch_err_set(err, EIO, "database: an earlier write failed");
	}
	if (r == 0)
		db->users++;
	pthread_mutex_unlock(&db->lock);
	return r;
}

void cas_db_leave(struct cas_db *db, bool failed)
{
	pthread_mutex_lock(&db->lock);
	db->users--;
	db->failed = db->failed || failed;
	pthread_mutex_unlock(&db->lock);
}
