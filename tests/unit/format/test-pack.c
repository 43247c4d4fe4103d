/* Packs: round trips, duplicates, lookups in small and large ones, golden bytes, hostile bytes. */
#include "format/pack.h"
#include "tests/unit/format/hostile.h"

static void add(
    struct fmt_pack_writer *w, enum fmt_pack_kind kind, const char *text, struct orch_buf *out)
{
	struct orch_digest d = digest_of(text);

	assert_int_equal(fmt_pack_writer_add(w, kind, &d, text, strlen(text), out), 0);
}

static void sample(struct orch_buf *out)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	struct orch_digest d = digest_of("one");

	assert_int_equal(fmt_pack_writer_begin(w, out), 0);
	add(w, FMT_PACK_TREE, "one", out);
	add(w, FMT_PACK_OBJECT, "one", out);
	add(w, FMT_PACK_STAMPS, "twotwotwo", out);
	add(w, FMT_PACK_SNAPSHOT, "", out);
	assert_int_equal(fmt_pack_writer_add(w, FMT_PACK_TREE, &d, "one", 3, out), -EEXIST);
	assert_int_equal(fmt_pack_writer_count(w), 4);
	assert_int_equal(fmt_pack_writer_end(w, out), 0);
	fmt_pack_writer_free(w);
}

static void assert_found(const struct fmt_pack *k, enum fmt_pack_kind kind, const char *text)
{
	struct orch_digest d = digest_of(text);
	struct fmt_pack_record r;

	assert_int_equal(fmt_pack_find(k, kind, &d, &r, NULL), 0);
	assert_int_equal(r.kind, kind);
	assert_int_equal(r.len, strlen(text));
	assert_memory_equal(r.p, text, r.len);
	assert_true(orch_digest_eq(&r.digest, &d));
	assert_int_equal((uintptr_t)(r.p - k->p) % 8, 0);
	assert_true(fmt_pack_has(k, kind, &d));
}

static void test_sample(void **state)
{
	struct orch_digest d = digest_of("one");
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_pack_record r;
	struct fmt_pack k;

	sample(&out);
	assert_int_equal(fmt_pack_open(out.data, out.len, &k, NULL), 0);
	assert_int_equal(k.count, 4);
	assert_found(&k, FMT_PACK_TREE, "one");
	assert_found(&k, FMT_PACK_OBJECT, "one");
	assert_found(&k, FMT_PACK_STAMPS, "twotwotwo");
	assert_found(&k, FMT_PACK_SNAPSHOT, "");
	assert_int_equal(fmt_pack_find(&k, FMT_PACK_STAMPS, &d, &r, NULL), -ENOENT);
	assert_false(fmt_pack_has(&k, FMT_PACK_STAMPS, &d));
	d.b[31] ^= 1;
	assert_int_equal(fmt_pack_find(&k, FMT_PACK_TREE, &d, &r, NULL), -ENOENT);
	assert_golden(
	    out.data, out.len, "cdfc9a144e5d65005556c924b4f160897697e85dd7fab459acc742e3f132df02");
	orch_buf_fini(&out);
}

static void test_empty(void **state)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	struct orch_digest d = digest_of("one");
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_pack_record r;
	struct fmt_pack k;

	assert_int_equal(fmt_pack_writer_begin(w, &out), 0);
	assert_int_equal(fmt_pack_writer_end(w, &out), 0);
	assert_int_equal(out.len, 16 + 8 + 48);
	assert_int_equal(fmt_pack_open(out.data, out.len, &k, NULL), 0);
	assert_int_equal(fmt_pack_find(&k, FMT_PACK_TREE, &d, &r, NULL), -ENOENT);
	orch_buf_fini(&out);
	fmt_pack_writer_free(w);
}

/* The writer's bytes come out in pieces: what was written is gone from the buffer. */
static void test_many_in_pieces(void **state)
{
	struct rnd rnd = rnd_make("pack");
	uint32_t n = 20000 + (uint32_t)rnd_below(&rnd, 1000), order = 0;
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	struct orch_buf file = ORCH_BUF_INIT, out = ORCH_BUF_INIT;
	struct orch_digest prev = {{0}};
	struct fmt_pack_record r;
	struct fmt_pack k;
	char text[32];

	assert_int_equal(fmt_pack_writer_begin(w, &out), 0);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%u", i);
		add(w, 1 + i % 4, text, &out);
		if (rnd_below(&rnd, 10) == 0) {
			assert_int_equal(orch_buf_add(&file, out.data, out.len), 0);
			orch_buf_reset(&out);
		}
	}
	assert_int_equal(fmt_pack_writer_end(w, &out), 0);
	assert_int_equal(orch_buf_add(&file, out.data, out.len), 0);
	assert_int_equal(fmt_pack_open(file.data, file.len, &k, NULL), 0);
	assert_int_equal(k.count, n);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "%u", i);
		assert_found(&k, 1 + i % 4, text);
		assert_int_equal(fmt_pack_at(&k, i, &r, NULL), 0);
		order += orch_digest_cmp(&prev, &r.digest) < 0;
		prev = r.digest;
	}
	assert_int_equal(order, n);
	orch_buf_fini(&file);
	orch_buf_fini(&out);
	fmt_pack_writer_free(w);
}

