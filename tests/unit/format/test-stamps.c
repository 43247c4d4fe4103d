/* Stamps: round trips, the one encoding, golden bytes, hostile bytes. */
#include "format/stamps.h"
#include "tests/unit/format/hostile.h"

static void build(const struct fmt_stamp *v, size_t n, struct orch_buf *out)
{
	struct fmt_stamps_builder *b = fmt_stamps_builder_new();

	for (size_t i = 0; i < n; i++)
		assert_int_equal(fmt_stamps_builder_add(b, &v[i]), 0);
	assert_int_equal(fmt_stamps_builder_end(b, out), 0);
	fmt_stamps_builder_free(b);
}

static void sample(struct orch_buf *out)
{
	const struct fmt_stamp v[] = {
	    {.ino = 2, .mtime_ns = 1, .nlink = 1, .stamps = digest_of("a")},
	    {.ino = 900, .mtime_ns = -5, .nlink = 3},
	    {.ino = 3, .mtime_ns = INT64_MAX, .nlink = 1, .stamps = digest_of("b")},
	    {.ino = UINT64_MAX - 1, .mtime_ns = INT64_MIN, .nlink = UINT32_MAX},
	};

	build(v, ORCH_ARRAY_LEN(v), out);
}

static void assert_canonical(const uint8_t *p, size_t len)
{
	struct fmt_stamps_builder *b = fmt_stamps_builder_new();
	struct orch_buf again = ORCH_BUF_INIT;
	struct fmt_stamps s;
	struct fmt_stamp v;

	assert_int_equal(fmt_stamps_open(p, len, &s, NULL), 0);
	for (uint32_t i = 0; i < s.count; i++) {
		assert_int_equal(fmt_stamps_get(&s, i, &v, NULL), 0);
		assert_int_equal(fmt_stamps_builder_add(b, &v), 0);
	}
	assert_int_equal(fmt_stamps_builder_end(b, &again), 0);
	assert_int_equal(again.len, len);
	assert_memory_equal(again.data, p, len);
	orch_buf_fini(&again);
	fmt_stamps_builder_free(b);
}

static void test_golden(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;

	build(NULL, 0, &out);
	assert_int_equal(out.len, 16);
	assert_memory_equal(out.data, "ORST\1\0\0\0\0\0\0\0\0\0\0\0", 16);
	orch_buf_reset(&out);
	sample(&out);
	assert_int_equal(out.len, 16 + 4 * 24 + 2 * 32);
	assert_int_equal(fmt_stamps_check(out.data, out.len, NULL), 0);
	assert_canonical(out.data, out.len);
	assert_golden(
	    out.data, out.len, "0e867829094b8c1dd023864a2222ec536c6cbe14c8e7f8127815e2436f0678db");
	orch_buf_fini(&out);
}

static void test_random_round_trips(void **state)
{
	struct rnd r = rnd_make("stamps");
	struct fmt_stamp v[200], got;
	struct fmt_stamps s;

	for (int round = 0; round < 50; round++) {
		size_t n = rnd_below(&r, ORCH_ARRAY_LEN(v));
		struct orch_buf out = ORCH_BUF_INIT;

		for (size_t i = 0; i < n; i++) {
			v[i] = (struct fmt_stamp){.ino = 1 + (rnd_next(&r) >> 1),
			    .mtime_ns = (int64_t)rnd_next(&r),
			    .nlink = 1};
			if (rnd_below(&r, 3) == 0)
				rnd_bytes(&r, &v[i].stamps, sizeof(v[i].stamps));
			else
				v[i].nlink = 1 + (uint32_t)rnd_below(&r, 1000);
		}
		build(v, n, &out);
		assert_int_equal(fmt_stamps_check(out.data, out.len, NULL), 0);
		assert_int_equal(fmt_stamps_open(out.data, out.len, &s, NULL), 0);
		for (uint32_t i = 0; i < n; i++) {
			assert_int_equal(fmt_stamps_get(&s, i, &got, NULL), 0);
			assert_int_equal(got.ino, v[i].ino);
			assert_true(got.mtime_ns == v[i].mtime_ns);
			assert_int_equal(got.nlink, v[i].nlink);
			assert_true(orch_digest_eq(&got.stamps, &v[i].stamps));
		}
		orch_buf_fini(&out);
	}
}

static void test_refusals(void **state)
{
	struct fmt_stamps_builder *b = fmt_stamps_builder_new();
	struct fmt_stamp s = {.ino = 0, .nlink = 1};

	assert_int_equal(fmt_stamps_builder_add(b, &s), -EINVAL);
	s.ino = 1;
	s.nlink = 0;
	assert_int_equal(fmt_stamps_builder_add(b, &s), -EINVAL);
	s.nlink = 2;
	s.stamps = digest_of("x");
	assert_int_equal(fmt_stamps_builder_add(b, &s), -EINVAL);
	fmt_stamps_builder_free(b);
}

static void hostile(const uint8_t *p, size_t len, void *priv)
{
	struct fmt_stamps s;
	struct fmt_stamp v;

	if (fmt_stamps_check(p, len, NULL) == 0)
		assert_canonical(p, len);
	if (fmt_stamps_open(p, len, &s, NULL) < 0)
		return;
	for (uint32_t i = 0; i < s.count; i++)
		(void)!fmt_stamps_get(&s, i, &v, NULL);
}

static void cut(const uint8_t *p, size_t len, void *priv)
{
	struct fmt_stamps s;

	assert_true(fmt_stamps_open(p, len, &s, NULL) < 0);
}

static void test_hostile(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;

	sample(&out);
	hostile_flips(out.data, out.len, hostile, NULL);
	hostile_cuts(out.data, out.len, cut, NULL);
	orch_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_golden),
	    cmocka_unit_test(test_random_round_trips),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_hostile),
	};

	return tap_run(tests);
}
