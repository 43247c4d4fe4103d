/*
 * Reading and writing records in RocksDB, behind db.h; the rest of that door: db_priv.h. Its threads are
 * RocksDB's own (one for flushes and compactions).
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "cache/db_priv.h"
#include "cache/reserve.h"
#include "core/fault.h"

#define FLUSH_ABOVE_BYTES ((size_t)512 << 10) /* a batch */

/* Looks the key up; *out_v is to be rocksdb_free'd. */
static int fetch(struct cas_db *db, const char *key, size_t key_len, char **out_v, size_t *out_len,
    struct orch_err *err)
{
	char *msg = NULL;
	int r = cas_db_enter(db, false, err);

	if (r < 0)
		return r;
	*out_v = rocksdb_get(db->db, db->reads, key, key_len, out_len, &msg);
	cas_db_leave(db, false);
	if (msg)
		return cas_db_fail(err, "read", msg);
	if (!*out_v)
		return -ENOENT;
	r = cas_db_check_value(key, key_len, *out_v, *out_len, err);
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
	int r = cas_db_key(key, bytes, &key_len);

	if (r < 0)
		return orch_err_set(err, -r, "database: the key is too long");
	r = fetch(db, bytes, key_len, &v, &len, err);
	if (r < 0)
		return r;
	orch_buf_reset(out);
	r = orch_buf_add(out, v + CAS_VALUE_HEAD, len - CAS_VALUE_HEAD);
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
	int r = cas_db_key(key, bytes, &key_len);

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
	if (key_len == 0 || !cas_db_kind_name(key[0]))
		item.status = -ORCH_EFORMAT;
	else
		item.status = cas_db_check_value(key, key_len, v, len, NULL);
	if (item.status == 0) {
		item.value = (const uint8_t *)v + CAS_VALUE_HEAD;
		item.value_len = len - CAS_VALUE_HEAD;
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

	return cas_db_is_sum(key, len);
}

int cas_db_each(struct cas_db *db, const struct cas_key *prefix, cas_db_fn *fn, void *priv,
    struct orch_err *err)
{
	char bytes[CAS_KEY_MAX + 1];
	char *msg = NULL;
	size_t len = 0;
	rocksdb_iterator_t *it;
	int r = prefix ? cas_db_key(prefix, bytes, &len) : 0;

	if (r < 0)
		return orch_err_set(err, -r, "database: the key is too long");
	r = cas_db_enter(db, false, err);
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
	cas_db_leave(db, false);
	if (msg && r == 0)
		return cas_db_fail(err, "read", msg);
	rocksdb_free(msg);
	return r;
}

struct cas_batch *cas_batch_new(void)
{
	struct cas_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	orch_buf_init(&b->scratch, CAS_VALUE_MAX + CAS_VALUE_HEAD);
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

void cas_batch_put(struct cas_batch *b, const struct cas_key *key, const void *value, size_t len)
{
	char bytes[CAS_KEY_MAX + 1];
	size_t key_len;
	int r = cas_db_key(key, bytes, &key_len);

	if (r == 0)
		r = cas_db_format_value(&b->scratch, bytes, key_len, value, len);
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
	int r = cas_db_key(key, bytes, &key_len);

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

/* A batch whose write failed may be tried again. */
static void uncount(struct cas_batch *b)
{
	char *msg = NULL;

	rocksdb_writebatch_rollback_to_save_point(b->wb, &msg);
	rocksdb_free(msg);
}

static int commit_once(struct cas_db *db, struct cas_batch *b, struct orch_err *err)
{
	char *msg = NULL;
	int r = cas_db_enter(db, true, err);

	if (r < 0)
		return r;
	rocksdb_writebatch_set_save_point(b->wb);
	cas_db_count_in(db, b);
	if (b->status < 0) {
		cas_db_leave(db, false);
		return orch_err_sys(err, -b->status, "database: a record can't be written");
	}
	rocksdb_write(db->db, db->writes, b->wb, &msg);
	if (!msg && batch_bytes(b) > FLUSH_ABOVE_BYTES)
		flush_later(db);
	cas_db_leave(db, msg != NULL);
	if (msg) {
		uncount(b);
		return cas_db_fail(err, "write", msg);
	}
	db->commits++;
	db->has_sum = true;
	cas_db_write_mark(db);
	return 0;
}

int cas_db_commit_counted(struct cas_db *db, struct cas_batch *b, struct orch_err *err)
{
	int r;

	do
		r = commit_once(db, b, err);
	while (cas_reserve_give(db->reserve, r));
	return r;
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
	r = cas_db_commit_counted(db, b, err);
	pthread_mutex_unlock(&db->commit_lock);
	if (r == 0)
		rocksdb_writebatch_clear(b->wb);
	return r;
}