static void test_refusals(void **state)
{
	struct fmt_pack_writer *w = fmt_pack_writer_new();
	struct orch_digest d = digest_of("x");
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_pack k;

	assert_int_equal(fmt_pack_writer_begin(w, &out), 0);
	assert_int_equal(fmt_pack_writer_add(w, 0, &d, "x", 1, &out), -EINVAL);
	assert_int_equal(fmt_pack_writer_add(w, 5, &d, "x", 1, &out), -EINVAL);
	assert_int_equal(
	    fmt_pack_writer_add(w, FMT_PACK_OBJECT, &d, "x", (size_t)FMT_PACK_RECORD_MAX + 1, &out),
	    -EFBIG);
	out.max = out.len + 20; /* no room: nothing is half added */
	assert_int_equal(fmt_pack_writer_add(w, FMT_PACK_OBJECT, &d, "x", 1, &out), -ENOMEM);
	assert_int_equal(out.len, 16);
	assert_int_equal(fmt_pack_writer_count(w), 0);
	out.max = 1000;
	out.failed = false;
	assert_int_equal(fmt_pack_writer_add(w, FMT_PACK_OBJECT, &d, "x", 1, &out), 0);
	assert_int_equal(fmt_pack_writer_end(w, &out), 0);
	assert_int_equal(fmt_pack_open(out.data, out.len, &k, NULL), 0);
	assert_int_equal(fmt_pack_open("ORPK\2\0\0\0", 8, &k, NULL), -ORCH_EFORMAT);
	orch_buf_fini(&out);
	fmt_pack_writer_free(w);
}

static void flipped(const uint8_t *p, size_t len, void *priv)
{
	unsigned whole = 0;
	struct fmt_pack_record r;
	struct fmt_pack k;

	if (fmt_pack_open(p, len, &k, NULL) < 0)
		return;
	assert_int_equal(k.count, 4);
	for (uint32_t i = 0; i < k.count; i++)
		whole += fmt_pack_at(&k, i, &r, NULL) == 0;
	assert_int_equal(whole, 3); /* every byte belongs to exactly one checksum */
}

static void cut(const uint8_t *p, size_t len, void *priv)
{
	struct fmt_pack k;

	assert_true(fmt_pack_open(p, len, &k, NULL) < 0);
}

static void test_hostile(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;

	sample(&out);
	hostile_flips(out.data, out.len, flipped, NULL);
	hostile_cuts(out.data, out.len, cut, NULL);
	orch_buf_fini(&out);
}

/* An index that lies behind right checksums: as the fuzzer would, every field with odd values. */
static void test_lying_index(void **state)
{
	static const uint32_t odd[] = {0, 1, 7, 8, 0x7fffffff, 0xffffffff, 0xfffffff8, 5, 64};
	struct orch_buf out = ORCH_BUF_INIT;
	struct fmt_pack_record r;
	struct fmt_pack k;
	size_t foot, at, len;

	sample(&out);
	foot = out.len - 48;
	at = orch_le64(out.data + foot + 16);
	len = orch_le64(out.data + foot + 24);
	for (size_t pos = at; pos + 4 <= foot + 32; pos += 4) {
		for (size_t i = 0; i < ORCH_ARRAY_LEN(odd); i++) {
			uint8_t *p = malloc(out.len);
			uint64_t sum;

			memcpy(p, out.data, out.len);
			memcpy(p + pos, &odd[i], 4);
			sum = orch_xxh64(p + at, len, 0);
			memcpy(p + foot + 32, &sum, 8);
			sum = orch_xxh64(p + foot, 40, 0);
			memcpy(p + foot + 40, &sum, 8);
			if (fmt_pack_open(p, out.len, &k, NULL) == 0) {
				for (uint32_t n = 0; n < k.count; n++)
					(void)!fmt_pack_at(&k, n, &r, NULL);
			}
			free(p);
		}
	}
	orch_buf_fini(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sample),
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_many_in_pieces),
	    cmocka_unit_test(test_refusals),
	    cmocka_unit_test(test_hostile),
	    cmocka_unit_test(test_lying_index),
	};

	return tap_run(tests);
}
