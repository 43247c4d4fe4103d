/*
 * One entry of a directory and its extended attributes: validation, encoding, decoding.
 * Pure. docs/format.md has the bytes.
 */
#include "format/entry.h"
#include "format/format_priv.h"

#define ENTRY_HAS_OWNER	 0x10u
#define ENTRY_HAS_XATTRS 0x20u
#define ENTRY_TYPE_MASK	 0x0fu

void fmt_prefix_add(struct orch_buf *out, uint32_t magic, uint16_t version)
{
	(void)orch_buf_add_u32(out, magic);
	(void)orch_buf_add_u16(out, version);
	(void)orch_buf_add_u16(out, 0);
}

int fmt_prefix_check(
    struct orch_cursor *c, uint32_t magic, uint16_t version, const char *what, struct orch_err *err)
{
	uint32_t got_magic = orch_cursor_u32(c);
	uint16_t got_version = orch_cursor_u16(c);
	uint16_t flags = orch_cursor_u16(c);

	if (c->failed || got_magic != magic)
		return orch_err_set(err, ORCH_ECORRUPT, "not a %s", what);
	if (got_version != version)
		return orch_err_set(err, ORCH_EFORMAT,
		    "%s has format version %u, this program knows %u", what, got_version, version);
	if (flags != 0)
		return fmt_corrupt(err, what, "reserved bits are set");
	return 0;
}

int fmt_corrupt(struct orch_err *err, const char *what, const char *why)
{
	return orch_err_set(err, ORCH_ECORRUPT, "corrupt %s: %s", what, why);
}

int fmt_appended(struct orch_buf *out, size_t was)
{
	if (!out->failed)
		return 0;
	out->len = was;
	if (out->data != NULL)
		out->data[was] = '\0';
	return -ENOMEM;
}

bool fmt_name_valid(const char *name, size_t len)
{
	if (len == 0 || len > FMT_NAME_MAX)
		return false;
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return false;
	return memchr(name, '/', len) == NULL && memchr(name, '\0', len) == NULL;
}

bool fmt_all_zero(const uint8_t *p, size_t n)
{
	for (; n >= 8; p += 8, n -= 8) {
		if (orch_le64(p) != 0)
			return false;
	}
	for (; n > 0; p++, n--) {
		if (*p != 0)
			return false;
	}
	return true;
}

/* ---- extended attributes ---- */

static int name_cmp(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int r = memcmp(a, b, a_len < b_len ? a_len : b_len);

	if (r != 0)
		return r;
	return (a_len > b_len) - (a_len < b_len);
}

/* Reads one attribute; false when the bytes are not one. */
static bool xattr_read(struct orch_cursor *c, struct fmt_xattr *out)
{
	out->name_len = orch_cursor_u8(c);
	out->name = (const char *)orch_cursor_bytes(c, out->name_len);
	out->value_len = orch_cursor_u32(c);
	out->value = orch_cursor_bytes(c, out->value_len);
	return !c->failed && out->name_len > 0 && out->value_len <= FMT_XATTR_VALUE_MAX &&
	       memchr(out->name, '\0', out->name_len) == NULL;
}

int fmt_xattrs_check(const uint8_t *p, size_t len)
{
	struct fmt_xattr prev = {0}, cur;
	struct orch_cursor c;
	uint16_t count;

	if (len == 0)
		return 0;
	if (len > FMT_XATTRS_MAX)
		return -ORCH_ECORRUPT;
	c = orch_cursor_make(p, len);
	count = orch_cursor_u16(&c);
	if (count == 0)
		return -ORCH_ECORRUPT; /* an empty list has no bytes at all */
	for (uint16_t i = 0; i < count; i++) {
		if (!xattr_read(&c, &cur))
			return -ORCH_ECORRUPT;
		if (i > 0 && name_cmp(prev.name, prev.name_len, cur.name, cur.name_len) >= 0)
			return -ORCH_ECORRUPT;
		prev = cur;
	}
	return orch_cursor_left(&c) == 0 ? 0 : -ORCH_ECORRUPT;
}

size_t fmt_xattrs_count(const struct fmt_xattrs *x)
{
	return x->len == 0 ? 0 : orch_le16(x->p);
}

bool fmt_xattrs_next(const struct fmt_xattrs *x, size_t *pos, struct fmt_xattr *out)
{
	struct orch_cursor c;
	size_t at = *pos == 0 ? 2 : *pos;

	if (at >= x->len)
		return false;
	c = orch_cursor_make(x->p + at, x->len - at);
	if (!xattr_read(&c, out))
		return false;
	*pos = x->len - orch_cursor_left(&c);
	return true;
}

