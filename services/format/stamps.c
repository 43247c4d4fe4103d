/*
 * Stamps: fixed records, so that entry i is found by arithmetic; the digests of folders lie in a
 * table behind them, since most entries are files. Pure. docs/format.md has the bytes.
 */
#include "format/stamps.h"

#include <stdlib.h>
#include "format/format_priv.h"

#define STAMPS_VERSION	  1
#define STAMPS_HEAD_BYTES 16
#define STAMP_BYTES	  24

struct fmt_stamps_builder {
	struct orch_buf records;
	struct orch_buf digests;
	uint32_t count, dirs;
};

struct fmt_stamps_builder *fmt_stamps_builder_new(void)
{
	struct fmt_stamps_builder *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	orch_buf_init(&b->records, (size_t)FMT_TREE_ENTRIES_MAX * STAMP_BYTES);
	orch_buf_init(&b->digests, (size_t)FMT_TREE_ENTRIES_MAX * ORCH_DIGEST_BYTES);
	return b;
}

void fmt_stamps_builder_free(struct fmt_stamps_builder *b)
{
	if (b == NULL)
		return;
	orch_buf_fini(&b->records);
	orch_buf_fini(&b->digests);
	free(b);
}

void fmt_stamps_builder_reset(struct fmt_stamps_builder *b)
{
	orch_buf_reset(&b->records);
	orch_buf_reset(&b->digests);
	b->count = 0;
	b->dirs = 0;
}

static const char *stamp_fault(const struct fmt_stamp *s)
{
	if (s->ino == 0 || s->ino == UINT64_MAX)
		return "invalid inode number";
	if (s->nlink == 0)
		return "no link";
	if (s->nlink != 1 && !orch_digest_is_null(&s->stamps))
		return "a folder with several links";
	return NULL;
}

int fmt_stamps_builder_add(struct fmt_stamps_builder *b, const struct fmt_stamp *s)
{
	bool dir = !orch_digest_is_null(&s->stamps);

	if (stamp_fault(s) != NULL)
		return -EINVAL;
	if (b->count >= FMT_TREE_ENTRIES_MAX)
		return -EOVERFLOW;
	if (orch_buf_reserve(&b->records, STAMP_BYTES) < 0 ||
	    orch_buf_reserve(&b->digests, ORCH_DIGEST_BYTES) < 0) {
		b->records.failed = b->digests.failed = false;
		return -ENOMEM;
	}
	if (dir) {
		(void)orch_buf_add(&b->digests, s->stamps.b, ORCH_DIGEST_BYTES);
		b->dirs++;
	}
	(void)orch_buf_add_u64(&b->records, s->ino);
	(void)orch_buf_add_u64(&b->records, (uint64_t)s->mtime_ns);
	(void)orch_buf_add_u32(&b->records, s->nlink);
	(void)orch_buf_add_u32(&b->records, dir ? b->dirs : 0);
	b->count++;
	return 0;
}

int fmt_stamps_builder_end(struct fmt_stamps_builder *b, struct orch_buf *out)
{
	size_t was = out->len;

	fmt_prefix_add(out, FMT_MAGIC_STAMPS, STAMPS_VERSION);
	(void)orch_buf_add_u32(out, b->count);
	(void)orch_buf_add_u32(out, b->dirs);
	if (b->count > 0)
		(void)orch_buf_add(out, b->records.data, b->records.len);
	if (b->dirs > 0)
		(void)orch_buf_add(out, b->digests.data, b->digests.len);
	return fmt_appended(out, was);
}

static uint32_t stamps_dirs(const struct fmt_stamps *s)
{
	return (uint32_t)((s->len - STAMPS_HEAD_BYTES - (size_t)s->count * STAMP_BYTES) /
			  ORCH_DIGEST_BYTES);
}

int fmt_stamps_open(const void *p, size_t len, struct fmt_stamps *out, struct orch_err *err)
{
	struct orch_cursor c = orch_cursor_make(p, len);
	uint32_t count, dirs;
	int r = fmt_prefix_check(&c, FMT_MAGIC_STAMPS, STAMPS_VERSION, "stamps", err);

	if (r < 0)
		return r;
	count = orch_cursor_u32(&c);
	dirs = orch_cursor_u32(&c);
	if (c.failed || count > FMT_TREE_ENTRIES_MAX || dirs > count ||
	    orch_cursor_left(&c) != (size_t)count * STAMP_BYTES + (size_t)dirs * ORCH_DIGEST_BYTES)
		return fmt_corrupt(err, "stamps", "their header does not fit their length");
	*out = (struct fmt_stamps){.p = p, .len = len, .count = count};
	return 0;
}

int fmt_stamps_get(
    const struct fmt_stamps *s, uint32_t i, struct fmt_stamp *out, struct orch_err *err)
{
	const uint8_t *r, *digests;
	struct fmt_stamp v = {0};
	const char *fault;
	uint32_t dir;

	ORCH_BUG_ON(i >= s->count);
	r = s->p + STAMPS_HEAD_BYTES + (size_t)i * STAMP_BYTES;
	digests = s->p + STAMPS_HEAD_BYTES + (size_t)s->count * STAMP_BYTES;
	v.ino = orch_le64(r);
	v.mtime_ns = (int64_t)orch_le64(r + 8);
	v.nlink = orch_le32(r + 16);
	dir = orch_le32(r + 20);
	if (dir > stamps_dirs(s))
		return fmt_corrupt(err, "stamps", "folder number beyond the table");
	if (dir > 0) {
		memcpy(
		    v.stamps.b, digests + (size_t)(dir - 1) * ORCH_DIGEST_BYTES, ORCH_DIGEST_BYTES);
		if (orch_digest_is_null(&v.stamps))
			return fmt_corrupt(err, "stamps", "a folder without a digest");
	}
	fault = stamp_fault(&v);
	if (fault != NULL)
		return fmt_corrupt(err, "stamps", fault);
	*out = v;
	return 0;
}

int fmt_stamps_check(const void *p, size_t len, struct orch_err *err)
{
	uint32_t dirs = 0;
	struct fmt_stamps s;
	struct fmt_stamp v;
	int r = fmt_stamps_open(p, len, &s, err);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < s.count; i++) {
		r = fmt_stamps_get(&s, i, &v, err);
		if (r < 0)
			return r;
		if (!orch_digest_is_null(&v.stamps) &&
		    orch_le32(s.p + STAMPS_HEAD_BYTES + (size_t)i * STAMP_BYTES + 20) != ++dirs)
			return fmt_corrupt(err, "stamps", "folder numbers are not in order");
	}
	if (dirs != stamps_dirs(&s))
		return fmt_corrupt(err, "stamps", "digests that belong to no folder");
	return 0;
}
