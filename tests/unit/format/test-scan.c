/* The scan index: round trips, order, golden and hostile bytes. */
#include "format/scan.h"
#include "tests/unit/format/hostile.h"

static const struct fmt_scan_head head = {
    .snapshot = {{1, 2, 3}}, .started_wall_ns = -9, .seed_check = 0x1122334455667788};

static struct fmt_scan_entry entry(const char *path)
{
	return (struct fmt_scan_entry){.path = path,
	    .path_len = strlen(path),
	    .dev = 3,
	    .ino = 4,
	    .size = 5,
	    .mtime_ns = -6,
	    .ctime_ns = 7,
	    .mode = 0100644,
	    .object = digest_of(path),
	    .fingerprint = {8, 9},
	    .has_xattrs = path[0] == 'a'};
}

static void sample(struct orch_buf *out)
{
	static const char *const paths[] = {"a", "a-b", "a/b", "\xff"};
	struct fmt_scan_writer *w = fmt_scan_writer_new(&head);

	for (size_t i = 0; i < ORCH_ARRAY_LEN(paths); i++) {
		struct fmt_scan_entry e = entry(paths[i]);

		assert_int_equal(fmt_scan_writer_add(w, &e, out), 0);
		assert_int_equal(fmt_scan_writer_add(w, &e, out), -EINVAL); /* not rising */
	}
	assert_int_equal(fmt_scan_writer_end(w, out), 0);
	fmt_scan_writer_free(w);
}

static void assert_entry(const struct fmt_scan *s, const char *path)
{
	struct fmt_scan_entry e, want = entry(path);

	assert_int_equal(fmt_scan_find(s, path, strlen(path), &e), 0);
	assert_int_equal(e.dev, want.dev);
	assert_int_equal(e.ino, want.ino);
	assert_int_equal(e.size, want.size);
	assert_true(e.mtime_ns == want.mtime_ns && e.ctime_ns == want.ctime_ns);
	assert_int_equal(e.mode, want.mode);
	assert_true(orch_digest_eq(&e.object, &want.object));
	assert_true(e.fingerprint.lo == 8 && e.fingerprint.hi == 9);
	assert_int_equal(e.has_xattrs, want.has_xattrs);
	assert_int_equal(e.path_len, want.path_len);
	assert_memory_equal(e.path, path, e.path_len);
}

static void test_round_trip(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_scan_entry e;
	struct fmt_scan s;

	sample(&out);
	assert_int_equal(fmt_scan_open(out.data, out.len, &s, NULL), 0);
	assert_int_equal(s.count, 4);
	assert_true(s.head.started_wall_ns == -9);
	assert_true(s.head.seed_check == head.seed_check);
	assert_true(orch_digest_eq(&s.head.snapshot, &head.snapshot));
	assert_entry(&s, "a");
	assert_entry(&s, "a-b");
	assert_entry(&s, "a/b");
	assert_entry(&s, "\xff");
	assert_int_equal(fmt_scan_find(&s, "a/", 2, &e), -ENOENT);
	assert_int_equal(fmt_scan_find(&s, "", 0, &e), -ENOENT);
	assert_golden(
	    out.data, out.len, "bd2b092ce5fbb844ab4fdfcd0bddbd3fd1d4dbcc25ca0fa94fe303607eed210a");
	orch_buf_fini(&out);
}

static void test_empty(void **state)
{
	struct fmt_scan_writer *w = fmt_scan_writer_new(&head);
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_scan_entry e;
	struct fmt_scan s;

	assert_int_equal(fmt_scan_writer_end(w, &out), 0);
	assert_int_equal(fmt_scan_open(out.data, out.len, &s, NULL), 0);
	assert_int_equal(fmt_scan_find(&s, "a", 1, &e), -ENOENT);
	fmt_scan_writer_free(w);
	orch_buf_fini(&out);
}

/* In pieces, as a file is written. */
static void test_many(void **state)
{
	struct fmt_scan_writer *w = fmt_scan_writer_new(&head);
	struct orch_buf file = ORCH_BUF_INIT, out = ORCH_BUF_INIT;
	struct rnd r = rnd_make("scan");
	struct fmt_scan s;
	char path[32];

	for (int i = 0; i < 5000; i++) {
		struct fmt_scan_entry e;

		snprintf(path, sizeof(path), "d%02d/f%06d", i / 100, i);
		e = entry(path);
		assert_int_equal(fmt_scan_writer_add(w, &e, &out), 0);
		if (rnd_below(&r, 7) == 0) {
			assert_int_equal(orch_buf_add(&file, out.data, out.len), 0);
			orch_buf_reset(&out);
		}
	}
	assert_int_equal(fmt_scan_writer_end(w, &out), 0);
	assert_int_equal(orch_buf_add(&file, out.data, out.len), 0);
	assert_int_equal(fmt_scan_open(file.data, file.len, &s, NULL), 0);
	for (int i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "d%02d/f%06d", i / 100, i);
		assert_entry(&s, path);
	}
	fmt_scan_writer_free(w);
	orch_buf_fini(&out);
	orch_buf_fini(&file);
}

static void flipped(const uint8_t *p, size_t len, void *priv)
{
	struct fmt_scan s;

	assert_true(fmt_scan_open(p, len, &s, NULL) < 0);
}

/* Every byte changed under a right checksum: found entries are whatever they are, inside the bytes. */
static void resummed(const uint8_t *p, size_t len, void *priv)
{
	struct orch_xxh128 *sum = orch_xxh128_new();
	struct orch_fingerprint f;
	uint8_t *copy = malloc(len);
	struct fmt_scan_entry e;
	struct fmt_scan s;

	memcpy(copy, p, len);
	orch_xxh128_reset(sum, 0);
	orch_xxh128_add(sum, copy, len - 16);
	orch_xxh128_end(sum, &f);
	memcpy(copy + len - 16, &f.lo, 8);
	memcpy(copy + len - 8, &f.hi, 8);
	if (fmt_scan_open(copy, len, &s, NULL) == 0) {
		(void)!fmt_scan_find(&s, "a", 1, &e);
		(void)!fmt_scan_find(&s, "a/b", 3, &e);
		(void)!fmt_scan_find(&s, "\xff", 1, &e);
	}
	orch_xxh128_free(sum);
	free(copy);
}

static void test_hostile(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;

	sample(&out);
	hostile_flips(out.data, out.len, flipped, NULL);
	hostile_cuts(out.data, out.len, flipped, NULL);
	hostile_flips(out.data, out.len, resummed, NULL);
	orch_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_many),
	    cmocka_unit_test(test_hostile),
	};

	return tap_run(tests);
}
