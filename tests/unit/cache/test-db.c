/* The database: values back as put, batches whole, damage named, use after a failed write. */
#include "fixture.h"

#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <rocksdb/c.h>
#include "cache/db.h"
#include "core/fd.h"

struct dbx {
	char root[256], path[300];
	struct cas_db *db;
};

static struct cas_key ref_key(const char *name)
{
	return (struct cas_key){CAS_KIND_REF, name, strlen(name)};
}

static int setup(void **state)
{
	const char *tmp = getenv("TMPDIR");
	struct dbx *x = calloc(1, sizeof(*x));

	snprintf(x->root, sizeof(x->root), "%s/orch-db-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(x->root))
		return -1;
	snprintf(x->path, sizeof(x->path), "%s/db", x->root);
	*state = x;
	return cas_db_open(x->path, NULL, &x->db, NULL);
}

static int teardown(void **state)
{
	struct dbx *x = *state;
	int r;

	cas_db_close(x->db);
	r = orch_remove_tree(AT_FDCWD, x->root, NULL);
	free(x);
	return r;
}

static void put(struct dbx *x, const char *name, const char *value)
{
	struct cas_key key = ref_key(name);
	struct cas_batch *b = cas_batch_new();

	cas_batch_put(b, &key, value, strlen(value));
	FX_OK(cas_db_commit(x->db, b, NULL), NULL);
	cas_batch_free(b);
}

static int get(struct dbx *x, const char *name, char out[64], struct orch_err *err)
{
	struct orch_buf buf = ORCH_BUF_INIT;
	struct cas_key key = ref_key(name);
	int r = cas_db_get(x->db, &key, &buf, err);

	if (r == 0)
		snprintf(out, 64, "%s", buf.data ? (char *)buf.data : "");
	orch_buf_fini(&buf);
	return r;
}

static void reopen(struct dbx *x)
{
	cas_db_close(x->db);
	x->db = NULL;
	FX_OK(cas_db_open(x->path, NULL, &x->db, NULL), NULL);
}

static void test_values_come_back(void **state)
{
	struct dbx *x = *state;
	char v[64];

	put(x, "a", "one");
	put(x, "b", "");
	put(x, "a", "two");
	reopen(x);
	FX_OK(get(x, "a", v, NULL), NULL);
	assert_string_equal(v, "two");
	FX_OK(get(x, "b", v, NULL), NULL);
	assert_string_equal(v, "");
	assert_int_equal(get(x, "c", v, NULL), -ENOENT);
}

static void test_batch_is_whole(void **state)
{
	struct dbx *x = *state;
	struct cas_batch *b = cas_batch_new();
	struct cas_key a = ref_key("a"), c = ref_key("c"),
		       longest = {CAS_KIND_REF, NULL, CAS_KEY_MAX + 1};
	char v[64];

	put(x, "a", "one");
	cas_batch_remove(b, &a);
	cas_batch_put(b, &c, "three", 5);
	cas_batch_put(b, &longest, "x", 1);
	assert_int_equal(cas_db_commit(x->db, b, NULL), -ENAMETOOLONG);
	cas_batch_free(b);
	FX_OK(get(x, "a", v, NULL), NULL);
	assert_int_equal(get(x, "c", v, NULL), -ENOENT);
}

struct seen {
	char names[200];
	int bad;
};

static int see(void *priv, const struct cas_db_item *item)
{
	struct seen *s = priv;
	size_t at = strlen(s->names);

	if (item->status < 0) {
		s->bad++;
		assert_null(item->value);
	}
	snprintf(s->names + at, sizeof(s->names) - at, "%.*s,", (int)item->key_len,
	    (const char *)item->key);
	return strncmp((const char *)item->key, "stop", 4) == 0 ? 7 : 0;
}

static void test_each_by_prefix(void **state)
{
	struct dbx *x = *state;
	struct cas_key prefix = ref_key("b/"), all = ref_key("");
	struct seen s = {"", 0};

	put(x, "a", "1");
	put(x, "b/1", "1");
	put(x, "b/2", "1");
	put(x, "c", "1");
	FX_OK(cas_db_each(x->db, &prefix, see, &s, NULL), NULL);
	assert_string_equal(s.names, "b/1,b/2,");
	put(x, "b/stop", "1");
	put(x, "stop", "1");
	memset(&s, 0, sizeof(s));
	assert_int_equal(cas_db_each(x->db, &all, see, &s, NULL), 7);
	assert_string_equal(s.names, "a,b/1,b/2,b/stop,c,stop,");
	memset(&s, 0, sizeof(s));
	assert_int_equal(cas_db_each(x->db, NULL, see, &s, NULL), 7);
}

/* ---- damage below the checksums of RocksDB: what it would believe ---- */

static void raw(struct dbx *x, const char *from, const char *to, long flip)
{
	rocksdb_options_t *o = rocksdb_options_create();
	rocksdb_readoptions_t *ro = rocksdb_readoptions_create();
	rocksdb_writeoptions_t *wo = rocksdb_writeoptions_create();
	char *msg = NULL, *v;
	rocksdb_t *db;
	size_t len;

	cas_db_close(x->db);
	x->db = NULL;
	rocksdb_options_set_uint64add_merge_operator(o);
	db = rocksdb_open(o, x->path, &msg);
	assert_null(msg);
	v = rocksdb_get(db, ro, from, strlen(from), &len, &msg);
	assert_non_null(v);
	if (flip >= 0) {
		assert_true((size_t)flip < len);
		v[flip] ^= 4;
	}
	rocksdb_put(db, wo, to, strlen(to), v, flip == -2 ? len - 1 : len, &msg);
	assert_null(msg);
	rocksdb_free(v);
	rocksdb_close(db);
	rocksdb_options_destroy(o);
	rocksdb_readoptions_destroy(ro);
	rocksdb_writeoptions_destroy(wo);
	FX_OK(cas_db_open(x->path, NULL, &x->db, NULL), NULL);
}

static void test_flips_are_noticed(void **state)
{
	struct dbx *x = *state;
	struct orch_err err;
	char v[64];

	for (long at = 0; at < 16 + 5; at++) {
		struct cas_key all = ref_key("");
		struct seen s = {"", 0};
		int r;

		put(x, "main", "value");
		raw(x, "rmain", "rmain", at);
		err.code = 0;
		r = get(x, "main", v, &err);
		assert_int_equal(r, at == 4 || at == 5 ? -ORCH_EFORMAT : -ORCH_ECORRUPT);
		assert_non_null(strstr(err.msg, "ref main"));
		FX_OK(cas_db_each(x->db, &all, see, &s, NULL), NULL);
		assert_int_equal(s.bad, 1);
	}
	put(x, "main", "value");
	raw(x, "rmain", "rmain", -2);
	assert_int_equal(get(x, "main", v, NULL), -ORCH_ECORRUPT);
}

static void test_swapped_records_are_noticed(void **state)
{
	struct dbx *x = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct seen s = {"", 0};
	char v[64];

	put(x, "a", "one");
	put(x, "b", "two");
	raw(x, "ra", "rb", -1);
	assert_int_equal(get(x, "b", v, &err), -ORCH_ECORRUPT);
	raw(x, "ra", "?a", -1);
	FX_OK(cas_db_each(x->db, NULL, see, &s, NULL), NULL);
	assert_int_equal(s.bad, 2);
	FX_OK(get(x, "a", v, NULL), NULL);
}

/* ---- damage of RocksDB's files ---- */

struct wanted {
	const char *suffix;
	char path[300]; /* the last one with it, "db/..." */
};

static int see_file(void *priv, int dirfd, const char *name)
{
	struct wanted *w = priv;
	size_t len = strlen(name), n = strlen(w->suffix);

	if (len > n && strcmp(name + len - n, w->suffix) == 0)
		snprintf(w->path, sizeof(w->path), "db/%s", name);
	return 0;
}

static void look(struct dbx *x, struct wanted *w)
{
	int dir = open(x->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	FX_OK(cas_dir_each(dir, ".", see_file, w, NULL), NULL);
	close(dir);
}

static long find_file(struct dbx *x, const char *suffix, char out[300])
{
	struct wanted w = {.suffix = suffix};
	char whole[600];
	struct stat st;

	look(x, &w);
	assert_string_not_equal(w.path, "");
	snprintf(whole, sizeof(whole), "%s/%s", x->root, w.path);
	assert_int_equal(stat(whole, &st), 0);
	snprintf(out, 300, "%s", w.path);
	return (long)st.st_size;
}

/* Either the database says that it is damaged, or everything is there: nothing is lost in silence. */
static void expect_noticed(struct dbx *x, long at)
{
	struct orch_err err = ORCH_ERR_INIT;
	char v[64];
	int r = cas_db_open(x->path, NULL, &x->db, &err);

	for (int i = 0; r == 0 && i < 3; i++) {
		char name[2] = {(char)('a' + i), 0};

		r = get(x, name, v, &err);
		if (r == -ENOENT)
			fail_msg("byte %ld: %s is lost in silence", at, name);
	}
	assert_true(r == 0 || r == -ORCH_ECORRUPT);
	cas_db_close(x->db);
	x->db = NULL;
}

static void test_damaged_log(void **state)
{
	struct dbx *x = *state;
	struct fx f = {.s = NULL};
	char log[300];
	long size;

	put(x, "a", "one");
	put(x, "b", "two");
	put(x, "c", "three");
	cas_db_close(x->db);
	x->db = NULL;
	size = find_file(x, ".log", log);
	snprintf(f.store, sizeof(f.store), "%s", x->root);
	for (long at = 0; at < size; at += 5) {
		char copy[900];

		snprintf(copy, sizeof(copy), "cp -a '%s/db' '%s/kept'", x->root, x->root);
		assert_int_equal(system(copy), 0);
		fx_flip(&f, log, at);
		expect_noticed(x, at);
		snprintf(copy, sizeof(copy), "rm -rf '%s/db' && mv '%s/kept' '%s/db'", x->root,
		    x->root, x->root);
		assert_int_equal(system(copy), 0);
	}
}

static ORCH_PRINTF(1, 2) void run(const char *fmt, ...)
{
	char command[2000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	assert_int_equal(system(command), 0);
}

/* 0 <= part <= 3: to that many quarters; else the log goes. */
static void damage_log(const char *log, int part)
{
	struct stat st;

	assert_int_equal(stat(log, &st), 0);
	if (part > 3)
		assert_int_equal(unlink(log), 0);
	else
		assert_int_equal(truncate(log, st.st_size * part / 4), 0);
}

/* Each process that ends leaves its log beside the older ones. */
static void test_damaged_older_log(void **state)
{
	struct dbx *x = *state;
	glob_t logs;
	char pattern[600];

	put(x, "a", "one");
	reopen(x);
	put(x, "b", "two");
	put(x, "b", "two");
	reopen(x);
	put(x, "c", "three");
	cas_db_close(x->db);
	x->db = NULL;
	snprintf(pattern, sizeof(pattern), "%s/*.log", x->path);
	assert_int_equal(glob(pattern, 0, NULL, &logs), 0);
	assert_int_equal(logs.gl_pathc, 3);
	for (size_t i = 0; i < logs.gl_pathc; i++) {
		for (int part = 0; part <= 4; part++) {
			run("cp -a '%s' '%s/kept'", x->path, x->root);
			damage_log(logs.gl_pathv[i], part);
			expect_noticed(x, (long)(i * 10) + part);
			run("rm -rf '%s' && mv '%s/kept' '%s'", x->path, x->root, x->path);
		}
	}
	globfree(&logs);
	expect_noticed(x, -1); /* and it opens as it was */
	FX_OK(cas_db_open(x->path, NULL, &x->db, NULL), NULL);
}

/* The end of the last log, from a write that was cut off before it was answered. */
static void test_torn_tail_opens(void **state)
{
	struct dbx *x = *state;
	char v[64], log[300];

	put(x, "a", "one");
	cas_db_close(x->db);
	x->db = NULL;
	find_file(x, ".log", log);
	run("head -c 30 '%s/%s' >'%s/part' && cat '%s/part' >>'%s/%s'", x->root, log, x->root,
	    x->root, x->root, log);
	FX_OK(cas_db_open(x->path, NULL, &x->db, NULL), NULL);
	FX_OK(get(x, "a", v, NULL), NULL);
	assert_false(cas_db_has_gap(x->db));
}

static void test_gap_is_kept(void **state)
{
	struct dbx *x = *state;

	put(x, "a", "one");
	assert_false(cas_db_has_gap(x->db));
	run("rm '%s/COMMITS'", x->path);
	reopen(x);
	assert_true(cas_db_has_gap(x->db));
	put(x, "b", "two");
	reopen(x);
	assert_true(cas_db_has_gap(x->db));
	FX_OK(cas_db_set_gap(x->db, false, NULL), NULL);
	reopen(x);
	assert_false(cas_db_has_gap(x->db));
}

/* What the repair can't find is lost; the rest opens, and is not believed to be whole. */
static void test_repaired_has_a_gap(void **state)
{
	struct dbx *x = *state;
	struct orch_err err = ORCH_ERR_INIT;
	char v[64], log[300];

	put(x, "a", "one");
	find_file(x, ".log", log);
	reopen(x);
	put(x, "b", "two");
	cas_db_close(x->db);
	x->db = NULL;
	run("rm '%s/%s'", x->root, log);
	assert_int_equal(cas_db_open(x->path, NULL, &x->db, &err), -ORCH_ECORRUPT);
	assert_non_null(strstr(err.msg, x->path));
	run("rm '%s/COMMITS'", x->path);
	FX_OK(cas_db_repair(x->path, &err), &err);
	for (int i = 0; i < 3; i++) {
		FX_OK(cas_db_open(x->path, NULL, &x->db, &err), &err);
		assert_true(cas_db_has_gap(x->db));
		FX_OK(get(x, "b", v, NULL), NULL);
		put(x, "c", "three");
		cas_db_close(x->db);
		x->db = NULL;
	}
}

/* Everything out of the log into a table; closes. */
static void write_table(struct dbx *x)
{
	rocksdb_options_t *o = rocksdb_options_create();
	rocksdb_flushoptions_t *fo = rocksdb_flushoptions_create();
	char *msg = NULL;
	rocksdb_t *db;

	cas_db_close(x->db);
	x->db = NULL;
	rocksdb_options_set_uint64add_merge_operator(o);
	db = rocksdb_open(o, x->path, &msg);
	assert_null(msg);
	rocksdb_flush(db, fo, &msg);
	assert_null(msg);
	rocksdb_close(db);
	rocksdb_flushoptions_destroy(fo);
	rocksdb_options_destroy(o);
}

static void test_damaged_table(void **state)
{
	struct dbx *x = *state;
	struct orch_err err = ORCH_ERR_INIT;
	struct fx f = {.s = NULL};
	char table[300], v[64];
	int r;

	put(x, "main", "value");
	write_table(x);
	find_file(x, ".sst", table);
	snprintf(f.store, sizeof(f.store), "%s", x->root);
	fx_flip(&f, table, 3);
	r = cas_db_open(x->path, NULL, &x->db, &err);
	if (r == 0)
		r = get(x, "main", v, &err);
	assert_int_equal(r, -ORCH_ECORRUPT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    T(test_values_come_back),
	    T(test_batch_is_whole),
	    T(test_each_by_prefix),
	    T(test_flips_are_noticed),
	    T(test_swapped_records_are_noticed),
	    T(test_damaged_log),
	    T(test_damaged_older_log),
	    T(test_torn_tail_opens),
	    T(test_gap_is_kept),
	    T(test_repaired_has_a_gap),
	    T(test_damaged_table),
	};

	return tap_run(tests);
}
