/* Trees: round trips, order, lookups, the one encoding, golden bytes, hostile bytes. */
#include "format/tree.h"
#include "tests/unit/format/hostile.h"

static struct fmt_entry reg(const char *name, uint64_t size)
{
	return (struct fmt_entry){.name = name,
	    .name_len = strlen(name),
	    .type = FMT_REG,
	    .mode = 0644,
	    .uid = FMT_ID_OWNER,
	    .gid = FMT_ID_OWNER,
	    .size = size,
	    .digest = digest_of(name)};
}

static struct fmt_entry dir(const char *name)
{
	struct fmt_entry e = reg(name, 4096);

	e.type = FMT_DIR;
	e.mode = 0755;
	e.count = 3;
	return e;
}

static struct fmt_entry lnk(const char *name, const char *target)
{
	struct fmt_entry e = reg(name, strlen(target));

	e.type = FMT_SYMLINK;
	e.mode = 0777;
	e.digest = (struct orch_digest){{0}};
	e.target = target;
	e.target_len = strlen(target);
	return e;
}

static void add(struct fmt_tree_builder *b, struct fmt_entry e)
{
	struct orch_err err = ORCH_ERR_INIT;

	if (fmt_tree_builder_add(b, &e, &err) < 0)
		fail_msg("%s", err.msg);
}

/* Files, folders, a symlink, an owner, attributes: every shape of an entry once. */
static void sample(struct fmt_tree_builder *b, struct orch_buf *out)
{
	struct orch_buf x1 = ORCH_BUF_INIT, x2 = ORCH_BUF_INIT;
	struct fmt_xattrs none = {0};
	struct fmt_entry e;

	assert_int_equal(fmt_xattrs_with(&none, "user.b", "two", 3, &x1), 0);
	assert_int_equal(
	    fmt_xattrs_with(&(struct fmt_xattrs){x1.data, x1.len}, "user.a", "", 0, &x2), 0);
	add(b, dir("src"));
	add(b, reg("Makefile", 1234));
	add(b, lnk("link", "src/main.c"));
	e = reg("\xff\x80 not utf-8\n", 0);
	e.uid = 0;
	e.mode = 06755;
	add(b, e);
	e = reg("attributes", 77);
	e.gid = 12;
	e.xattrs = (struct fmt_xattrs){x2.data, x2.len};
	add(b, e);
	assert_int_equal(fmt_tree_builder_end(b, out, NULL), 0);
	orch_buf_fini(&x1);
	orch_buf_fini(&x2);
}

static bool entries_equal(const struct fmt_entry *a, const struct fmt_entry *b)
{
	return a->name_len == b->name_len && memcmp(a->name, b->name, a->name_len) == 0 &&
	       a->type == b->type && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->size == b->size && a->count == b->count &&
	       orch_digest_eq(&a->digest, &b->digest) && a->xattrs.len == b->xattrs.len &&
	       (a->xattrs.len == 0 || memcmp(a->xattrs.p, b->xattrs.p, a->xattrs.len) == 0) &&
	       a->target_len == b->target_len &&
	       (a->target_len == 0 || memcmp(a->target, b->target, a->target_len) == 0);
}

/* What decodes must encode to the same bytes. */
static void assert_canonical(const uint8_t *p, size_t len)
{
	struct fmt_tree_builder *b = fmt_tree_builder_new();
	struct orch_buf again = ORCH_BUF_INIT;
	struct fmt_entry e;
	struct fmt_tree t;

	assert_int_equal(fmt_tree_open(p, len, &t, NULL), 0);
	for (uint32_t i = 0; i < t.count; i++) {
		assert_int_equal(fmt_tree_entry(&t, i, &e, NULL), 0);
		add(b, e);
	}
	assert_int_equal(fmt_tree_builder_end(b, &again, NULL), 0);
	assert_int_equal(again.len, len);
	assert_memory_equal(again.data, p, len);
	orch_buf_fini(&again);
	fmt_tree_builder_free(b);
}

static void test_sample(void **state)
{
	struct fmt_tree_builder *b = fmt_tree_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_entry e;
	struct fmt_xattr x;
	struct fmt_tree t;
	uint32_t i;

	sample(b, &out);
	assert_int_equal(fmt_tree_check(out.data, out.len, NULL), 0);
	assert_canonical(out.data, out.len);
	assert_int_equal(fmt_tree_open(out.data, out.len, &t, NULL), 0);
	assert_int_equal(t.count, 5);
	assert_int_equal(fmt_tree_find(&t, "link", 4, &i, NULL), 0);
	assert_int_equal(fmt_tree_builder_order(b, i), 2);
	assert_int_equal(fmt_tree_entry(&t, i, &e, NULL), 0);
	assert_memory_equal(e.target, "src/main.c", 10);
	assert_int_equal(fmt_tree_find(&t, "lin", 3, &i, NULL), -ENOENT);
	assert_int_equal(fmt_tree_find(&t, "link2", 5, &i, NULL), -ENOENT);
	assert_int_equal(fmt_tree_find(&t, "", 0, &i, NULL), -ENOENT);
	assert_int_equal(fmt_tree_find(&t, "attributes", 10, &i, NULL), 0);
	assert_int_equal(fmt_tree_entry(&t, i, &e, NULL), 0);
	assert_int_equal(fmt_xattrs_count(&e.xattrs), 2);
	assert_true(fmt_xattrs_find(&e.xattrs, "user.b", &x));
	assert_memory_equal(x.value, "two", 3);
	assert_true(fmt_xattrs_find(&e.xattrs, "user.a", &x));
	assert_int_equal(x.value_len, 0);
	assert_false(fmt_xattrs_find(&e.xattrs, "user.", &x));
	assert_int_equal(e.gid, 12);
	assert_int_equal(e.uid, FMT_ID_OWNER);
	orch_buf_fini(&out);
	fmt_tree_builder_free(b);
}