bool fmt_xattrs_find(const struct fmt_xattrs *x, const char *name, struct fmt_xattr *out)
{
	size_t pos = 0, name_len = strlen(name);
	struct fmt_xattr a;

	while (fmt_xattrs_next(x, &pos, &a)) {
		if (a.name_len == name_len && memcmp(a.name, name, name_len) == 0) {
			*out = a;
			return true;
		}
	}
	return false;
}

static void xattr_add(struct orch_buf *out, const struct fmt_xattr *a)
{
	(void)orch_buf_add_u8(out, (uint8_t)a->name_len);
	(void)orch_buf_add(out, a->name, a->name_len);
	(void)orch_buf_add_u32(out, (uint32_t)a->value_len);
	(void)orch_buf_add(out, a->value, a->value_len);
}

/* The new list without its count; the number of its attributes, through *out_old whether one of
 * that name was there. */
static unsigned xattrs_merge(
    const struct fmt_xattrs *x, const struct fmt_xattr *set, struct orch_buf *out, bool *out_old)
{
	bool done = set->value == NULL;
	struct fmt_xattr a;
	unsigned count = 0;
	size_t pos = 0;

	*out_old = false;
	while (fmt_xattrs_next(x, &pos, &a)) {
		int cmp = name_cmp(a.name, a.name_len, set->name, set->name_len);

		if (cmp >= 0 && !done) {
			xattr_add(out, set);
			done = true;
			count++;
		}
		if (cmp == 0) {
			*out_old = true;
			continue;
		}
		xattr_add(out, &a);
		count++;
	}
	if (!done) {
		xattr_add(out, set);
		count++;
	}
	return count;
}

int fmt_xattrs_with(const struct fmt_xattrs *x, const char *name, const void *value,
    size_t value_len, struct orch_buf *out)
{
	struct fmt_xattr set = {
	    .name = name, .name_len = strlen(name), .value = value, .value_len = value_len};
	orch_auto(buf) struct orch_buf list = ORCH_BUF_INIT;
	unsigned count;
	bool old;

	if (set.name_len == 0)
		return -EINVAL;
	if (set.name_len > FMT_XATTR_NAME_MAX)
		return -ERANGE;
	if (value != NULL && value_len > FMT_XATTR_VALUE_MAX)
		return -E2BIG;
	count = xattrs_merge(x, &set, &list, &old);
	if (value == NULL && !old)
		return -ENODATA;
	if (list.failed)
		return -ENOMEM;
	if (count > UINT16_MAX || list.len + 2 > FMT_XATTRS_MAX)
		return -ENOSPC;
	if (count == 0)
		return 0;
	if (orch_buf_reserve(out, list.len + 2) < 0)
		return -ENOMEM;
	(void)orch_buf_add_u16(out, (uint16_t)count);
	return orch_buf_add(out, list.data, list.len);
}

/* ---- entries ---- */

static const char *entry_fault(const struct fmt_entry *e, bool root)
{
	if (root ? e->name_len != 0 || e->type != FMT_DIR : !fmt_name_valid(e->name, e->name_len))
		return "invalid name";
	if (e->type != FMT_REG && e->type != FMT_DIR && e->type != FMT_SYMLINK)
		return "type is not a file, folder or symlink";
	if (e->mode > 07777)
		return "mode has more than permission bits";
	if (e->type != FMT_DIR && e->count != 0)
		return "count on what is not a folder";
	if (e->type == FMT_SYMLINK) {
		if (e->target_len == 0 || e->target_len > FMT_SYMLINK_MAX ||
		    e->size != e->target_len || memchr(e->target, '\0', e->target_len) != NULL)
			return "invalid symlink target";
		if (!orch_digest_is_null(&e->digest))
			return "digest on a symlink";
	} else if (e->target_len != 0) {
		return "target on what is not a symlink";
	} else if (e->size > INT64_MAX) {
		return "size beyond 2^63";
	}
	if (fmt_xattrs_check(e->xattrs.p, e->xattrs.len) < 0)
		return "invalid extended attributes";
	return NULL;
}

int fmt_entry_check(const struct fmt_entry *e, bool root, struct orch_err *err)
{
	const char *fault = entry_fault(e, root);

	if (fault == NULL)
		return 0;
	return orch_err_set(err, EINVAL, "entry \"%.*s\": %s",
	    e->name_len > 255 ? 255 : (int)e->name_len, e->name == NULL ? "" : e->name, fault);
}

