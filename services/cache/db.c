/*
 * RocksDB behind db.h. Its threads are RocksDB's own (one for flushes and compactions). After a
 * failed write RocksDB refuses all others until it is opened again; the next commit does that, as
 * soon as no other call is inside.
 *
 * RocksDB takes damage near the end of a log for a write that was cut off, and drops it; several logs
 * lie side by side after kills, and one that was removed is not missed. So every commit counts
 * itself twice: it writes its number, and adds 1 to a sum. Where the sum is below the number,
 * commits in between are lost. And the number of the last one that is durable is written, without a
 * sync, to the file COMMITS beside the tables: a database that opens with less has lost the last ones.
 */
#include "cache/db.h"

#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <rocksdb/c.h>
#include "cache/folder.h"
#include "core/cursor.h"
#include "core/fault.h"
#include "core/fd.h"
#include "core/hash.h"
#include "core/path.h"

/* The log of writes is replayed at every open: what a keeper killed here leaves stays short. */
#define WRITE_BUFFER_BYTES ((size_t)2 << 20)
#define FLUSH_ABOVE_BYTES  ((size_t)512 << 10) /* a batch */

#define VALUE_MAGIC   "ORDB"
#define VALUE_VERSION 1
#define VALUE_HEAD    16 /* magic, u16 version, u16 0, u64 checksum */

#define LOG_FOLDER_BYTES 48

struct cas_db {
	char *path;
	char log_folder[LOG_FOLDER_BYTES]; /* in with_log; "": there is none */
	char damaged[32];		   /* file that find_damaged found */
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

/* Takes msg over. */
static int rocks_fail(struct orch_err *err, const char *what, char *msg)
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
		return rocks_fail(err, "options", msg);
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
	rocksdb_options_set_info_log_level(o, 5); /* headers alone; they can't be had without */
	/* every write is synced, so only the unfinished end of the last log may be damaged; that
	 * nothing is lost of others is seen by the sum of commits */
	rocksdb_options_set_wal_recovery_mode(o, rocksdb_tolerate_corrupted_tail_records_recovery);
	rocksdb_block_based_options_destroy(table);
	rocksdb_cache_destroy(cache);
	return set_extra_options(db, err);
}

static int key_bytes(const struct cas_key *key, char out[CAS_KEY_MAX + 1], size_t *out_len)
{
	if (key->len > CAS_KEY_MAX)
		return -ENAMETOOLONG;
	out[0] = (char)key->kind;
	if (key->len)
		memcpy(out + 1, key->p, key->len);
	*out_len = key->len + 1;
	return 0;
}

static const char *kind_name(char kind)
{
	switch ((enum cas_kind)kind) {
	case CAS_KIND_META:
		return "meta";
	case CAS_KIND_OBJECT:
		return "object";
	case CAS_KIND_SNAPSHOT:
		return "snapshot";
	case CAS_KIND_REF:
		return "ref";
	case CAS_KIND_RECORD:
		return "record";
	}
	return NULL;
}

/* "ref main", "object 12ab...": the key as people see it. */
static int key_name(const char *key, size_t len, struct orch_buf *out)
{
	const char *kind = len ? kind_name(key[0]) : NULL;
	bool hex = !kind || key[0] == CAS_KIND_OBJECT || key[0] == CAS_KIND_SNAPSHOT;

	orch_buf_printf(out, "%s ", kind ? kind : "unknown");
	for (size_t i = kind ? 1 : 0; i < len; i++) {
		unsigned char c = (unsigned char)key[i];

		if (hex)
			orch_buf_printf(out, "%02x", c);
		else
			orch_buf_printf(out, "%c", c == 0 ? '/' : c < ' ' || c == 127 ? '?' : c);
	}
	return out->failed ? -ENOMEM : 0;
}

int cas_db_name(const struct cas_db_item *item, struct orch_buf *out)
{
	char key[CAS_KEY_MAX + 1];
	size_t len = item->key_len < CAS_KEY_MAX ? item->key_len : CAS_KEY_MAX;

	key[0] = (char)item->kind;
	memcpy(key + 1, item->key, len);
	return key_name(key, len + 1, out);
}

static uint64_t checksum(const char *key, size_t key_len, const void *p, size_t n)
{
	return orch_xxh64(p, n, orch_xxh64(key, key_len, 0));
}

