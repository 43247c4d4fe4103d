/* The table of a Git memo; see memo.h. docs/format.md has the bytes. */
#include "format/memo.h"

#include <stdlib.h>
#include "format/format_priv.h"

#define MEMO_VERSION	 1
#define MEMO_HEAD_BYTES	 16 /* prefix, seed check */
#define MEMO_ENTRY_BYTES 96
#define MEMO_FOOT_BYTES	 24 /* count, checksum */
#define MEMO_COUNT_MAX	 (UINT64_C(1) << 32)
#define SEED_SAMPLE	 "orch Git memo"

_Static_assert(sizeof(struct fmt_memo_key) == 37, "a key is its bytes");

uint64_t fmt_memo_seed_check(uint64_t seed)
{
	return orch_xxh64(SEED_SAMPLE, sizeof(SEED_SAMPLE) - 1, seed);
}

struct fmt_memo_writer {
	struct orch_xxh128 *sum;
	uint64_t seed_check, count;
	struct fmt_memo_key last;
	bool begun;
};

struct fmt_memo_writer *fmt_memo_writer_new(uint64_t seed_check)
{
	struct fmt_memo_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->sum = orch_xxh128_new();
	if (w->sum == NULL) {
		free(w);
		return NULL;
	}
	orch_xxh128_reset(w->sum, 0);
	w->seed_check = seed_check;
	return w;
}

void fmt_memo_writer_free(struct fmt_memo_writer *w)
{
	if (w == NULL)
		return;
	orch_xxh128_free(w->sum);
	free(w);
}

/* What came out since `was` is part of the file now. */
static int memo_emitted(struct fmt_memo_writer *w, struct orch_buf *out, size_t was)
{
	if (fmt_appended(out, was) < 0)
		return -ENOMEM;
	orch_xxh128_add(w->sum, out->data + was, out->len - was);
	return 0;
}

static int memo_begin(struct fmt_memo_writer *w, struct orch_buf *out)
{
	size_t was = out->len;
	int r;

	if (w->begun)
		return 0;
	fmt_prefix_add(out, FMT_MAGIC_MEMO, MEMO_VERSION);
	(void)orch_buf_add_u64(out, w->seed_check);
	r = memo_emitted(w, out, was);
	w->begun = r == 0;
	return r;
}

static int key_cmp(const struct fmt_memo_key *a, const struct fmt_memo_key *b)
{
	return memcmp(a, b, sizeof(*a));
}

static bool memo_valid(const struct fmt_memo_entry *e)
{
	if (e->key.kind == FMT_MEMO_BLOB)
		return e->count == 0 && e->marked <= 1 && e->height == 0;
	return e->key.kind == FMT_MEMO_TREE && e->marked <= e->count && e->height > 0;
}

int fmt_memo_writer_add(
    struct fmt_memo_writer *w, const struct fmt_memo_entry *e, struct orch_buf *out)
{
	size_t was;
	int r;

	if (!memo_valid(e) || w->count >= MEMO_COUNT_MAX ||
	    (w->count > 0 && key_cmp(&w->last, &e->key) >= 0))
		return -EINVAL;
	r = memo_begin(w, out);
	if (r < 0)
		return r;
	was = out->len;
	(void)orch_buf_add(out, &e->key, sizeof(e->key));
	(void)orch_buf_add_u8(out, 0);
	(void)orch_buf_add_u16(out, e->height);
	(void)orch_buf_add(out, e->digest.b, ORCH_DIGEST_BYTES);
	(void)orch_buf_add_u64(out, e->size);
	(void)orch_buf_add_u64(out, e->count);
	(void)orch_buf_add_u64(out, e->marked);
	r = memo_emitted(w, out, was);
	if (r < 0)
		return r;
	w->last = e->key;
	w->count++;
	return 0;
}

