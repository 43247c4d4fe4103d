/* The Git memo: round trips, order, golden and hostile bytes. */
#include "format/memo.h"
#include "tests/unit/format/hostile.h"

#define SEED_CHECK UINT64_C(0x1122334455667788)

static struct fmt_memo_entry entry(enum fmt_memo_kind kind, uint32_t n)
{
	struct fmt_memo_entry e = {.key = {.kind = (uint8_t)kind}, .size = n + 5};

	for (int i = 0; i < 4; i++)
		e.key.id[i] = (uint8_t)(n >> (24 - 8 * i));
	e.key.state[15] = 7;
	e.digest = digest_of(kind == FMT_MEMO_TREE ? "tree" : "blob");
	if (kind == FMT_MEMO_TREE) {
		e.count = n + 3;
		e.marked = n;
		e.height = 2;
	} else {
		e.marked = n & 1;
	}
	return e;
}

static void sample(struct orch_buf *out, uint32_t count)
{
	struct fmt_memo_writer *w = fmt_memo_writer_new(SEED_CHECK);

	for (uint32_t i = 0; i < 2 * count; i++) {
		struct fmt_memo_entry e =
		    entry(i < count ? FMT_MEMO_TREE : FMT_MEMO_BLOB, i % count);

		assert_int_equal(fmt_memo_writer_add(w, &e, out), 0);
		assert_int_equal(fmt_memo_writer_add(w, &e, out), -EINVAL); /* not rising */
	}
	assert_int_equal(fmt_memo_writer_end(w, out), 0);
	fmt_memo_writer_free(w);
}

static void assert_same(const struct fmt_memo_entry *a, const struct fmt_memo_entry *b)
{
	assert_memory_equal(&a->key, &b->key, sizeof(a->key));
	assert_true(orch_digest_eq(&a->digest, &b->digest));
	assert_true(a->size == b->size && a->count == b->count && a->marked == b->marked);
	assert_int_equal(a->height, b->height);
}

static void test_round_trip(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_memo_entry e, want;
	struct fmt_memo m;

	sample(&out, 300);
	assert_int_equal(fmt_memo_open(out.data, out.len, &m, NULL), 0);
	assert_int_equal(m.count, 600);
	assert_true(m.seed_check == SEED_CHECK);
	for (uint32_t i = 0; i < 300; i++) {
		want = entry(FMT_MEMO_TREE, i);
		assert_int_equal(fmt_memo_find(&m, &want.key, &e), 0);
		assert_same(&e, &want);
		fmt_memo_at(&m, i, &e);
		assert_same(&e, &want);
		want = entry(FMT_MEMO_BLOB, i);
		assert_int_equal(fmt_memo_find(&m, &want.key, &e), 0);
		assert_same(&e, &want);
		want.key.state[0] = 1;
		assert_int_equal(fmt_memo_find(&m, &want.key, &e), -ENOENT);
	}
	want = entry(FMT_MEMO_BLOB, 300);
	assert_int_equal(fmt_memo_find(&m, &want.key, &e), -ENOENT);
	orch_buf_reset(&out);
	sample(&out, 2);
	assert_golden(
	    out.data, out.len, "f9115e036b41224a51333d4d04ccf4985f14986dbc430a942b1aa1b9094e06d3");
	orch_buf_fini(&out);
}

static void test_empty(void **state)
{
	struct fmt_memo_entry e = entry(FMT_MEMO_TREE, 1);
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_memo m;

	struct fmt_memo_writer *w = fmt_memo_writer_new(SEED_CHECK);

	assert_int_equal(fmt_memo_writer_end(w, &out), 0);
	fmt_memo_writer_free(w);
	assert_int_equal(fmt_memo_open(out.data, out.len, &m, NULL), 0);
	assert_int_equal(fmt_memo_find(&m, &e.key, &e), -ENOENT);
	orch_buf_fini(&out);
}

static void test_refused(void **state)
{
	struct fmt_memo_writer *w = fmt_memo_writer_new(SEED_CHECK);
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_memo_entry e = entry(FMT_MEMO_TREE, 1);

	e.key.kind = 3;
	assert_int_equal(fmt_memo_writer_add(w, &e, &out), -EINVAL);
	e = entry(FMT_MEMO_TREE, 1);
	e.marked = e.count + 1;
	assert_int_equal(fmt_memo_writer_add(w, &e, &out), -EINVAL);
	e = entry(FMT_MEMO_TREE, 1);
	e.height = 0;
	assert_int_equal(fmt_memo_writer_add(w, &e, &out), -EINVAL);
	e = entry(FMT_MEMO_BLOB, 1);
	e.count = 1;
	assert_int_equal(fmt_memo_writer_add(w, &e, &out), -EINVAL);
	e.count = 0;
	assert_int_equal(fmt_memo_writer_add(w, &e, &out), 0);
	e = entry(FMT_MEMO_TREE, 5);
	assert_int_equal(fmt_memo_writer_add(w, &e, &out), -EINVAL);
	fmt_memo_writer_free(w);
	orch_buf_fini(&out);
}

static void must_fail(const uint8_t *p, size_t len, void *priv)
{
	struct fmt_memo m;

	assert_true(fmt_memo_open(p, len, &m, NULL) < 0);
}

static void with_sum(uint8_t *p, size_t len)
{
	struct orch_xxh128 *x = orch_xxh128_new();
	struct orch_fingerprint sum;

	orch_xxh128_reset(x, 0);
	orch_xxh128_add(x, p, len - 16);
	orch_xxh128_end(x, &sum);
	orch_xxh128_free(x);
	memcpy(p + len - 16, &sum.lo, 8);
	memcpy(p + len - 8, &sum.hi, 8);
}

static void test_hostile(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;
	uint8_t swapped[96];
	struct fmt_memo m;

	sample(&out, 2);
	hostile_flips(out.data, out.len, must_fail, NULL);
	hostile_cuts(out.data, out.len, must_fail, NULL);
	/* with a right checksum: not sorted, another count, a reserved byte */
	memcpy(swapped, out.data + 16, 96);
	memmove(out.data + 16, out.data + 112, 96);
	memcpy(out.data + 112, swapped, 96);
	with_sum(out.data, out.len);
	must_fail(out.data, out.len, NULL);
	orch_buf_reset(&out);
	sample(&out, 2);
	out.data[out.len - 24]++;
	with_sum(out.data, out.len);
	must_fail(out.data, out.len, NULL);
	out.data[out.len - 24]--;
	out.data[16 + 37] = 1;
	with_sum(out.data, out.len);
	must_fail(out.data, out.len, NULL);
	out.data[16 + 37] = 0;
	with_sum(out.data, out.len);
	assert_int_equal(fmt_memo_open(out.data, out.len, &m, NULL), 0);
	orch_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_refused),
	    cmocka_unit_test(test_hostile),
	};

	return tap_run(tests);
}
