/*
 * Whether commits are missing.
 *
 * RocksDB takes damage near the end of a log for a write that was cut off, and drops it; several logs
 * lie side by side after kills, and one that was removed is not missed. So every commit counts
 * itself twice: it writes its number, and adds 1 to a sum. Where the sum is below the number,
 * commits in between are lost. And the number of the last one that is durable is written, without a
 * sync, to the file COMMITS beside the tables: a database that opens with less has lost the last ones.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include "cache/db_priv.h"
#include "core/cursor.h"
#include "core/fd.h"
#include "core/hash.h"
#include "core/path.h"

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

bool cas_db_is_sum(const char *key, size_t len)
{
	return len == CAS_DB_SUM_KEY_BYTES && memcmp(key, CAS_DB_SUM_KEY, len) == 0;
}

int cas_db_open_mark(struct cas_db *db, struct orch_err *err)
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

void cas_db_write_mark(const struct cas_db *db)
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
	char *v = rocksdb_get(db->db, db->reads, CAS_DB_SUM_KEY, CAS_DB_SUM_KEY_BYTES, &len, &msg);

	if (msg)
		return cas_db_fail(err, "read", msg);
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
	int r = cas_db_key(&commits_key, key, &key_len);

	ORCH_BUG_ON(r < 0);
	db->commits = 0;
	v = rocksdb_get(db->db, db->reads, key, key_len, &len, &msg);
	if (msg)
		return cas_db_fail(err, "read", msg);
	if (!v)
		return 0;
	r = cas_db_check_value(key, key_len, v, len, NULL);
	if (r == 0 &&
	    (len == CAS_VALUE_HEAD + 8 || len == CAS_VALUE_HEAD + sizeof(struct commits))) {
		db->commits = orch_le64(v + CAS_VALUE_HEAD);
		db->has_gap =
		    db->has_gap || (len > CAS_VALUE_HEAD + 8 && v[CAS_VALUE_HEAD + 8] != 0);
	} else { /* it can't tell that others are missing; the next commit mends it */
		db->commits = db->has_sum ? sum : promised;
		db->has_gap = true;
	}
	rocksdb_free(v);
	return r == -ORCH_EFORMAT
		   ? orch_err_set(err, ORCH_EFORMAT, "database: it was written by a newer orch")
		   : 0;
}

int cas_db_check_commits(struct cas_db *db, bool is_new, struct orch_err *err)
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

void cas_db_count_in(const struct cas_db *db, struct cas_batch *b)
{
	struct commits c = {db->commits + 1, db->has_gap};
	uint64_t add = db->has_sum ? 1 : c.number;

	cas_batch_put(b, &commits_key, &c, sizeof(c));
	if (db->has_sum)
		rocksdb_writebatch_merge(
		    b->wb, CAS_DB_SUM_KEY, CAS_DB_SUM_KEY_BYTES, (const char *)&add, sizeof(add));
	else
		rocksdb_writebatch_put(
		    b->wb, CAS_DB_SUM_KEY, CAS_DB_SUM_KEY_BYTES, (const char *)&add, sizeof(add));
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
	r = cas_db_commit_counted(db, b, err);
	if (r < 0)
		db->has_gap = had;
	pthread_mutex_unlock(&db->commit_lock);
	cas_batch_free(b);
	return r;
}
