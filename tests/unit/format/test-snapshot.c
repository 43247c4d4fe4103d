/* The identity of a snapshot: round trip, the one encoding, golden bytes, hostile bytes. */
#include "format/snapshot.h"
#include "tests/unit/format/hostile.h"

static struct fmt_snapshot sample(void)
{
	static const char source[] = "dir:/src \xc3\xa9";

	return (struct fmt_snapshot){.root = {.name = "",
					 .type = FMT_DIR,
					 .mode = 0755,
					 .uid = FMT_ID_OWNER,
					 .gid = FMT_ID_OWNER,
					 .size = 99,
					 .count = 4,
					 .digest = digest_of("tree")},
	    .stamps = digest_of("stamps"),
	    .root_mtime_ns = -1,
	    .next_ino = 77,
	    .source = source,
	    .source_len = strlen(source)};
}

static void test_round_trip(void **state)
{
	struct fmt_snapshot s = sample(), got;
	struct orch_buf out = ORCH_BUF_INIT;

	assert_int_equal(fmt_snapshot_format(&s, &out), 0);
	assert_int_equal(fmt_snapshot_parse(out.data, out.len, &got, NULL), 0);
	assert_int_equal(got.next_ino, 77);
	assert_true(got.root_mtime_ns == -1);
	assert_true(orch_digest_eq(&got.root.digest, &s.root.digest));
	assert_true(orch_digest_eq(&got.stamps, &s.stamps));
	assert_int_equal(got.root.count, 4);
	assert_int_equal(got.source_len, s.source_len);
	assert_memory_equal(got.source, s.source, s.source_len);
	assert_golden(
	    out.data, out.len, "ee1992037dde66182f10398900d3f89bac85b81ca6c7d06914843205ee78fcfd");
	orch_buf_fini(&out);
}

static void test_refusals(void **state)
{
	static const char *const not_utf8[] = {
	    "\xff", "\xc0\x80", "\xed\xa0\x80", "\xc3", "\xf4\x90\x80\x80", "\xe0\x80\x80", "\x80"};
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_snapshot s;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(not_utf8); i++) {
		s = sample();
		s.source = not_utf8[i];
		s.source_len = strlen(s.source);
		assert_int_equal(fmt_snapshot_format(&s, &out), -EINVAL);
	}
	s = sample();
	s.next_ino = 1;
	assert_int_equal(fmt_snapshot_format(&s, &out), -EINVAL);
	s = sample();
	s.root.type = FMT_REG;
	assert_int_equal(fmt_snapshot_format(&s, &out), -EINVAL);
	s = sample();
	s.root.name = "x";
	s.root.name_len = 1;
	assert_int_equal(fmt_snapshot_format(&s, &out), -EINVAL);
	assert_int_equal(out.len, 0);
	orch_buf_fini(&out);
}

static void hostile(const uint8_t *p, size_t len, void *priv)
{
	struct orch_buf again = ORCH_BUF_INIT;
	struct fmt_snapshot s;

	if (fmt_snapshot_parse(p, len, &s, NULL) < 0)
		return;
	assert_int_equal(fmt_snapshot_format(&s, &again), 0);
	assert_int_equal(again.len, len);
	assert_memory_equal(again.data, p, len);
	orch_buf_fini(&again);
}

static void cut(const uint8_t *p, size_t len, void *priv)
{
	struct fmt_snapshot s;

	assert_true(fmt_snapshot_parse(p, len, &s, NULL) < 0);
}

static void test_hostile(void **state)
{
	struct fmt_snapshot s = sample();
	struct orch_buf out = ORCH_BUF_INIT;

	assert_int_equal(fmt_snapshot_format(&s, &out), 0);
	hostile_flips(out.data, out.len, hostile, NULL);
	hostile_cuts(out.data, out.len, cut, NULL);
	orch_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_hostile),
	};

	return tap_run(tests);
}
