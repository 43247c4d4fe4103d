/* The read-only view of a store: objects that were touched, packs that come, go or are damaged. */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/guard.h"
#include "tests/lib/tap.h"
#include "view/object.h"
#include "view/packset.h"

struct place {
	char path[64];
	int fd;
};

static struct place place_new(void)
{
	struct place p = {.path = "view-test-XXXXXX"};

	assert_non_null(mkdtemp(p.path));
	p.fd = open(p.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(p.fd >= 0);
	return p;
}

static void place_free(struct place *p)
{
	close(p->fd);
	assert_int_equal(orch_remove_tree(AT_FDCWD, p->path, NULL), 0);
}

static struct orch_digest digest_of(const char *text)
{
	struct orch_digest d;

	orch_sha256(text, strlen(text), &d);
	return d;
}

static void file_put(int dirfd, const char *name, const void *p, size_t n)
{
	int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(orch_fd_write_all(fd, p, n), 0);
	close(fd);
}

static void set_mtime(int dirfd, const char *name, int64_t ns)
{
	struct timespec ts[2] = {orch_ns_timespec(ns), orch_ns_timespec(ns)};

	assert_int_equal(utimensat(dirfd, name, ts, 0), 0);
}

/* ---- objects ---- */

static void test_object_names(void **state)
{
	struct orch_digest d = digest_of("hello"), e;
	char path[VIEW_OBJECT_PATH_BYTES];
	int64_t s;

	view_object_path(&d, path);
	assert_string_equal(
	    path, "2c/f2/2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	assert_true(view_object_mtime_ns(&d) == INT64_C(1237440172197487142));
	for (unsigned i = 0; i < 100; i++) {
		memset(e.b, (int)(i * 3), sizeof(e.b));
		s = view_object_mtime_ns(&e) / 1000000000;
		assert_true(s >= 978307200 && s < 1988150400);
	}
}

static void test_object_open(void **state)
{
	struct orch_digest d = digest_of("hello");
	struct orch_err err = ORCH_ERR_INIT;
	struct place p = place_new();
	char path[VIEW_OBJECT_PATH_BYTES];
	int fd = -1;

	view_object_path(&d, path);
	assert_int_equal(view_object_open(p.fd, &d, 5, &fd, &err), -ENOENT);
	assert_non_null(strstr(err.msg, "2cf24dba"));
	assert_int_equal(view_object_exists(p.fd, &d, 5), 0);
	assert_int_equal(orch_mkdirs(p.fd, "2c/f2", 0755, NULL), 0);
	file_put(p.fd, path, "hello", 5); /* mtime is now: hashed, and right */
	assert_int_equal(view_object_open(p.fd, &d, 5, &fd, &err), 0);
	assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
	close(fd);
	assert_int_equal(view_object_exists(p.fd, &d, 5), 1);
	assert_int_equal(view_object_exists(p.fd, &d, 6), 0);
	assert_int_equal(view_object_open(p.fd, &d, 6, &fd, &err), -ORCH_ECORRUPT);
	file_put(p.fd, path, "hellO", 5); /* touched and changed */
	assert_int_equal(view_object_open(p.fd, &d, 5, &fd, &err), -ORCH_ECORRUPT);
	set_mtime(p.fd, path, view_object_mtime_ns(&d)); /* as published: not hashed */
	assert_int_equal(view_object_open(p.fd, &d, 5, &fd, &err), 0);
	close(fd);
	set_mtime(p.fd, path, view_object_mtime_ns(&d) / 1000000000 * 1000000000);
	assert_int_equal(view_object_open(p.fd, &d, 5, &fd, &err), 0); /* coarse file system */
	close(fd);
	set_mtime(p.fd, path, view_object_mtime_ns(&d) + 1);
	assert_int_equal(view_object_open(p.fd, &d, 5, &fd, &err), -ORCH_ECORRUPT);
	assert_int_equal(unlinkat(p.fd, path, 0), 0);
	assert_int_equal(symlinkat("/etc/passwd", p.fd, path), 0);
	assert_int_equal(view_object_open(p.fd, &d, 5, &fd, &err), -ORCH_ECORRUPT);
	assert_int_equal(unlinkat(p.fd, path, 0), 0);
	assert_int_equal(mkfifoat(p.fd, path, 0644), 0);
	assert_int_equal(view_object_open(p.fd, &d, 0, &fd, &err), -ORCH_ECORRUPT);
	place_free(&p);
}

/* ---- packs ---- */

static void pack_of(const char *const *texts, size_t n, struct orch_buf *out)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();

	assert_int_equal(fmt_pack_writer_begin(w, out), 0);
	for (size_t i = 0; i < n; i++) {
		struct orch_digest d = digest_of(texts[i]);

		assert_int_equal(
		    fmt_pack_writer_add(w, FMT_PACK_OBJECT, &d, texts[i], strlen(texts[i]), out),
		    0);
	}
	assert_int_equal(fmt_pack_writer_end(w, out), 0);
	fmt_pack_writer_free(w);
}

static void pack_put(int dirfd, const char *name, const char *text)
{
	struct orch_buf b = ORCH_BUF_INIT;

	pack_of(&text, 1, &b);
	file_put(dirfd, name, b.data, b.len);
	orch_buf_fini(&b);
}

static int find(struct view_packset *s, const char *text, struct orch_err *err)
{
	struct orch_digest d = digest_of(text);
	const uint8_t *p;
	size_t len;
	int r = view_packset_find(s, FMT_PACK_OBJECT, &d, &p, &len, err);

	if (r == 0) {
		assert_int_equal(len, strlen(text));
		assert_memory_equal(p, text, len);
	}
	return r;
}

static void test_packs_come(void **state)
{
	struct orch_digest d = digest_of("b");
	struct orch_err err = ORCH_ERR_INIT;
	struct place p = place_new();
	struct view_packset *s;

	assert_int_equal(view_packset_new(p.fd, &s, NULL), 0);
	assert_int_equal(find(s, "a", &err), -ENOENT);
	assert_non_null(
	    strstr(err.msg, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"));
	pack_put(p.fd, "1", "a");
	assert_int_equal(find(s, "a", &err), 0);
	assert_false(view_packset_has(s, FMT_PACK_OBJECT, &d));
	pack_put(p.fd, "10", "b");
	pack_put(p.fd, "9", "c");
	assert_true(view_packset_has(s, FMT_PACK_OBJECT, &d));
	assert_false(view_packset_has(s, FMT_PACK_TREE, &d));
	assert_int_equal(find(s, "c", &err), 0);
	pack_put(p.fd, "11.tmp", "d"); /* not a name of a pack */
	pack_put(p.fd, "012", "d");
	pack_put(p.fd, "99999999999999999999", "d");
	assert_int_equal(find(s, "d", &err), -ENOENT);
	assert_int_equal(unlinkat(p.fd, "1", 0), 0); /* replaced: its bytes live on */
	assert_int_equal(find(s, "a", &err), 0);
	pack_put(p.fd, "1", "another of that name");
	assert_int_equal(find(s, "another of that name", &err), 0);
	assert_int_equal(find(s, "a", &err), 0);
	file_put(p.fd, "20", "rubbish", 7); /* what is put out of the way says nothing any more */
	assert_int_equal(find(s, "nowhere", &err), -ORCH_ECORRUPT);
	assert_int_equal(unlinkat(p.fd, "20", 0), 0);
	assert_int_equal(find(s, "nowhere", &err), -ENOENT);
	view_packset_free(s);
	place_free(&p);
}

static void test_damage(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_buf b = ORCH_BUF_INIT;
	struct place p = place_new();
	const char *text = "text";
	struct view_packset *s;

	pack_of(&text, 1, &b);
	b.data[16 + 48] ^= 1; /* the payload */
	file_put(p.fd, "7", b.data, b.len);
	file_put(p.fd, "8", b.data, b.len - 1);
	file_put(p.fd, "6", "", 0);
	assert_int_equal(view_packset_new(p.fd, &s, NULL), 0);
	assert_int_equal(find(s, "text", &err), -ORCH_ECORRUPT);
	assert_non_null(strstr(err.msg, "pack "));
	pack_put(p.fd, "5", "text"); /* a whole copy elsewhere */
	assert_int_equal(find(s, "text", &err), 0);
	view_packset_free(s);
	place_free(&p);
	orch_buf_fini(&b);
}

static void test_typed(void **state)
{
	struct fmt_tree_builder *tb = fmt_tree_builder_new();
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	struct orch_buf tree = ORCH_BUF_INIT, pack = ORCH_BUF_INIT;
	struct orch_digest d;
	struct fmt_snapshot sn;
	struct fmt_stamps st;
	struct fmt_tree t;
	struct place p = place_new();
	struct view_packset *s;

	assert_int_equal(fmt_tree_builder_end(tb, &tree, NULL), 0);
	orch_sha256(tree.data, tree.len, &d);
	assert_int_equal(fmt_pack_writer_begin(w, &pack), 0);
	assert_int_equal(fmt_pack_writer_add(w, FMT_PACK_TREE, &d, tree.data, tree.len, &pack), 0);
	assert_int_equal(
	    fmt_pack_writer_add(w, FMT_PACK_STAMPS, &d, tree.data, tree.len, &pack), 0);
	assert_int_equal(fmt_pack_writer_end(w, &pack), 0);
	file_put(p.fd, "1", pack.data, pack.len);
	assert_int_equal(view_packset_new(p.fd, &s, NULL), 0);
	assert_int_equal(view_packset_tree(s, &d, &t, NULL), 0);
	assert_int_equal(t.count, 0);
	assert_int_equal(view_packset_stamps(s, &d, &st, NULL), -ORCH_ECORRUPT);
	assert_int_equal(view_packset_snapshot(s, &d, &sn, NULL), -ENOENT);
	view_packset_free(s);
	place_free(&p);
	orch_buf_fini(&tree);
	orch_buf_fini(&pack);
	fmt_tree_builder_free(tb);
	fmt_pack_writer_free(w);
}

/* ---- packs that are cut under their readers */

#define CUT_TREES   40
#define CUT_ENTRIES 200

static void cut_name(int tree, int entry, char out[48])
{
	snprintf(out, 48, "entry-%03d-of-%02d", entry, tree);
}

static void cut_tree(int tree, struct orch_buf *out)
{
	struct fmt_tree_builder *tb = fmt_tree_builder_new();
	char name[48];

	for (int i = 0; i < CUT_ENTRIES; i++) {
		struct fmt_entry e = {.type = FMT_REG,
		    .mode = 0644,
		    .size = (uint64_t)i + 1,
		    .uid = FMT_ID_OWNER,
		    .gid = FMT_ID_OWNER};

		cut_name(tree, i, name);
		e.name = name;
		e.name_len = (uint8_t)strlen(name);
		e.digest = digest_of(name);
		assert_int_equal(fmt_tree_builder_add(tb, &e, NULL), 0);
	}
	assert_int_equal(fmt_tree_builder_end(tb, out, NULL), 0);
	fmt_tree_builder_free(tb);
}

static size_t cut_pack(int dirfd, const char *file, struct orch_digest *digests)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	struct orch_buf pack = ORCH_BUF_INIT;
	size_t len;

	assert_int_equal(fmt_pack_writer_begin(w, &pack), 0);
	for (int t = 0; t < CUT_TREES; t++) {
		struct orch_buf tree = ORCH_BUF_INIT;

		cut_tree(t, &tree);
		orch_sha256(tree.data, tree.len, &digests[t]);
		assert_int_equal(
		    fmt_pack_writer_add(w, FMT_PACK_TREE, &digests[t], tree.data, tree.len, &pack),
		    0);
		orch_buf_fini(&tree);
	}
	assert_int_equal(fmt_pack_writer_end(w, &pack), 0);
	file_put(dirfd, file, pack.data, pack.len);
	len = pack.len;
	orch_buf_fini(&pack);
	fmt_pack_writer_free(w);
	return len;
}

struct cut {
	struct view_packset *s;
	struct orch_digest digests[CUT_TREES];
	atomic_int rounds;
	atomic_bool stop;
	size_t wrong, right, refused; /* by the reader */
};

/* What it reads counts when no page became zeros meanwhile, as its users do it. */
static void cut_read_one(struct cut *c, int t, int i)
{
	uint64_t hits = orch_guard_hits();
	struct fmt_entry e = {0};
	struct orch_digest want;
	struct fmt_tree tree;
	char name[48];
	uint32_t at = 0;
	int r = view_packset_tree(c->s, &c->digests[t], &tree, NULL);

	cut_name(t, i, name);
	want = digest_of(name);
	if (r == 0)
		r = fmt_tree_find(&tree, name, strlen(name), &at, NULL);
	if (r == 0)
		r = fmt_tree_entry(&tree, at, &e, NULL);
	if (r == -ORCH_ECORRUPT || orch_guard_hits() != hits)
		c->refused++;
	else if (r == 0 && orch_digest_eq(&e.digest, &want) && e.size == (uint64_t)i + 1)
		c->right++;
	else
		c->wrong++;
}

static void *cut_reader(void *arg)
{
	struct cut *c = arg;

	while (!atomic_load(&c->stop)) {
		for (int t = 0; t < CUT_TREES; t++)
			for (int i = 0; i < CUT_ENTRIES; i += 7)
				cut_read_one(c, t, i);
		atomic_fetch_add(&c->rounds, 1);
	}
	return NULL;
}

static void cut_once(int round)
{
	struct place p = place_new();
	struct cut c = {.wrong = 0};
	size_t len = cut_pack(p.fd, "1", c.digests);
	pthread_t t;
	int fd;

	assert_int_equal(view_packset_new(p.fd, &c.s, NULL), 0);
	assert_int_equal(pthread_create(&t, NULL, cut_reader, &c), 0);
	while (atomic_load(&c.rounds) < 1)
		sched_yield();
	fd = openat(p.fd, "1", O_WRONLY | O_CLOEXEC);
	assert_int_equal(ftruncate(fd, (off_t)(len * (size_t)round / 20)), 0);
	close(fd);
	for (int rounds = atomic_load(&c.rounds); atomic_load(&c.rounds) < rounds + 3;)
		sched_yield();
	atomic_store(&c.stop, true);
	pthread_join(t, NULL);
	assert_int_equal(c.wrong, 0);
	assert_true(c.right > 0 && c.refused > 0);
	/* what is found nowhere may have been there */
	assert_int_equal(find(c.s, "not there", NULL), -ORCH_ECORRUPT);
	/* a whole copy mends it */
	(void)cut_pack(p.fd, "2", c.digests);
	c.refused = c.wrong = 0;
	for (int i = 0; i < CUT_TREES; i++)
		cut_read_one(&c, i, 3);
	assert_int_equal(c.refused + c.wrong, 0);
	view_packset_free(c.s);
	place_free(&p);
}

static void test_packs_are_cut(void **state)
{
	assert_int_equal(orch_guard_install(), 0);
	for (int round = 0; round < 20; round++)
		cut_once(round);
}

/* What is not a file is neither waited for nor followed. */
static void test_odd_packs(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct place p = place_new();
	struct view_packset *s;

	pack_put(p.fd, "1", "a");
	assert_int_equal(mkfifoat(p.fd, "2", 0644), 0);
	assert_int_equal(mkdirat(p.fd, "3", 0755), 0);
	assert_int_equal(symlinkat("1", p.fd, "4"), 0);
	assert_int_equal(view_packset_new(p.fd, &s, NULL), 0);
	assert_int_equal(find(s, "a", &err), 0);
	assert_int_equal(find(s, "b", &err), -ORCH_ECORRUPT);
	view_packset_free(s);
	place_free(&p);
}

#define RACE_PACKS 40

struct race {
	struct view_packset *s;
	atomic_int published;
};

static void *race_reader(void *arg)
{
	struct race *race = arg;
	intptr_t bad = 0;
	char text[32];

	for (int seen = 0; seen < RACE_PACKS;) {
		seen = atomic_load(&race->published);
		for (int i = 0; i < seen; i++) {
			snprintf(text, sizeof(text), "race %d", i);
			bad += find(race->s, text, NULL) != 0;
		}
	}
	return (void *)bad;
}

/* What was published before a lookup began is found, whoever lists the folder meanwhile. */
static void test_threads(void **state)
{
	struct place p = place_new();
	struct race race = {0};
	pthread_t t[3];
	char text[32], name[16];
	void *bad;

	assert_int_equal(view_packset_new(p.fd, &race.s, NULL), 0);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, race_reader, &race), 0);
	for (int i = 0; i < RACE_PACKS; i++) {
		snprintf(text, sizeof(text), "race %d", i);
		snprintf(name, sizeof(name), "%d", i);
		pack_put(p.fd, "tmp", text);
		assert_int_equal(renameat(p.fd, "tmp", p.fd, name), 0);
		atomic_store(&race.published, i + 1);
	}
	for (size_t i = 0; i < ORCH_ARRAY_LEN(t); i++) {
		assert_int_equal(pthread_join(t[i], &bad), 0);
		assert_null(bad);
	}
	view_packset_free(race.s);
	place_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_object_names),
	    cmocka_unit_test(test_object_open),
	    cmocka_unit_test(test_packs_come),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_typed),
	    cmocka_unit_test(test_packs_are_cut),
	    cmocka_unit_test(test_odd_packs),
	    cmocka_unit_test(test_threads),
	};

	return tap_run(tests);
}
