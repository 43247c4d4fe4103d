/*
 * Packs: the writer keeps the index in memory and yields bytes, the reader finds a record in mapped
 * bytes with one look into the fan-out table and a short bisection. Pure, no threads of its own;
 * an open pack may be read by many. docs/format.md has the bytes.
 */
#include "format/pack.h"

#include <stdlib.h>
#include "format/format_priv.h"

#define PACK_VERSION	  1
#define PACK_HEAD_BYTES	  16
#define PACK_RECORD_BYTES 48 /* before the payload */
#define PACK_FOOT_BYTES	  48
#define PACK_LOC_BYTES	  16
#define PACK_FAN_BITS_MAX 20
#define PACK_COUNT_MAX	  (UINT32_C(1) << 28)

struct slot { /* one record in the writer's index */
	struct orch_digest digest;
	uint64_t at;
	uint32_t len;
	uint32_t kind;
};

struct fmt_pack_writer {
	struct slot *v;
	uint32_t count, cap;
	uint32_t *set; /* open addressing: index into v, plus 1; 0 is free */
	size_t set_size;
	uint64_t at; /* file position after all that came out */
	uint64_t seed;
};

struct fmt_pack_writer *fmt_pack_writer_new(void)
{
	struct fmt_pack_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	/* what an outsider can't foresee, so that he can't choose digests that collide */
	w->seed = (uint64_t)(uintptr_t)w * UINT64_C(0x9e3779b97f4a7c15);
	return w;
}

void fmt_pack_writer_free(struct fmt_pack_writer *w)
{
	if (w == NULL)
		return;
	free(w->v);
	free(w->set);
	free(w);
}

uint32_t fmt_pack_writer_count(const struct fmt_pack_writer *w)
{
	return w->count;
}

int fmt_pack_writer_begin(struct fmt_pack_writer *w, struct orch_buf *out)
{
	size_t was = out->len;

	ORCH_BUG_ON(w->at != 0);
	fmt_prefix_add(out, FMT_MAGIC_PACK, PACK_VERSION);
	if (!out->failed)
		(void)orch_buf_add_u64(out, orch_xxh64(out->data + was, 8, 0));
	if (fmt_appended(out, was) < 0)
		return -ENOMEM;
	w->at = PACK_HEAD_BYTES;
	return 0;
}

/* Where the digest is or would go in the set. */
static size_t set_place(
    const struct fmt_pack_writer *w, uint32_t kind, const struct orch_digest *digest)
{
	size_t i = (size_t)orch_xxh64(digest->b, ORCH_DIGEST_BYTES, w->seed + kind);

	for (;; i++) {
		const struct slot *s;

		i &= w->set_size - 1;
		if (w->set[i] == 0)
			return i;
		s = &w->v[w->set[i] - 1];
		if (s->kind == kind && orch_digest_eq(&s->digest, digest))
			return i;
	}
}