static void test_golden(void **state)
{
	static const uint8_t empty[16] = "ORTR\1\0\0\0";
	struct fmt_tree_builder *b = fmt_tree_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;

	assert_int_equal(fmt_tree_builder_end(b, &out, NULL), 0);
	assert_int_equal(out.len, sizeof(empty));
	assert_memory_equal(out.data, empty, sizeof(empty));
	orch_buf_reset(&out);
	sample(b, &out);
	assert_golden(
	    out.data, out.len, "515b3c1dfc1570cbc3262fc7c7649b5f434c55d447adab734c8134f9c2c06581");
	orch_buf_fini(&out);
	fmt_tree_builder_free(b);
}

static void test_refusals(void **state)
{
	static const char *const bad[] = {"", ".", "..", "a/b", "/"};
	struct fmt_tree_builder *b = fmt_tree_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	char long_name[257];
	struct fmt_entry e;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(bad); i++) {
		e = reg(bad[i], 0);
		assert_int_equal(fmt_tree_builder_add(b, &e, &err), -EINVAL);
	}
	memset(long_name, 'x', 256);
	long_name[256] = '\0';
	e = reg(long_name, 0);
	assert_int_equal(fmt_tree_builder_add(b, &e, NULL), -EINVAL);
	e.name_len = 255;
	add(b, e);
	e = reg("a\0b", 0);
	e.name_len = 3;
	assert_int_equal(fmt_tree_builder_add(b, &e, NULL), -EINVAL);
	e = reg("mode", 0);
	e.mode = 010000;
	assert_int_equal(fmt_tree_builder_add(b, &e, NULL), -EINVAL);
	e = reg("type", 0);
	e.type = FMT_FIFO;
	assert_int_equal(fmt_tree_builder_add(b, &e, NULL), -EINVAL);
	e = lnk("empty", "");
	assert_int_equal(fmt_tree_builder_add(b, &e, NULL), -EINVAL);
	add(b, reg("same", 1));
	add(b, reg("same", 2));
	assert_int_equal(fmt_tree_builder_end(b, &out, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "same"));
	assert_int_equal(out.len, 0);
	orch_buf_fini(&out);
	fmt_tree_builder_free(b);
}

struct many {
	struct fmt_entry e[300];
	char names[300][FMT_NAME_MAX];
	char target[40];
};

static void make_many(struct rnd *r, struct many *m, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = 4 + rnd_below(r, i % 10 == 0 ? 252 : 12);
		struct fmt_entry e = reg("", rnd_next(r) >> 1);

		rnd_bytes(r, m->names[i], len);
		for (size_t k = 0; k < len; k++) {
			if (m->names[i][k] == '\0' || m->names[i][k] == '/')
				m->names[i][k] = 'x';
		}
		m->names[i][0] = (char)(0x40 + i % 64); /* unique, and never "." */
		m->names[i][1] = (char)(0x40 + i / 64);
		e.name = m->names[i];
		e.name_len = len;
		e.mode = (uint32_t)rnd_below(r, 010000);
		rnd_bytes(r, &e.digest, sizeof(e.digest));
		if (rnd_below(r, 4) == 0)
			e.uid = (uint32_t)rnd_next(r);
		if (rnd_below(r, 4) == 0) {
			e.type = FMT_DIR;
			e.count = rnd_next(r);
		} else if (rnd_below(r, 8) == 0) {
			e.type = FMT_SYMLINK;
			e.digest = (struct orch_digest){{0}};
			e.target = m->target;
			e.size = e.target_len = 1 + rnd_below(r, sizeof(m->target) - 1);
		}
		m->e[i] = e;
	}
}

static void test_random_round_trips(void **state)
{
	static struct many m;
	struct rnd r = rnd_make("tree");
	struct fmt_tree_builder *b = fmt_tree_builder_new();

	memset(m.target, 't', sizeof(m.target));
	for (int round = 0; round < 50; round++) {
		size_t n = rnd_below(&r, ORCH_ARRAY_LEN(m.e));
		struct orch_buf out = ORCH_BUF_INIT;
		struct fmt_entry e;
		struct fmt_tree t;
		uint32_t at;

		make_many(&r, &m, n);
		fmt_tree_builder_reset(b);
		for (size_t i = 0; i < n; i++)
			add(b, m.e[i]);
		assert_int_equal(fmt_tree_builder_end(b, &out, NULL), 0);
		assert_int_equal(fmt_tree_check(out.data, out.len, NULL), 0);
		assert_int_equal(fmt_tree_open(out.data, out.len, &t, NULL), 0);
		assert_int_equal(t.count, n);
		for (size_t i = 0; i < n; i++) {
			assert_int_equal(
			    fmt_tree_find(&t, m.e[i].name, m.e[i].name_len, &at, NULL), 0);
			assert_int_equal(fmt_tree_builder_order(b, at), i);
			assert_int_equal(fmt_tree_entry(&t, at, &e, NULL), 0);
			assert_true(entries_equal(&e, &m.e[i]));
		}
		orch_buf_fini(&out);
	}
	fmt_tree_builder_free(b);
}