static const char *value_problem(
    const char *key, size_t key_len, const char *v, size_t len, int *out_code)
{
	*out_code = ORCH_ECORRUPT;
	if (len < VALUE_HEAD || memcmp(v, VALUE_MAGIC, 4) != 0 || orch_le16(v + 6) != 0)
		return "damaged";
	if (orch_le16(v + 4) != VALUE_VERSION) {
		*out_code = ORCH_EFORMAT;
		return "of a version that this orch does not know";
	}
	if (orch_le64(v + 8) != checksum(key, key_len, v + VALUE_HEAD, len - VALUE_HEAD))
		return "damaged (wrong checksum)";
	return NULL;
}

static int check_value(
    const char *key, size_t key_len, const char *v, size_t len, struct orch_err *err)
{
	int code;
	const char *problem = value_problem(key, key_len, v, len, &code);
	struct orch_buf name;

	if (!problem)
		return 0;
	orch_buf_init(&name, 8 << 10);
	if (key_name(key, key_len, &name) < 0 || !name.data)
		orch_err_set(err, code, "database: a record is %s", problem);
	else
		orch_err_set(err, code, "database: %s is %s", (char *)name.data, problem);
	orch_buf_fini(&name);
	return -code;
}

/* ---- the count of commits ---- */

#define COMMITS_NAME "COMMITS"

struct mark {	       /* as in the file */
	char magic[4]; /* "ORCM" */
	uint16_t version, zero;
	uint64_t count;
	uint64_t checksum; /* of what is before */
};

/* The value of commits_key; the first orchs wrote the number alone. */
struct commits {
	uint64_t number;
	uint64_t has_gap; /* 0 or 1 */
};

static const struct cas_key commits_key = {CAS_KIND_META, "commits", 7};

/* Its value is RocksDB's: 8 bytes that a merge adds to, without our head. */
#define SUM_KEY	      "mcommits-sum"
#define SUM_KEY_BYTES (sizeof(SUM_KEY) - 1)

static bool is_sum(const char *key, size_t len)
{
	return len == SUM_KEY_BYTES && memcmp(key, SUM_KEY, len) == 0;
}

static int open_mark(struct cas_db *db, struct orch_err *err)
{
	char *path = orch_path_join(db->path, COMMITS_NAME);

	if (!path)
		return orch_err_set(err, ENOMEM, "database: out of memory");
	db->commits_fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	free(path);
	return db->commits_fd < 0 ? orch_err_sys(err, errno, "database: " COMMITS_NAME) : 0;
}

static void make_mark(uint64_t count, struct mark *out)
{
	*out = (struct mark){.magic = "ORCM", .version = 1, .count = count};
	out->checksum = orch_xxh64(out, offsetof(struct mark, checksum), 0);
}

/* What was promised at least. False: the file was cut off or damaged, it promises nothing. */
static bool read_mark(const struct cas_db *db, uint64_t *out)
{
	struct mark m, right;

	*out = 0;
	if (orch_fd_pread_all(db->commits_fd, &m, sizeof(m), 0) < 0)
		return false;
	make_mark(m.count, &right);
	if (memcmp(&m, &right, sizeof(m)) != 0)
		return false;
	*out = m.count;
	return true;
}

/* Not synced, and not missed when it fails: an older count only promises less. */
static void write_mark(const struct cas_db *db)
{
	struct mark m;
	int ignored;

	make_mark(db->commits, &m);
	ignored = orch_fd_pwrite_all(db->commits_fd, &m, sizeof(m), 0);
	(void)ignored;
}

static int read_sum(struct cas_db *db, uint64_t *out, struct orch_err *err)
{
	char *msg = NULL;
	size_t len;
	char *v = rocksdb_get(db->db, db->reads, SUM_KEY, SUM_KEY_BYTES, &len, &msg);

	if (msg)
		return rocks_fail(err, "read", msg);
	db->has_sum = v && len == sizeof(*out);
	*out = db->has_sum ? orch_le64(v) : 0;
	rocksdb_free(v);
	return 0;
}

