/* Messages between keeper and mount. Pure. docs/format.md has the bytes. */
#include "format/msg.h"
#include <stdlib.h>
#include <string.h>
#include "format/format_priv.h"

#define MSG_VERSION	 1
#define MSG_HEAD_BYTES	 32
#define FIELD_HEAD_BYTES 8
#define ERRNO_MAX	 4095 /* the kernel's */

int fmt_msg_begin(struct orch_buf *out, uint16_t type, uint32_t id, int32_t status)
{
	orch_buf_reset(out);
	(void)orch_buf_add_u32(out, FMT_MAGIC_MSG);
	(void)orch_buf_add_u16(out, MSG_VERSION);
	(void)orch_buf_add_u16(out, type);
	(void)orch_buf_add_u32(out, id);
	(void)orch_buf_add_u32(out, (uint32_t)status);
	(void)orch_buf_add_u32(out, 0);
	(void)orch_buf_add_u32(out, 0);
	(void)orch_buf_add_u64(out, 0);
	return fmt_appended(out, 0);
}

int fmt_msg_add(struct orch_buf *out, uint16_t tag, const void *p, size_t n)
{
	size_t was = out->len;

	if (n > FMT_MSG_MAX)
		return -EMSGSIZE;
	(void)orch_buf_add_u16(out, tag);
	(void)orch_buf_add_u16(out, 0);
	(void)orch_buf_add_u32(out, (uint32_t)n);
	(void)orch_buf_add(out, p, n);
	(void)orch_buf_add_zeros(out, -n & 7);
	return fmt_appended(out, was);
}

int fmt_msg_add_u64(struct orch_buf *out, uint16_t tag, uint64_t v)
{
	return fmt_msg_add(out, tag, &v, sizeof(v));
}

int fmt_msg_add_str(struct orch_buf *out, uint16_t tag, const char *s)
{
	return fmt_msg_add(out, tag, s, strlen(s));
}

/* Over the header up to the checksum, then over the fields. */
static uint64_t msg_sum(const uint8_t *p, size_t n)
{
	return orch_xxh64(
	    p + MSG_HEAD_BYTES, n - MSG_HEAD_BYTES, orch_xxh64(p, MSG_HEAD_BYTES - 8, 0));
}

int fmt_msg_end(struct orch_buf *out)
{
	if (out->failed)
		return -ENOMEM;
	ORCH_BUG_ON(out->len < MSG_HEAD_BYTES);
	if (out->len > FMT_MSG_MAX)
		return -EMSGSIZE;
	orch_buf_put_u32(out, 16, (uint32_t)(out->len - MSG_HEAD_BYTES));
	orch_buf_put_u64(out, 24, msg_sum(out->data, out->len));
	return 0;
}

struct field {
	uint16_t tag;
	const uint8_t *p;
	size_t len;
};

/* The next field; false at the end or when the bytes are not one (*out_bad). */
static bool field_read(struct orch_cursor *c, struct field *out, bool *out_bad)
{
	static const uint8_t zeros[8];
	const uint8_t *pad;
	uint16_t zero;
	uint32_t len;

	*out_bad = false;
	if (orch_cursor_left(c) == 0 && !c->failed)
		return false;
	out->tag = orch_cursor_u16(c);
	zero = orch_cursor_u16(c);
	len = orch_cursor_u32(c);
	out->p = orch_cursor_bytes(c, len);
	out->len = len;
	pad = orch_cursor_bytes(c, -(size_t)len & 7);
	*out_bad = c->failed || zero != 0 || memcmp(pad, zeros, -(size_t)len & 7) != 0;
	return !*out_bad;
}

int fmt_msg_parse(const void *p, size_t n, struct fmt_msg *out, struct orch_err *err)
{
	struct orch_cursor c, fields;
	uint16_t version;
	struct fmt_msg m;
	struct field f;
	bool bad;

	if (n < MSG_HEAD_BYTES || n > FMT_MSG_MAX || orch_le32(p) != FMT_MAGIC_MSG)
		return fmt_corrupt(err, "message", "it is none");
	c = orch_cursor_make((const uint8_t *)p + 4, n - 4);
	version = orch_cursor_u16(&c);
	if (version != MSG_VERSION)
		return orch_err_set(err, ORCH_EFORMAT,
		    "message has format version %u, this program knows %u", version, MSG_VERSION);
	m.type = orch_cursor_u16(&c);
	m.id = orch_cursor_u32(&c);
	m.status = (int32_t)orch_cursor_u32(&c);
	if (orch_cursor_u32(&c) != n - MSG_HEAD_BYTES || orch_cursor_u32(&c) != 0)
		return fmt_corrupt(err, "message", "its header does not fit its length");
	if (orch_cursor_u64(&c) != msg_sum(p, n))
		return fmt_corrupt(err, "message", "checksum");
	if (m.status > 0 || m.status < -ERRNO_MAX)
		return fmt_corrupt(err, "message", "its status is no errno");
	m.fields = c;
	fields = c;
	while (field_read(&fields, &f, &bad))
		;
	if (bad)
		return fmt_corrupt(err, "message", "a field does not fit");
	*out = m;
	return 0;
}

const uint8_t *fmt_msg_get(const struct fmt_msg *m, uint16_t tag, size_t *out_len)
{
	struct orch_cursor c = m->fields;
	struct field f;
	bool bad;

	while (field_read(&c, &f, &bad)) {
		if (f.tag == tag) {
			*out_len = f.len;
			return f.p;
		}
	}
	return NULL;
}

bool fmt_msg_get_u64(const struct fmt_msg *m, uint16_t tag, uint64_t *out)
{
	size_t len;
	const uint8_t *p = fmt_msg_get(m, tag, &len);

	if (p == NULL || len != sizeof(*out))
		return false;
	*out = orch_le64(p);
	return true;
}

char *fmt_msg_get_str(const struct fmt_msg *m, uint16_t tag)
{
	size_t len;
	const uint8_t *p = fmt_msg_get(m, tag, &len);
	char *s;

	if (p == NULL || memchr(p, '\0', len) != NULL)
		return NULL;
	s = malloc(len + 1);
	if (s == NULL)
		return NULL;
	memcpy(s, p, len);
	s[len] = '\0';
	return s;
}
