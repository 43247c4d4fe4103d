/* Messages between keeper and mount: round trip, unknown tags, limits, golden and hostile bytes. */
#include "format/msg.h"
#include "tests/unit/format/hostile.h"

static void sample(struct orch_buf *out)
{
	assert_int_equal(fmt_msg_begin(out, FMT_MSG_SEAL | FMT_MSG_REPLY, 77, -5), 0);
	assert_int_equal(fmt_msg_add_u64(out, FMT_TAG_LAYER, 9), 0);
	assert_int_equal(fmt_msg_add_str(out, FMT_TAG_ERROR, "why"), 0);
	assert_int_equal(fmt_msg_add(out, 999, "new", 3), 0);
	assert_int_equal(fmt_msg_add_str(out, FMT_TAG_JSON, ""), 0);
	assert_int_equal(fmt_msg_add(out, FMT_TAG_MOUNTPOINT, "a\0b", 3), 0);
	assert_int_equal(fmt_msg_end(out), 0);
}

static void test_round_trip(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_msg m;
	uint64_t v;
	size_t len;
	char *s;

	sample(&out);
	assert_int_equal(fmt_msg_parse(out.data, out.len, &m, NULL), 0);
	assert_int_equal(m.type, FMT_MSG_SEAL | FMT_MSG_REPLY);
	assert_int_equal(m.id, 77);
	assert_int_equal(m.status, -5);
	assert_true(fmt_msg_get_u64(&m, FMT_TAG_LAYER, &v));
	assert_int_equal(v, 9);
	assert_false(fmt_msg_get_u64(&m, FMT_TAG_SEQ, &v));
	assert_false(fmt_msg_get_u64(&m, FMT_TAG_ERROR, &v));
	s = fmt_msg_get_str(&m, FMT_TAG_ERROR);
	assert_string_equal(s, "why");
	free(s);
	s = fmt_msg_get_str(&m, FMT_TAG_JSON);
	assert_string_equal(s, "");
	free(s);
	assert_null(fmt_msg_get_str(&m, FMT_TAG_MOUNTPOINT)); /* a NUL inside */
	assert_non_null(fmt_msg_get(&m, FMT_TAG_MOUNTPOINT, &len));
	assert_int_equal(len, 3);
	assert_null(fmt_msg_get_str(&m, FMT_TAG_WORKSPACE));
	assert_golden(
	    out.data, out.len, "7520c48d6a4b354ba92ba3f8da7be3fe55d5af245b2878d79afe40d9c38d88e6");
	orch_buf_fini(&out);
}

static void test_limits(void **state)
{
	static char big[FMT_MSG_MAX];
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_msg m;

	assert_int_equal(fmt_msg_begin(&out, FMT_MSG_PING, 1, 0), 0);
	assert_int_equal(fmt_msg_end(&out), 0);
	assert_int_equal(out.len, 32);
	assert_int_equal(fmt_msg_parse(out.data, out.len, &m, NULL), 0);
	assert_int_equal(fmt_msg_begin(&out, FMT_MSG_PING, 1, 0), 0);
	assert_int_equal(fmt_msg_add(&out, FMT_TAG_JSON, big, FMT_MSG_MAX - 40), 0);
	assert_int_equal(fmt_msg_end(&out), 0);
	assert_int_equal(fmt_msg_parse(out.data, out.len, &m, NULL), 0);
	assert_int_equal(fmt_msg_begin(&out, FMT_MSG_PING, 1, 0), 0);
	assert_int_equal(fmt_msg_add(&out, FMT_TAG_JSON, big, FMT_MSG_MAX - 39), 0);
	assert_int_equal(fmt_msg_end(&out), -EMSGSIZE);
	assert_int_equal(fmt_msg_add(&out, FMT_TAG_JSON, big, FMT_MSG_MAX + 1), -EMSGSIZE);
	orch_buf_fini(&out);
}

static void flipped(const uint8_t *p, size_t len, void *priv)
{
	struct fmt_msg m;

	assert_true(fmt_msg_parse(p, len, &m, NULL) < 0);
}

/* Wrong lengths under a right checksum. */
static void test_lying_fields(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_msg m;
	uint64_t sum;
	size_t n;

	sample(&out);
	for (size_t at = 32; at < out.len; at++) {
		for (unsigned v = 0; v < 256; v++) {
			uint8_t *p = malloc(out.len);

			memcpy(p, out.data, out.len);
			p[at] = (uint8_t)v;
			sum = orch_xxh64(p + 32, out.len - 32, orch_xxh64(p, 24, 0));
			memcpy(p + 24, &sum, 8);
			if (fmt_msg_parse(p, out.len, &m, NULL) == 0)
				(void)fmt_msg_get(&m, FMT_TAG_BOOT, &n);
			free(p);
		}
	}
	orch_buf_fini(&out);
}

/* What a sound peer never says: a status that is no errno, something in the padding. */
static void test_no_errno(void **state)
{
	static const int32_t wrong[] = {INT32_MIN, -4096, 1, INT32_MAX};
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_msg m;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(wrong); i++) {
		assert_int_equal(fmt_msg_begin(&out, FMT_MSG_PING, 1, wrong[i]), 0);
		assert_int_equal(fmt_msg_end(&out), 0);
		assert_int_equal(fmt_msg_parse(out.data, out.len, &m, NULL), -ORCH_ECORRUPT);
	}
	assert_int_equal(fmt_msg_begin(&out, FMT_MSG_PING, 1, -4095), 0);
	assert_int_equal(fmt_msg_add(&out, FMT_TAG_JSON, "a", 1), 0);
	assert_int_equal(fmt_msg_end(&out), 0);
	assert_int_equal(fmt_msg_parse(out.data, out.len, &m, NULL), 0);
	assert_int_equal(m.status, -4095);
	out.data[out.len - 1] = 1;
	assert_int_equal(fmt_msg_end(&out), 0);
	assert_int_equal(fmt_msg_parse(out.data, out.len, &m, NULL), -ORCH_ECORRUPT);
	orch_buf_fini(&out);
}

static void test_hostile(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;

	sample(&out);
	hostile_flips(out.data, out.len, flipped, NULL);
	hostile_cuts(out.data, out.len, flipped, NULL);
	orch_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_lying_fields),
	    cmocka_unit_test(test_no_errno),
	    cmocka_unit_test(test_hostile),
	};

	return tap_run(tests);
}
