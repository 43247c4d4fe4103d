/* The identity of a snapshot. Pure. docs/format.md has the bytes. */
#include "format/snapshot.h"
#include "core/utf8.h"
#include "format/format_priv.h"

#define SNAPSHOT_VERSION    1
#define SNAPSHOT_SOURCE_MAX 4096

static const char *snapshot_fault(const struct fmt_snapshot *s)
{
	if (s->next_ino <= FMT_ROOT_INO || s->next_ino == UINT64_MAX)
		return "invalid counter of inode numbers";
	if (s->source_len > SNAPSHOT_SOURCE_MAX)
		return "source identity is too long";
	if (s->source_len > 0 && !orch_utf8_valid(s->source, s->source_len))
		return "source identity is not UTF-8";
	if (orch_digest_is_null(&s->stamps) || orch_digest_is_null(&s->root.digest))
		return "without a tree or stamps";
	return NULL;
}

int fmt_snapshot_format(const struct fmt_snapshot *s, struct orch_buf *out)
{
	size_t was = out->len, root_at;
	int r = fmt_entry_check(&s->root, true, NULL);

	if (r < 0 || snapshot_fault(s) != NULL)
		return -EINVAL;
	fmt_prefix_add(out, FMT_MAGIC_SNAPSHOT, SNAPSHOT_VERSION);
	(void)orch_buf_add(out, s->stamps.b, ORCH_DIGEST_BYTES);
	(void)orch_buf_add_u64(out, (uint64_t)s->root_mtime_ns);
	(void)orch_buf_add_u64(out, s->next_ino);
	(void)orch_buf_add_u32(out, (uint32_t)s->source_len);
	(void)orch_buf_add_u32(out, 0);
	root_at = out->len;
	fmt_entry_encode(&s->root, out);
	if (!out->failed)
		orch_buf_put_u32(out, root_at - 4, (uint32_t)(out->len - root_at));
	if (s->source_len > 0)
		(void)orch_buf_add(out, s->source, s->source_len);
	return fmt_appended(out, was);
}

int fmt_snapshot_parse(const void *p, size_t len, struct fmt_snapshot *out, struct orch_err *err)
{
	struct orch_cursor c = orch_cursor_make(p, len);
	const uint8_t *stamps, *root;
	struct fmt_snapshot s = {0};
	const char *fault;
	uint32_t root_len;
	int r = fmt_prefix_check(&c, FMT_MAGIC_SNAPSHOT, SNAPSHOT_VERSION, "snapshot", err);

	if (r < 0)
		return r;
	stamps = orch_cursor_bytes(&c, ORCH_DIGEST_BYTES);
	s.root_mtime_ns = (int64_t)orch_cursor_u64(&c);
	s.next_ino = orch_cursor_u64(&c);
	s.source_len = orch_cursor_u32(&c);
	root_len = orch_cursor_u32(&c);
	root = orch_cursor_bytes(&c, root_len);
	s.source = (const char *)orch_cursor_bytes(&c, s.source_len);
	if (c.failed || orch_cursor_left(&c) != 0)
		return fmt_corrupt(err, "snapshot", "its fields do not fill its bytes");
	memcpy(s.stamps.b, stamps, ORCH_DIGEST_BYTES);
	r = fmt_entry_decode(root, root_len, true, &s.root, err);
	if (r < 0) {
		orch_err_wrap(err, "root of a snapshot");
		return r;
	}
	fault = snapshot_fault(&s);
	if (fault != NULL)
		return fmt_corrupt(err, "snapshot", fault);
	*out = s;
	return 0;
}