static int writer_grow(struct fmt_pack_writer *w)
{
	uint32_t cap = w->cap == 0 ? 64 : w->cap * 2;
	struct slot *v;
	uint32_t *set;

	if (w->count < w->cap)
		return 0;
	if (w->count >= PACK_COUNT_MAX)
		return -EOVERFLOW;
	v = reallocarray(w->v, cap, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	w->v = v;
	set = calloc((size_t)cap * 2, sizeof(*set));
	if (set == NULL)
		return -ENOMEM;
	free(w->set);
	w->set = set;
	w->set_size = (size_t)cap * 2;
	w->cap = cap;
	for (uint32_t i = 0; i < w->count; i++)
		set[set_place(w, w->v[i].kind, &w->v[i].digest)] = i + 1;
	return 0;
}

static bool kind_valid(uint32_t kind)
{
	return kind >= FMT_PACK_TREE && kind <= FMT_PACK_OBJECT;
}

/* The record's bytes with the padding to 8; the checksum in front covers all the rest. */
static int record_add(uint32_t kind, const struct orch_digest *digest, const void *p, size_t len,
    struct orch_buf *out)
{
	size_t was = out->len;

	(void)orch_buf_add_u64(out, 0);
	(void)orch_buf_add_u32(out, kind);
	(void)orch_buf_add_u32(out, (uint32_t)len);
	(void)orch_buf_add(out, digest->b, ORCH_DIGEST_BYTES);
	(void)orch_buf_add(out, p, len);
	(void)orch_buf_add_zeros(out, -len & 7);
	if (!out->failed)
		orch_buf_put_u64(out, was, orch_xxh64(out->data + was + 8, out->len - was - 8, 0));
	return fmt_appended(out, was);
}

int fmt_pack_writer_add(struct fmt_pack_writer *w, enum fmt_pack_kind kind,
    const struct orch_digest *digest, const void *p, size_t len, struct orch_buf *out)
{
	size_t place, was = out->len;

	ORCH_BUG_ON(w->at == 0);
	if (!kind_valid(kind))
		return -EINVAL;
	if (len > FMT_PACK_RECORD_MAX)
		return -EFBIG;
	if (writer_grow(w) < 0)
		return w->count >= PACK_COUNT_MAX ? -EOVERFLOW : -ENOMEM;
	place = set_place(w, kind, digest);
	if (w->set[place] != 0)
		return -EEXIST;
	if (record_add(kind, digest, p, len, out) < 0)
		return -ENOMEM;
	w->v[w->count++] = (struct slot){*digest, w->at, (uint32_t)len, kind};
	w->set[place] = w->count;
	w->at += out->len - was;
	return 0;
}

static int slot_cmp(const void *pa, const void *pb)
{
	const struct slot *a = pa, *b = pb;
	int r = orch_digest_cmp(&a->digest, &b->digest);

	return r != 0 ? r : (a->kind > b->kind) - (a->kind < b->kind);
}

/* About eight records for each place of the fan-out table. */
static unsigned fan_bits_for(uint32_t count)
{
	unsigned bits = 0;

	while (bits < PACK_FAN_BITS_MAX && count >> bits > 8)
		bits++;
	return bits;
}

static uint32_t fan_of(const uint8_t *digest, unsigned bits)
{
	uint32_t top = (uint32_t)digest[0] << 24 | (uint32_t)digest[1] << 16 |
		       (uint32_t)digest[2] << 8 | digest[3];

	return bits == 0 ? 0 : top >> (32 - bits);
}

static size_t fan_bytes(unsigned bits)
{
	return ((((size_t)1 << bits) + 1) * 4 + 7) & ~(size_t)7;
}

static void index_add(const struct fmt_pack_writer *w, unsigned bits, struct orch_buf *out)
{
	uint32_t next = 0;
	size_t was = out->len;

	for (uint32_t f = 0; f <= UINT32_C(1) << bits; f++) {
		while (next < w->count && fan_of(w->v[next].digest.b, bits) < f)
			next++;
		(void)orch_buf_add_u32(out, next);
	}
	(void)orch_buf_add_zeros(out, fan_bytes(bits) - (out->len - was));
	for (uint32_t i = 0; i < w->count; i++)
		(void)orch_buf_add(out, w->v[i].digest.b, ORCH_DIGEST_BYTES);
	for (uint32_t i = 0; i < w->count; i++) {
		(void)orch_buf_add_u64(out, w->v[i].at);
		(void)orch_buf_add_u32(out, w->v[i].len);
		(void)orch_buf_add_u32(out, w->v[i].kind);
	}
}

int fmt_pack_writer_end(struct fmt_pack_writer *w, struct orch_buf *out)
{
	unsigned bits = fan_bits_for(w->count);
	size_t was = out->len, index_len, foot;

	ORCH_BUG_ON(w->at == 0);
	if (w->count > 1)
		qsort(w->v, w->count, sizeof(*w->v), slot_cmp);
	free(w->set); /* it speaks of the old order; nothing may be added any more */
	w->set = NULL;
	w->cap = w->count;
	index_add(w, bits, out);
	index_len = out->len - was;
	foot = out->len;
	fmt_prefix_add(out, FMT_MAGIC_PACK_END, PACK_VERSION);
	(void)orch_buf_add_u32(out, w->count);
	(void)orch_buf_add_u32(out, bits);
	(void)orch_buf_add_u64(out, w->at);
	(void)orch_buf_add_u64(out, index_len);
	if (!out->failed) {
		(void)orch_buf_add_u64(out, orch_xxh64(out->data + was, index_len, 0));
		(void)orch_buf_add_u64(out, orch_xxh64(out->data + foot, 40, 0));
	}
	return fmt_appended(out, was);
}

/* ---- reading ---- */

struct pack_index { /* where the parts of a checked index are */
	const uint8_t *fan, *digests, *locs;
	unsigned bits;
};

static struct pack_index pack_index(const struct fmt_pack *k)
{
	struct pack_index x;

	x.bits = k->bits;
	x.fan = k->p + k->index_at;
	x.digests = x.fan + fan_bytes(x.bits);
	x.locs = x.digests + (size_t)k->count * ORCH_DIGEST_BYTES;
	return x;
}

static int foot_check(const uint8_t *p, size_t len, struct fmt_pack *out, struct orch_err *err)
{
	const uint8_t *foot = p + len - PACK_FOOT_BYTES;
	struct orch_cursor c = orch_cursor_make(foot, PACK_FOOT_BYTES);
	uint64_t index_at, index_len;
	uint32_t count, bits;
	int r = fmt_prefix_check(&c, FMT_MAGIC_PACK_END, PACK_VERSION, "pack footer", err);

	if (r < 0)
		return r;
	count = orch_cursor_u32(&c);
	bits = orch_cursor_u32(&c);
	index_at = orch_cursor_u64(&c);
	index_len = orch_cursor_u64(&c);
	if (orch_le64(foot + 40) != orch_xxh64(foot, 40, 0))
		return fmt_corrupt(err, "pack", "checksum of its footer");
	if (count > PACK_COUNT_MAX || bits > PACK_FAN_BITS_MAX || index_at < PACK_HEAD_BYTES ||
	    index_at % 8 != 0 || index_at > len - PACK_FOOT_BYTES ||
	    index_len != len - PACK_FOOT_BYTES - index_at ||
	    index_len != fan_bytes(bits) + (uint64_t)count * (ORCH_DIGEST_BYTES + PACK_LOC_BYTES))
		return fmt_corrupt(err, "pack", "its footer does not fit its length");
	if (orch_cursor_u64(&c) != orch_xxh64(p + index_at, index_len, 0))
		return fmt_corrupt(err, "pack", "checksum of its index");
	*out = (struct fmt_pack){
	    .p = p, .len = len, .count = count, .index_at = index_at, .bits = bits};
	return 0;
}

static bool fan_valid(const struct fmt_pack *k, const struct pack_index *x)
{
	size_t n = ((size_t)1 << x->bits) + 1;

	if (orch_le32(x->fan) != 0 || orch_le32(x->fan + (n - 1) * 4) != k->count)
		return false;
	for (size_t i = 1; i < n; i++) {
		if (orch_le32(x->fan + i * 4) < orch_le32(x->fan + (i - 1) * 4))
			return false;
	}
	return true;
}

static bool inside(const struct fmt_pack *k, uint64_t at, uint32_t len)
{
	return at >= PACK_HEAD_BYTES && at % 8 == 0 && len <= FMT_PACK_RECORD_MAX &&
	       at <= k->index_at &&
	       k->index_at - at >= PACK_RECORD_BYTES + (((uint64_t)len + 7) & ~7u);
}

/* Record i: in its bucket, after the one before, inside the data. */
static bool loc_valid(const struct fmt_pack *k, const struct pack_index *x, uint32_t i)
{
	const uint8_t *digest = x->digests + (size_t)i * ORCH_DIGEST_BYTES;
	const uint8_t *loc = x->locs + (size_t)i * PACK_LOC_BYTES;
	uint64_t at = orch_le64(loc);
	uint32_t len = orch_le32(loc + 8), kind = orch_le32(loc + 12);
	uint32_t f = fan_of(digest, x->bits);

	if (i < orch_le32(x->fan + (size_t)f * 4) || i >= orch_le32(x->fan + (size_t)f * 4 + 4))
		return false;
	if (i > 0) {
		int cmp = memcmp(digest - ORCH_DIGEST_BYTES, digest, ORCH_DIGEST_BYTES);

		if (cmp > 0 || (cmp == 0 && orch_le32(loc - 4) >= kind))
			return false;
	}
	return kind_valid(kind) && inside(k, at, len);
}

int fmt_pack_open(const void *p, size_t len, struct fmt_pack *out, struct orch_err *err)
{
	struct orch_cursor c = orch_cursor_make(p, len);
	struct pack_index x;
	struct fmt_pack k;
	int r = fmt_prefix_check(&c, FMT_MAGIC_PACK, PACK_VERSION, "pack", err);

	if (r < 0)
		return r;
	if (len < PACK_HEAD_BYTES + PACK_FOOT_BYTES)
		return fmt_corrupt(err, "pack", "it is cut");
	if (orch_cursor_u64(&c) != orch_xxh64(p, 8, 0))
		return fmt_corrupt(err, "pack", "checksum of its header");
	r = foot_check(p, len, &k, err);
	if (r < 0)
		return r;
	x = pack_index(&k);
	if (!fan_valid(&k, &x))
		return fmt_corrupt(err, "pack", "its fan-out table is not valid");
	for (uint32_t i = 0; i < k.count; i++) {
		if (!loc_valid(&k, &x, i))
			return fmt_corrupt(err, "pack", "its index is not valid");
	}
	*out = k;
	return 0;
}

int fmt_pack_at(
    const struct fmt_pack *k, uint32_t i, struct fmt_pack_record *out, struct orch_err *err)
{
	struct pack_index x = pack_index(k);
	const uint8_t *digest, *loc, *rec;
	uint32_t len, kind;
	uint64_t at;

	ORCH_BUG_ON(i >= k->count);
	digest = x.digests + (size_t)i * ORCH_DIGEST_BYTES;
	loc = x.locs + (size_t)i * PACK_LOC_BYTES;
	at = orch_le64(loc);
	len = orch_le32(loc + 8);
	kind = orch_le32(loc + 12);
	/* checked when it was opened; but a page of the mapping may have become zeros since */
	if (!inside(k, at, len))
		return fmt_corrupt(err, "pack", "its index is not what it was");
	rec = k->p + at;
	if (orch_le32(rec + 8) != kind || orch_le32(rec + 12) != len ||
	    memcmp(rec + 16, digest, ORCH_DIGEST_BYTES) != 0)
		return fmt_corrupt(err, "pack record", "it is not the one that the index means");
	if (orch_le64(rec) !=
	    orch_xxh64(rec + 8, PACK_RECORD_BYTES - 8 + (((size_t)len + 7) & ~(size_t)7), 0))
		return fmt_corrupt(err, "pack record", "checksum");
	out->kind = kind;
	memcpy(out->digest.b, digest, ORCH_DIGEST_BYTES);
	out->p = rec + PACK_RECORD_BYTES;
	out->len = len;
	return 0;
}

/* The first record of the bucket whose digest is not less. */
static uint32_t lower_bound(
    const struct pack_index *x, uint32_t count, const struct orch_digest *digest)
{
	uint32_t f = fan_of(digest->b, x->bits);
	uint32_t lo = orch_le32(x->fan + (size_t)f * 4), hi = orch_le32(x->fan + (size_t)f * 4 + 4);

	if (hi > count)
		hi = count;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (memcmp(x->digests + (size_t)mid * ORCH_DIGEST_BYTES, digest->b,
			ORCH_DIGEST_BYTES) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int fmt_pack_find(const struct fmt_pack *k, enum fmt_pack_kind kind,
    const struct orch_digest *digest, struct fmt_pack_record *out, struct orch_err *err)
{
	struct pack_index x = pack_index(k);

	for (uint32_t i = lower_bound(&x, k->count, digest); i < k->count; i++) {
		if (memcmp(x.digests + (size_t)i * ORCH_DIGEST_BYTES, digest->b,
			ORCH_DIGEST_BYTES) != 0)
			break;
		if (orch_le32(x.locs + (size_t)i * PACK_LOC_BYTES + 12) == (uint32_t)kind)
			return fmt_pack_at(k, i, out, err);
	}
	return -ENOENT;
}

bool fmt_pack_has(
    const struct fmt_pack *k, enum fmt_pack_kind kind, const struct orch_digest *digest)
{
	struct pack_index x = pack_index(k);

	for (uint32_t i = lower_bound(&x, k->count, digest); i < k->count; i++) {
		if (memcmp(x.digests + (size_t)i * ORCH_DIGEST_BYTES, digest->b,
			ORCH_DIGEST_BYTES) != 0)
			return false;
		if (orch_le32(x.locs + (size_t)i * PACK_LOC_BYTES + 12) == (uint32_t)kind)
			return true;
	}
	return false;
}
