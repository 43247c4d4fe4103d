/*
 * The scan index: entries in rising order of path, then a table of where they are, then a footer
 * with a checksum of everything. Pure. docs/format.md has the bytes.
 */
#include "format/scan.h"

#include <stdlib.h>
#include "format/format_priv.h"

#define SCAN_VERSION	1
#define SCAN_HEAD_BYTES 56
#define SCAN_FOOT_BYTES 32
#define SCAN_FIXED	98 /* of an entry, before its path */
#define SCAN_PATH_MAX	4095
#define SCAN_COUNT_MAX	(UINT64_C(1) << 32)

struct fmt_scan_writer {
	struct fmt_scan_head head;
	struct orch_xxh128 *sum;
	struct orch_buf table;
	uint64_t at, count;
	char path[SCAN_PATH_MAX]; /* the last one */
	size_t path_len;
	bool begun;
};

struct fmt_scan_writer *fmt_scan_writer_new(const struct fmt_scan_head *head)
{
	struct fmt_scan_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->sum = orch_xxh128_new();
	if (w->sum == NULL) {
		free(w);
		return NULL;
	}
	orch_xxh128_reset(w->sum, 0);
	orch_buf_init(&w->table, SIZE_MAX / 4);
	w->head = *head;
	return w;
}

void fmt_scan_writer_free(struct fmt_scan_writer *w)
{
	if (w == NULL)
		return;
	orch_xxh128_free(w->sum);
	orch_buf_fini(&w->table);
	free(w);
}

/* What came out since `was` is part of the file now. */
static int scan_emitted(struct fmt_scan_writer *w, struct orch_buf *out, size_t was)
{
	if (fmt_appended(out, was) < 0)
		return -ENOMEM;
	orch_xxh128_add(w->sum, out->data + was, out->len - was);
	w->at += out->len - was;
	return 0;
}

static int scan_begin(struct fmt_scan_writer *w, struct orch_buf *out)
{
	size_t was = out->len;
	int r;

	if (w->begun)
		return 0;
	fmt_prefix_add(out, FMT_MAGIC_SCAN, SCAN_VERSION);
	(void)orch_buf_add(out, w->head.snapshot.b, ORCH_DIGEST_BYTES);
	(void)orch_buf_add_u64(out, (uint64_t)w->head.started_wall_ns);
	(void)orch_buf_add_u64(out, w->head.seed_check);
	r = scan_emitted(w, out, was);
	w->begun = r == 0;
	return r;
}

static int path_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int r = memcmp(a, b, a_len < b_len ? a_len : b_len);

	if (r != 0)
		return r;
	return (a_len > b_len) - (a_len < b_len);
}

int fmt_scan_writer_add(
    struct fmt_scan_writer *w, const struct fmt_scan_entry *e, struct orch_buf *out)
{
	size_t was;
	int r;

	if (e->path_len == 0 || e->path_len > SCAN_PATH_MAX || w->count >= SCAN_COUNT_MAX ||
	    memchr(e->path, '\0', e->path_len) != NULL ||
	    (w->count > 0 && path_cmp(w->path, w->path_len, e->path, e->path_len) >= 0))
		return -EINVAL;
	r = scan_begin(w, out);
	if (r < 0)
		return r;
	if (orch_buf_reserve(&w->table, 8) < 0) {
		w->table.failed = false;
		return -ENOMEM;
	}
	was = out->len;
	(void)orch_buf_add_u64(out, e->dev);
	(void)orch_buf_add_u64(out, e->ino);
	(void)orch_buf_add_u64(out, e->size);
	(void)orch_buf_add_u64(out, (uint64_t)e->mtime_ns);
	(void)orch_buf_add_u64(out, (uint64_t)e->ctime_ns);
	(void)orch_buf_add_u64(out, e->fingerprint.lo);
	(void)orch_buf_add_u64(out, e->fingerprint.hi);
	(void)orch_buf_add(out, e->object.b, ORCH_DIGEST_BYTES);
	(void)orch_buf_add_u32(out, e->mode);
	(void)orch_buf_add_u32(out, e->has_xattrs ? 1 : 0);
	(void)orch_buf_add_u16(out, (uint16_t)e->path_len);
	(void)orch_buf_add(out, e->path, e->path_len);
	(void)orch_buf_add_u64(&w->table, w->at);
	r = scan_emitted(w, out, was);
	if (r < 0) {
		w->table.len -= 8;
		return r;
	}
	memcpy(w->path, e->path, e->path_len);
	w->path_len = e->path_len;
	w->count++;
	return 0;
}