static bool entry_has_owner(const struct fmt_entry *e)
{
	return e->uid != FMT_ID_OWNER || e->gid != FMT_ID_OWNER;
}

void fmt_entry_encode(const struct fmt_entry *e, struct orch_buf *out)
{
	uint8_t bits = (uint8_t)e->type;

	if (entry_has_owner(e))
		bits |= ENTRY_HAS_OWNER;
	if (e->xattrs.len > 0)
		bits |= ENTRY_HAS_XATTRS;
	(void)orch_buf_add_u8(out, (uint8_t)e->name_len);
	(void)orch_buf_add_u8(out, bits);
	(void)orch_buf_add_u16(out, (uint16_t)e->mode);
	(void)orch_buf_add_u64(out, e->size);
	(void)orch_buf_add(out, e->name, e->name_len);
	if (e->type == FMT_DIR)
		(void)orch_buf_add_u64(out, e->count);
	if (e->type == FMT_SYMLINK)
		(void)orch_buf_add(out, e->target, e->target_len);
	else
		(void)orch_buf_add(out, e->digest.b, ORCH_DIGEST_BYTES);
	if (bits & ENTRY_HAS_OWNER) {
		(void)orch_buf_add_u32(out, e->uid);
		(void)orch_buf_add_u32(out, e->gid);
	}
	if (bits & ENTRY_HAS_XATTRS) {
		(void)orch_buf_add_u32(out, (uint32_t)e->xattrs.len);
		(void)orch_buf_add(out, e->xattrs.p, e->xattrs.len);
	}
}

/* Fills *e from the bytes; what it says is not checked yet. */
static bool entry_read(struct orch_cursor *c, struct fmt_entry *e, uint8_t *out_bits)
{
	const uint8_t *digest;

	e->name_len = orch_cursor_u8(c);
	*out_bits = orch_cursor_u8(c);
	e->type = *out_bits & ENTRY_TYPE_MASK;
	e->mode = orch_cursor_u16(c);
	e->size = orch_cursor_u64(c);
	e->name = (const char *)orch_cursor_bytes(c, e->name_len);
	if (e->type == FMT_DIR)
		e->count = orch_cursor_u64(c);
	if (e->type == FMT_SYMLINK) {
		e->target_len = e->size <= FMT_SYMLINK_MAX ? (size_t)e->size : 0;
		e->target = (const char *)orch_cursor_bytes(c, e->target_len);
	} else {
		digest = orch_cursor_bytes(c, ORCH_DIGEST_BYTES);
		if (digest != NULL)
			memcpy(e->digest.b, digest, ORCH_DIGEST_BYTES);
	}
	if (*out_bits & ENTRY_HAS_OWNER) {
		e->uid = orch_cursor_u32(c);
		e->gid = orch_cursor_u32(c);
	}
	if (*out_bits & ENTRY_HAS_XATTRS) {
		e->xattrs.len = orch_cursor_u32(c);
		e->xattrs.p = orch_cursor_bytes(c, e->xattrs.len);
	}
	return !c->failed && orch_cursor_left(c) == 0;
}

int fmt_entry_decode(
    const uint8_t *p, size_t len, bool root, struct fmt_entry *out, struct orch_err *err)
{
	struct fmt_entry e = {.uid = FMT_ID_OWNER, .gid = FMT_ID_OWNER};
	struct orch_cursor c = orch_cursor_make(p, len);
	const char *fault;
	uint8_t bits;

	if (!entry_read(&c, &e, &bits))
		return fmt_corrupt(err, "entry", "its fields do not fill its bytes");
	if (bits & ~(ENTRY_TYPE_MASK | ENTRY_HAS_OWNER | ENTRY_HAS_XATTRS))
		return fmt_corrupt(err, "entry", "reserved bits are set");
	if ((bits & ENTRY_HAS_OWNER) && !entry_has_owner(&e))
		return fmt_corrupt(err, "entry", "owner given that is the workspace's");
	if ((bits & ENTRY_HAS_XATTRS) && e.xattrs.len == 0)
		return fmt_corrupt(err, "entry", "empty list of extended attributes");
	fault = entry_fault(&e, root);
	if (fault != NULL)
		return fmt_corrupt(err, "entry", fault);
	*out = e;
	return 0;
}