int fmt_memo_writer_end(struct fmt_memo_writer *w, struct orch_buf *out)
{
	struct orch_fingerprint sum;
	size_t was;
	int r = memo_begin(w, out);

	if (r < 0)
		return r;
	was = out->len;
	(void)orch_buf_add_u64(out, w->count);
	r = memo_emitted(w, out, was);
	if (r < 0)
		return r;
	orch_xxh128_end(w->sum, &sum);
	was = out->len;
	(void)orch_buf_add_u64(out, sum.lo);
	(void)orch_buf_add_u64(out, sum.hi);
	return fmt_appended(out, was);
}

/* ---- reading ---- */

static const uint8_t *entry_at(const struct fmt_memo *m, uint64_t i)
{
	return m->p + MEMO_HEAD_BYTES + (size_t)i * MEMO_ENTRY_BYTES;
}

void fmt_memo_at(const struct fmt_memo *m, uint64_t i, struct fmt_memo_entry *out)
{
	const uint8_t *p = entry_at(m, i);

	memcpy(&out->key, p, sizeof(out->key));
	out->height = orch_le16(p + 38);
	memcpy(out->digest.b, p + 40, ORCH_DIGEST_BYTES);
	out->size = orch_le64(p + 72);
	out->count = orch_le64(p + 80);
	out->marked = orch_le64(p + 88);
}

static int memo_sum_check(const uint8_t *p, size_t len, struct orch_err *err)
{
	struct orch_xxh128 *sum = orch_xxh128_new();
	struct orch_fingerprint got;

	if (sum == NULL)
		return orch_err_set(err, ENOMEM, "no memory for a checksum");
	orch_xxh128_reset(sum, 0);
	orch_xxh128_add(sum, p, len - 16);
	orch_xxh128_end(sum, &got);
	orch_xxh128_free(sum);
	if (got.lo != orch_le64(p + len - 16) || got.hi != orch_le64(p + len - 8))
		return fmt_corrupt(err, "Git memo", "checksum");
	return 0;
}

static int memo_entries_check(const struct fmt_memo *m, struct orch_err *err)
{
	struct fmt_memo_entry e;

	for (uint64_t i = 0; i < m->count; i++) {
		const uint8_t *p = entry_at(m, i);

		fmt_memo_at(m, i, &e);
		if (p[37] != 0 || !memo_valid(&e))
			return fmt_corrupt(err, "Git memo", "an entry is not valid");
		if (i > 0 && memcmp(entry_at(m, i - 1), p, sizeof(e.key)) >= 0)
			return fmt_corrupt(err, "Git memo", "it is not sorted");
	}
	return 0;
}

int fmt_memo_open(const void *p, size_t len, struct fmt_memo *out, struct orch_err *err)
{
	struct orch_cursor c = orch_cursor_make(p, len);
	struct fmt_memo m = {.p = p, .len = len};
	int r = fmt_prefix_check(&c, FMT_MAGIC_MEMO, MEMO_VERSION, "Git memo", err);

	if (r < 0)
		return r;
	if (len < MEMO_HEAD_BYTES + MEMO_FOOT_BYTES ||
	    (len - MEMO_HEAD_BYTES - MEMO_FOOT_BYTES) % MEMO_ENTRY_BYTES != 0)
		return fmt_corrupt(err, "Git memo", "it is cut");
	r = memo_sum_check(p, len, err);
	if (r < 0)
		return r;
	m.seed_check = orch_cursor_u64(&c);
	m.count = orch_le64(m.p + len - MEMO_FOOT_BYTES);
	if (m.count != (len - MEMO_HEAD_BYTES - MEMO_FOOT_BYTES) / MEMO_ENTRY_BYTES)
		return fmt_corrupt(err, "Git memo", "its count does not fit its length");
	r = memo_entries_check(&m, err);
	if (r == 0)
		*out = m;
	return r;
}

int fmt_memo_find(
    const struct fmt_memo *m, const struct fmt_memo_key *key, struct fmt_memo_entry *out)
{
	uint64_t lo = 0, hi = m->count;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		int c = memcmp(key, entry_at(m, mid), sizeof(*key));

		if (c == 0) {
			fmt_memo_at(m, mid, out);
			return 0;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return -ENOENT;
}