int fmt_scan_writer_end(struct fmt_scan_writer *w, struct orch_buf *out)
{
	uint64_t table_at;
	struct orch_fingerprint sum;
	size_t was;
	int r = scan_begin(w, out);

	if (r < 0)
		return r;
	was = out->len;
	(void)orch_buf_add_zeros(out, -w->at & 7);
	table_at = w->at + (-w->at & 7);
	if (w->count > 0)
		(void)orch_buf_add(out, w->table.data, w->table.len);
	(void)orch_buf_add_u64(out, w->count);
	(void)orch_buf_add_u64(out, table_at);
	r = scan_emitted(w, out, was);
	if (r < 0)
		return r;
	orch_xxh128_end(w->sum, &sum);
	was = out->len;
	(void)orch_buf_add_u64(out, sum.lo);
	(void)orch_buf_add_u64(out, sum.hi);
	return fmt_appended(out, was);
}

/* ---- reading ---- */

static int scan_sum_check(const uint8_t *p, size_t len, struct orch_err *err)
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
		return fmt_corrupt(err, "scan index", "checksum");
	return 0;
}

int fmt_scan_open(const void *p, size_t len, struct fmt_scan *out, struct orch_err *err)
{
	struct orch_cursor c = orch_cursor_make(p, len);
	struct fmt_scan s = {.p = p, .len = len};
	const uint8_t *snapshot;
	uint64_t table_at;
	int r = fmt_prefix_check(&c, FMT_MAGIC_SCAN, SCAN_VERSION, "scan index", err);

	if (r < 0)
		return r;
	if (len < SCAN_HEAD_BYTES + SCAN_FOOT_BYTES)
		return fmt_corrupt(err, "scan index", "it is cut");
	r = scan_sum_check(p, len, err);
	if (r < 0)
		return r;
	snapshot = orch_cursor_bytes(&c, ORCH_DIGEST_BYTES);
	memcpy(s.head.snapshot.b, snapshot, ORCH_DIGEST_BYTES);
	s.head.started_wall_ns = (int64_t)orch_cursor_u64(&c);
	s.head.seed_check = orch_cursor_u64(&c);
	s.count = orch_le64(s.p + len - SCAN_FOOT_BYTES);
	table_at = orch_le64(s.p + len - SCAN_FOOT_BYTES + 8);
	if (s.count > SCAN_COUNT_MAX || table_at < SCAN_HEAD_BYTES || table_at % 8 != 0 ||
	    table_at > len - SCAN_FOOT_BYTES || len - SCAN_FOOT_BYTES - table_at != s.count * 8)
		return fmt_corrupt(err, "scan index", "its footer does not fit its length");
	s.table_at = (size_t)table_at;
	*out = s;
	return 0;
}

/* The path of entry i; false when the bytes are not valid there. */
static bool scan_path(const struct fmt_scan *s, uint64_t i, struct orch_cursor *out_entry,
    const char **out_path, size_t *out_len)
{
	uint64_t at = orch_le64(s->p + s->table_at + (size_t)i * 8);
	struct orch_cursor c;

	if (at < SCAN_HEAD_BYTES || at > s->table_at)
		return false;
	c = orch_cursor_make(s->p + at, s->table_at - (size_t)at);
	*out_entry = c;
	orch_cursor_skip(&c, SCAN_FIXED - 2);
	*out_len = orch_cursor_u16(&c);
	*out_path = (const char *)orch_cursor_bytes(&c, *out_len);
	return !c.failed && *out_len > 0;
}

static void scan_read(
    struct orch_cursor *c, const char *path, size_t path_len, struct fmt_scan_entry *out)
{
	const uint8_t *digest;

	out->path = path;
	out->path_len = path_len;
	out->dev = orch_cursor_u64(c);
	out->ino = orch_cursor_u64(c);
	out->size = orch_cursor_u64(c);
	out->mtime_ns = (int64_t)orch_cursor_u64(c);
	out->ctime_ns = (int64_t)orch_cursor_u64(c);
	out->fingerprint.lo = orch_cursor_u64(c);
	out->fingerprint.hi = orch_cursor_u64(c);
	digest = orch_cursor_bytes(c, ORCH_DIGEST_BYTES);
	memcpy(out->object.b, digest, ORCH_DIGEST_BYTES); /* scan_path saw all these bytes */
	out->mode = orch_cursor_u32(c);
	out->has_xattrs = orch_cursor_u32(c) != 0;
}

int fmt_scan_find(
    const struct fmt_scan *s, const char *path, size_t path_len, struct fmt_scan_entry *out)
{
	uint64_t lo = 0, hi = s->count;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		struct orch_cursor entry;
		const char *p;
		size_t len;
		int cmp;

		if (!scan_path(s, mid, &entry, &p, &len))
			return -ENOENT; /* then the file is read again, which is always right */
		cmp = path_cmp(path, path_len, p, len);
		if (cmp == 0) {
			scan_read(&entry, p, len, out);
			return 0;
		}
		if (cmp < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return -ENOENT;
}