/* promised, sum: in place of a number that is damaged alone. */
static int read_commits(struct cas_db *db, uint64_t promised, uint64_t sum, struct orch_err *err)
{
	char key[CAS_KEY_MAX + 1];
	char *msg = NULL, *v;
	size_t key_len, len;
	int r = key_bytes(&commits_key, key, &key_len);

	ORCH_BUG_ON(r < 0);
	db->commits = 0;
	v = rocksdb_get(db->db, db->reads, key, key_len, &len, &msg);
	if (msg)
		return rocks_fail(err, "read", msg);
	if (!v)
		return 0;
	r = check_value(key, key_len, v, len, NULL);
	if (r == 0 && (len == VALUE_HEAD + 8 || len == VALUE_HEAD + sizeof(struct commits))) {
		db->commits = orch_le64(v + VALUE_HEAD);
		db->has_gap = db->has_gap || (len > VALUE_HEAD + 8 && v[VALUE_HEAD + 8] != 0);
	} else { /* it can't tell that others are missing; the next commit mends it */
		db->commits = db->has_sum ? sum : promised;
		db->has_gap = true;
	}
	rocksdb_free(v);
	return r == -ORCH_EFORMAT
		   ? orch_err_set(err, ORCH_EFORMAT, "database: it was written by a newer orch")
		   : 0;
}

/* is_new: it was made by this open. */
static int check_commits(struct cas_db *db, bool is_new, struct orch_err *err)
{
	uint64_t promised, sum = 0;
	bool has_mark = read_mark(db, &promised);
	int r = read_sum(db, &sum, err);

	if (r == 0)
		r = read_commits(db, promised, sum, err);
	if (r < 0)
		return r;
	if (db->commits < promised)
		return orch_err_set(err, ORCH_ECORRUPT,
		    "database: its last %" PRIu64 " changes are lost: the end of the last *.log in "
		    "%s was cut off, damaged or removed",
		    promised - db->commits, db->path);
	if (db->has_sum && sum < db->commits)
		return orch_err_set(err, ORCH_ECORRUPT,
		    "database: %" PRIu64 " earlier changes are lost: a *.log in %s was cut off, "
		    "damaged or removed",
		    db->commits - sum, db->path);
	db->has_gap = db->has_gap || (!is_new && (!has_mark || !db->has_sum));
	return 0;
}

/* ---- opening ---- */

/*
 * RocksDB insists on writing an information log, and with the assertions that distributions build
 * it with, the second line after a failed one ends the process: on a full disk the keeper would
 * die. So the log goes to memory, into a file that has no name any more once the database is open.
 * What a kill just then leaves is found by the next open of the same database.
 */
static bool make_log_folder(const struct cas_db *db, char folder[LOG_FOLDER_BYTES])
{
	struct stat st;

	snprintf(folder, LOG_FOLDER_BYTES, "/dev/shm/orch-log-%u-%016" PRIx64, (unsigned)geteuid(),
	    orch_xxh64(db->path, strlen(db->path), 0));
	if (lstat(folder, &st) == 0 &&
	    (st.st_uid != geteuid() || orch_remove_tree(AT_FDCWD, folder, NULL) < 0))
		return false;
	return mkdir(folder, 0700) == 0;
}

/* Calls fn(db, msg) with a folder for its log. */
static void with_log(struct cas_db *db, void (*fn)(struct cas_db *db, char **msg), char **msg)
{
	int ignored;

	if (!make_log_folder(db, db->log_folder))
		db->log_folder[0] = '\0';
	rocksdb_options_set_db_log_dir(db->options, db->log_folder);
	fn(db, msg);
	ignored = db->log_folder[0] ? orch_remove_tree(AT_FDCWD, db->log_folder, NULL) : 0;
	(void)ignored;
}

static void open_it(struct cas_db *db, char **msg)
{
	db->db = rocksdb_open(db->options, db->path, msg);
}

static void repair_it(struct cas_db *db, char **msg)
{
	rocksdb_repair_db(db->options, db->path, msg);
}

/* ".../000012.log: dropping 139 bytes; Corruption: ...": the last one. */
static int see_log(void *priv, int dirfd, const char *name)
{
	orch_auto(fd) int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct cas_db *db = priv;
	char text[16 << 10];
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	text[n > 0 ? n : 0] = '\0';
	for (char *at = text; (at = strstr(at, ".log: dropping ")); at++) {
		size_t digits = 0;

		while (at - digits > text && at[-1 - (ptrdiff_t)digits] >= '0' &&
		       at[-1 - (ptrdiff_t)digits] <= '9' && digits < 20)
			digits++;
		snprintf(db->damaged, sizeof(db->damaged), "%.*s.log", (int)digits, at - digits);
	}
	return 0;
}