/* A tree has no checksum of its own (its name is one): changed bytes may be another valid tree,
 * which is then the only encoding of what it says. */
static void hostile(const uint8_t *p, size_t len, void *priv)
{
	struct fmt_entry e;
	struct fmt_tree t;
	uint32_t at;

	if (fmt_tree_check(p, len, NULL) == 0)
		assert_canonical(p, len);
	if (fmt_tree_open(p, len, &t, NULL) < 0)
		return;
	for (uint32_t i = 0; i < t.count; i++)
		(void)!fmt_tree_entry(&t, i, &e, NULL);
	(void)!fmt_tree_find(&t, "link", 4, &at, NULL);
	(void)!fmt_tree_find(&t, "src", 3, &at, NULL);
	(void)!fmt_tree_find(&t, "zz", 2, &at, NULL);
}

static void cut(const uint8_t *p, size_t len, void *priv)
{
	assert_true(fmt_tree_check(p, len, NULL) < 0);
	hostile(p, len, priv);
}

static void test_hostile(void **state)
{
	struct fmt_tree_builder *b = fmt_tree_builder_new();
	struct orch_buf out = ORCH_BUF_INIT;

	sample(b, &out);
	hostile_flips(out.data, out.len, hostile, NULL);
	hostile_cuts(out.data, out.len, cut, NULL);
	assert_int_equal(fmt_tree_check("ORTR\2\0\0\0\0\0\0\0\0\0\0\0", 16, NULL), -ORCH_EFORMAT);
	orch_buf_fini(&out);
	fmt_tree_builder_free(b);
}

static void test_xattrs(void **state)
{
	struct orch_buf a = ORCH_BUF_INIT, b = ORCH_BUF_INIT, c = ORCH_BUF_INIT;
	struct fmt_xattrs x = {0};
	static char big[FMT_XATTR_VALUE_MAX + 1];
	char name[257];
	struct fmt_xattr v;

	assert_int_equal(fmt_xattrs_with(&x, "user.x", NULL, 0, &a), -ENODATA);
	assert_int_equal(fmt_xattrs_with(&x, "", "v", 1, &a), -EINVAL);
	assert_int_equal(fmt_xattrs_with(&x, "user.x", big, sizeof(big), &a), -E2BIG);
	memset(name, 'n', 256);
	name[256] = '\0';
	assert_int_equal(fmt_xattrs_with(&x, name, "v", 1, &a), -ERANGE);
	name[255] = '\0';
	assert_int_equal(fmt_xattrs_with(&x, name, big, FMT_XATTR_VALUE_MAX, &a), 0);
	x = (struct fmt_xattrs){a.data, a.len};
	assert_int_equal(fmt_xattrs_check(x.p, x.len), 0);
	assert_int_equal(fmt_xattrs_with(&x, "a", "1", 1, &b), 0);
	x = (struct fmt_xattrs){b.data, b.len};
	assert_int_equal(fmt_xattrs_check(x.p, x.len), 0);
	assert_int_equal(fmt_xattrs_with(&x, "a", "22", 2, &c), 0); /* replaced */
	x = (struct fmt_xattrs){c.data, c.len};
	assert_int_equal(fmt_xattrs_count(&x), 2);
	assert_true(fmt_xattrs_find(&x, "a", &v));
	assert_int_equal(v.value_len, 2);
	orch_buf_reset(&a);
	assert_int_equal(fmt_xattrs_with(&x, name, NULL, 0, &a), 0);
	x = (struct fmt_xattrs){a.data, a.len};
	orch_buf_reset(&b);
	assert_int_equal(fmt_xattrs_with(&x, "a", NULL, 0, &b), 0);
	assert_int_equal(b.len, 0); /* the last one removed: no bytes */
	/* not sorted, and a count that does not fit */
	assert_true(fmt_xattrs_check((const uint8_t *)"\2\0\1b\0\0\0\0\1a\0\0\0\0", 14) < 0);
	assert_true(fmt_xattrs_check((const uint8_t *)"\1\0\1b\0\0\0\0\1a\0\0\0\0", 14) < 0);
	assert_true(fmt_xattrs_check((const uint8_t *)"\0\0", 2) < 0);
	orch_buf_fini(&a);
	orch_buf_fini(&b);
	orch_buf_fini(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sample),
	    cmocka_unit_test(test_golden),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_random_round_trips),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_xattrs),
	};

	return tap_run(tests);
}