/* RocksDB names a damaged log in its information log alone, below the level that we let it write:
 * it tries once more, and says it. */
static void find_damaged(struct cas_db *db, char **msg)
{
	int ignored;

	if (!db->log_folder[0])
		return;
	rocksdb_options_set_info_log_level(db->options, 2);
	open_it(db, msg);
	if (db->db)
		rocksdb_close(db->db);
	rocksdb_options_set_info_log_level(db->options, 5);
	ignored = cas_dir_each(AT_FDCWD, db->log_folder, see_log, db, NULL);
	(void)ignored;
}

/* Takes msg over. */
static int open_failed(struct cas_db *db, char *msg, struct orch_err *err)
{
	char *again = NULL;
	int r = rocks_fail(err, db->path, msg);

	db->damaged[0] = '\0';
	if (r == -ORCH_ECORRUPT)
		with_log(db, find_damaged, &again);
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

static int open_rocks(struct cas_db *db, struct orch_err *err)
{
	bool is_new = !has_current(db);
	char *msg = NULL;
	int r;

	with_log(db, open_it, &msg);
	if (msg)
		return open_failed(db, msg, err);
	r = check_commits(db, is_new, err);
	if (r < 0) {
		rocksdb_close(db->db);
		db->db = NULL;
	}
	return r;
}

/* The folder and what RocksDB is to be told. *out is for cas_db_close, also after a failure. */
static int prepare(const char *path, struct cas_db **out, struct orch_err *err)
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

/* What is lost is lost: commits are summed up anew. */
static void forget_sum(struct cas_db *db, char **msg)
{
	open_it(db, msg);
	if (!*msg)
		rocksdb_delete(db->db, db->writes, SUM_KEY, SUM_KEY_BYTES, msg);
}

int cas_db_repair(const char *path, struct orch_err *err)
{
	struct cas_db *db = NULL;
	char *msg = NULL;
	int r = prepare(path, &db, err);

	if (r == 0)
		with_log(db, repair_it, &msg);
	if (r == 0 && !msg)
		with_log(db, forget_sum, &msg);
	cas_db_close(db);
	return msg ? rocks_fail(err, "repair", msg) : r;
}

int cas_db_open(const char *path, struct cas_db **out, struct orch_err *err)
{
	struct cas_db *db = NULL;
	int r = prepare(path, &db, err);

	if (r == 0)
		r = open_mark(db, err);
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

static int enter(struct cas_db *db, bool for_write, struct orch_err *err)
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

static void leave(struct cas_db *db, bool failed)
{
	pthread_mutex_lock(&db->lock);
	db->users--;
	db->failed = db->failed || failed;
	pthread_mutex_unlock(&db->lock);
}

/* Looks the key up; *out_v is to be rocksdb_free'd. */
static int fetch(struct cas_db *db, const char *key, size_t key_len, char **out_v, size_t *out_len,
    struct orch_err *err)
{
	char *msg = NULL;
	int r = enter(db, false, err);

	if (r < 0)
		return r;
	*out_v = rocksdb_get(db->db, db->reads, key, key_len, out_len, &msg);
	leave(db, false);
	if (msg)
		return rocks_fail(err, "read", msg);
	if (!*out_v)
		return -ENOENT;
	r = check_value(key, key_len, *out_v, *out_len, err);
	if (r < 0)
		rocksdb_free(*out_v);
	return r;
}

int cas_db_get(
    struct cas_db *db, const struct cas_key *key, struct orch_buf *out, struct orch_err *err)
{
	char bytes[CAS_KEY_MAX + 1];
	char *v;
	size_t len, key_len;
	int r = key_bytes(key, bytes, &key_len);

	if (r < 0)
		return orch_err_set(err, -r, "database: the key is too long");
	r = fetch(db, bytes, key_len, &v, &len, err);
	if (r < 0)
		return r;
	orch_buf_reset(out);
	r = orch_buf_add(out, v + VALUE_HEAD, len - VALUE_HEAD);
	rocksdb_free(v);
	if (r < 0)
		return orch_err_set(err, -r, "database: out of memory");
	return 0;
}

int cas_db_has(struct cas_db *db, const struct cas_key *key, struct orch_err *err)
{
	char bytes[CAS_KEY_MAX + 1];
	char *v;
	size_t len, key_len;
	int r = key_bytes(key, bytes, &key_len);

	if (r < 0)
		return 0;
	r = fetch(db, bytes, key_len, &v, &len, err);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	rocksdb_free(v);
	return 1;
}

static int each_item(rocksdb_iterator_t *it, cas_db_fn *fn, void *priv)
{
	struct cas_db_item item = {0};
	size_t key_len, len;
	const char *key = rocksdb_iter_key(it, &key_len);
	const char *v = rocksdb_iter_value(it, &len);

	item.kind = key_len ? (enum cas_kind)(unsigned char)key[0] : 0;
	item.key = (const uint8_t *)key + (key_len ? 1 : 0);
	item.key_len = key_len ? key_len - 1 : 0;
	if (key_len == 0 || !kind_name(key[0]))
		item.status = -ORCH_EFORMAT;
	else
		item.status = check_value(key, key_len, v, len, NULL);
	if (item.status == 0) {
		item.value = (const uint8_t *)v + VALUE_HEAD;
		item.value_len = len - VALUE_HEAD;
	}
	return fn(priv, &item);
}

static bool has_prefix(rocksdb_iterator_t *it, const char *prefix, size_t len)
{
	size_t key_len;
	const char *key = rocksdb_iter_key(it, &key_len);

	return key_len >= len && memcmp(key, prefix, len) == 0;
}

static bool at_sum(rocksdb_iterator_t *it)
{
	size_t len;
	const char *key = rocksdb_iter_key(it, &len);

	return is_sum(key, len);
}

int cas_db_each(struct cas_db *db, const struct cas_key *prefix, cas_db_fn *fn, void *priv,
    struct orch_err *err)
{
	char bytes[CAS_KEY_MAX + 1];
	char *msg = NULL;
	size_t len = 0;
	rocksdb_iterator_t *it;
	int r = prefix ? key_bytes(prefix, bytes, &len) : 0;

	if (r < 0)
		return orch_err_set(err, -r, "database: the key is too long");
	r = enter(db, false, err);
	if (r < 0)
		return r;
	it = rocksdb_create_iterator(db->db, db->reads);
	for (rocksdb_iter_seek(it, bytes, len); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		if (!has_prefix(it, bytes, len))
			break;
		if (at_sum(it))
			continue;
		r = each_item(it, fn, priv);
		if (r != 0)
			break;
	}
	rocksdb_iter_get_error(it, &msg);
	rocksdb_iter_destroy(it);
	leave(db, false);
	if (msg && r == 0)
		return rocks_fail(err, "read", msg);
	rocksdb_free(msg);
	return r;
}

struct cas_batch *cas_batch_new(void)
{
	struct cas_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	orch_buf_init(&b->scratch, CAS_VALUE_MAX + VALUE_HEAD);
	b->wb = rocksdb_writebatch_create();
	return b;
}

void cas_batch_free(struct cas_batch *b)
{
	if (!b)
		return;
	rocksdb_writebatch_destroy(b->wb);
	orch_buf_fini(&b->scratch);
	free(b);
}

static int format_value(
    struct orch_buf *out, const char *key, size_t key_len, const void *value, size_t len)
{
	if (len > CAS_VALUE_MAX)
		return -EOVERFLOW;
	orch_buf_reset(out);
	orch_buf_add(out, VALUE_MAGIC, 4);
	orch_buf_add_u16(out, VALUE_VERSION);
	orch_buf_add_u16(out, 0);
	orch_buf_add_u64(out, checksum(key, key_len, value, len));
	orch_buf_add(out, value, len);
	return out->failed ? -ENOMEM : 0;
}

void cas_batch_put(struct cas_batch *b, const struct cas_key *key, const void *value, size_t len)
{
	char bytes[CAS_KEY_MAX + 1];
	size_t key_len;
	int r = key_bytes(key, bytes, &key_len);

	if (r == 0)
		r = format_value(&b->scratch, bytes, key_len, value, len);
	if (r == 0)
		rocksdb_writebatch_put(
		    b->wb, bytes, key_len, (const char *)b->scratch.data, b->scratch.len);
	else if (b->status == 0)
		b->status = r;
}

void cas_batch_remove(struct cas_batch *b, const struct cas_key *key)
{
	char bytes[CAS_KEY_MAX + 1];
	size_t key_len;
	int r = key_bytes(key, bytes, &key_len);

	if (r == 0)
		rocksdb_writebatch_delete(b->wb, bytes, key_len);
	else if (b->status == 0)
		b->status = r;
}

/* Out of the log and into a table, in the background. */
static void flush_later(struct cas_db *db)
{
	rocksdb_flushoptions_t *o = rocksdb_flushoptions_create();
	char *msg = NULL;

	rocksdb_flushoptions_set_wait(o, 0);
	rocksdb_flush(db->db, o, &msg);
	/* the write is durable all the same; what is wrong is told by the next one */
	rocksdb_free(msg);
	rocksdb_flushoptions_destroy(o);
}

static size_t batch_bytes(const struct cas_batch *b)
{
	size_t n;

	(void)rocksdb_writebatch_data(b->wb, &n);
	return n;
}

/* The first one begins the sum. */
static void count_in(const struct cas_db *db, struct cas_batch *b)
{
	struct commits c = {db->commits + 1, db->has_gap};
	uint64_t add = db->has_sum ? 1 : c.number;

	cas_batch_put(b, &commits_key, &c, sizeof(c));
	if (db->has_sum)
		rocksdb_writebatch_merge(
		    b->wb, SUM_KEY, SUM_KEY_BYTES, (const char *)&add, sizeof(add));
	else
		rocksdb_writebatch_put(
		    b->wb, SUM_KEY, SUM_KEY_BYTES, (const char *)&add, sizeof(add));
}

/* A batch whose write failed may be tried again. */
static void uncount(struct cas_batch *b)
{
	char *msg = NULL;

	rocksdb_writebatch_rollback_to_save_point(b->wb, &msg);
	rocksdb_free(msg);
}

/* commit_lock is held. */
static int commit_counted(struct cas_db *db, struct cas_batch *b, struct orch_err *err)
{
	char *msg = NULL;
	int r = enter(db, true, err);

	if (r < 0)
		return r;
	rocksdb_writebatch_set_save_point(b->wb);
	count_in(db, b);
	if (b->status < 0) {
		leave(db, false);
		return orch_err_sys(err, -b->status, "database: a record can't be written");
	}
	rocksdb_write(db->db, db->writes, b->wb, &msg);
	if (!msg && batch_bytes(b) > FLUSH_ABOVE_BYTES)
		flush_later(db);
	leave(db, msg != NULL);
	if (msg) {
		uncount(b);
		return rocks_fail(err, "write", msg);
	}
	db->commits++;
	db->has_sum = true;
	write_mark(db);
	return 0;
}

int cas_db_commit(struct cas_db *db, struct cas_batch *b, struct orch_err *err)
{
	int r;

	if (b->status < 0)
		return orch_err_sys(err, -b->status, "database: a record can't be written");
	r = orch_fault(ORCH_FAULT_FSYNC);
	if (r > 0)
		return orch_err_sys(err, r, "database: write");
	pthread_mutex_lock(&db->commit_lock);
	r = commit_counted(db, b, err);
	pthread_mutex_unlock(&db->commit_lock);
	if (r == 0)
		rocksdb_writebatch_clear(b->wb);
	return r;
}

bool cas_db_has_gap(struct cas_db *db)
{
	bool has_gap;

	pthread_mutex_lock(&db->commit_lock);
	has_gap = db->has_gap;
	pthread_mutex_unlock(&db->commit_lock);
	return has_gap;
}

int cas_db_set_gap(struct cas_db *db, bool has_gap, struct orch_err *err)
{
	struct cas_batch *b = cas_batch_new();
	bool had;
	int r;

	if (!b)
		return orch_err_set(err, ENOMEM, "database: out of memory");
	pthread_mutex_lock(&db->commit_lock);
	had = db->has_gap;
	db->has_gap = has_gap;
	r = commit_counted(db, b, err);
	if (r < 0)
		db->has_gap = had;
	pthread_mutex_unlock(&db->commit_lock);
	cas_batch_free(b);
	return r;
}
