/* From blob to file; see git_convert.h. The rules are those of gitattributes(5). */
#include "sync/git_convert.h"

#include <string.h>
#include <strings.h>
#include "core/utf8.h"

#define HOW_VERSION 1

/* ---- what is to be done ---- */

static bool is_value(const struct sync_git_attr_value *v, const char *text)
{
	return v->is == SYNC_GIT_ATTR_VALUE && strcmp(v->text, text) == 0;
}

enum text { TEXT_UNKNOWN, TEXT_YES, TEXT_NO, TEXT_INPUT, TEXT_AUTO };

static enum text text_of(const struct sync_git_attr_value *v)
{
	if (v->is == SYNC_GIT_ATTR_SET)
		return TEXT_YES;
	if (v->is == SYNC_GIT_ATTR_UNSET)
		return TEXT_NO;
	if (is_value(v, "input"))
		return TEXT_INPUT;
	return is_value(v, "auto") ? TEXT_AUTO : TEXT_UNKNOWN;
}

static enum sync_git_lines lines_of(const struct sync_git_attr_value v[SYNC_GIT_ATTRS])
{
	enum text text = text_of(&v[SYNC_GIT_ATTR_TEXT]);

	if (text == TEXT_UNKNOWN)
		text = text_of(&v[SYNC_GIT_ATTR_CRLF]);
	if (text == TEXT_NO || !is_value(&v[SYNC_GIT_ATTR_EOL], "crlf"))
		return SYNC_GIT_LINES_KEEP;
	return text == TEXT_AUTO ? SYNC_GIT_LINES_AUTO : SYNC_GIT_LINES_CRLF;
}

/* Behind "utf" and an optional dash; NULL: no such name. */
static const char *utf_rest(const char *s)
{
	if (strncasecmp(s, "utf", 3) != 0)
		return NULL;
	return s[3] == '-' ? s + 4 : s + 3;
}

static bool encoding_of(const char *name, enum sync_git_encoding *out)
{
	static const struct {
		const char *name;
		enum sync_git_encoding is;
	} utf[] = {{"8", SYNC_GIT_UTF8}, {"16", SYNC_GIT_UTF16}, {"16LE", SYNC_GIT_UTF16LE},
	    {"16BE", SYNC_GIT_UTF16BE}, {"16LE-BOM", SYNC_GIT_UTF16},
	    {"16BE-BOM", SYNC_GIT_UTF16BE_BOM}, {"32", SYNC_GIT_UTF32}, {"32LE", SYNC_GIT_UTF32LE},
	    {"32BE", SYNC_GIT_UTF32BE}};
	const char *rest = utf_rest(name);

	for (size_t i = 0; rest && i < ORCH_ARRAY_LEN(utf); i++)
		if (strcasecmp(rest, utf[i].name) == 0) {
			*out = utf[i].is;
			return true;
		}
	*out = SYNC_GIT_LATIN1;
	return strcasecmp(name, "ISO-8859-1") == 0 || strcasecmp(name, "ISO8859-1") == 0 ||
	       strcasecmp(name, "latin1") == 0 || strcasecmp(name, "latin-1") == 0;
}

void sync_git_how_of(const struct sync_git_attr_value v[SYNC_GIT_ATTRS], struct sync_git_how *out)
{
	const struct sync_git_attr_value *filter = &v[SYNC_GIT_ATTR_FILTER];
	const struct sync_git_attr_value *encoding = &v[SYNC_GIT_ATTR_ENCODING];
	struct sync_git_how how = {.lines = SYNC_GIT_LINES_KEEP};

	how.lfs = is_value(filter, "lfs");
	if (!how.lfs) {
		how.lines = lines_of(v);
		how.ident = v[SYNC_GIT_ATTR_IDENT].is == SYNC_GIT_ATTR_SET;
		how.filter = filter->is == SYNC_GIT_ATTR_VALUE ? filter->text : NULL;
	}
	if (!how.lfs && encoding->is == SYNC_GIT_ATTR_VALUE && *encoding->text &&
	    !encoding_of(encoding->text, &how.encoding)) {
		how.encoding = SYNC_GIT_UTF8;
		how.not_encoded = encoding->text;
	}
	*out = how;
}

bool sync_git_how_is_plain(const struct sync_git_how *how)
{
	return how->lines == SYNC_GIT_LINES_KEEP && how->encoding == SYNC_GIT_UTF8 && !how->ident;
}

void sync_git_how_key(const struct sync_git_how *how, uint8_t out[SYNC_GIT_KEY_BYTES])
{
	memset(out, 0, SYNC_GIT_KEY_BYTES);
	if (sync_git_how_is_plain(how) && !how->lfs)
		return;
	out[0] = HOW_VERSION;
	out[1] = (uint8_t)how->lines;
	out[2] = (uint8_t)how->encoding;
	out[3] = how->ident;
	out[4] = how->lfs;
}

/* ---- $Id$ ---- */

/* Whether what follows a '$' is a keyword; *out_len is what it takes, with its last '$'. */
static bool is_keyword(const char *p, size_t left, size_t *out_len)
{
	const char *end, *blank;

	if (left < 3 || p[0] != 'I' || p[1] != 'd')
		return false;
	if (p[2] == '$') {
		*out_len = 3;
		return true;
	}
	end = p[2] == ':' ? memchr(p + 3, '$', left - 3) : NULL;
	if (!end || memchr(p + 3, '\n', (size_t)(end - p) - 3))
		return false;
	/* a blank inside is another system's, which Git leaves alone */
	blank = end > p + 4 ? memchr(p + 4, ' ', (size_t)(end - p) - 4) : NULL;
	*out_len = (size_t)(end - p) + 1;
	return !blank || blank >= end - 1;
}

static int put_ident(
    const struct sync_git_id *id, const char *p, size_t len, struct orch_buf *out, bool *changed)
{
	const char *end = p + len, *dollar;
	char hex[SYNC_GIT_ID_HEX + 1];
	size_t used;

	sync_git_id_format(id, hex);
	while (p < end && (dollar = memchr(p, '$', (size_t)(end - p)))) {
		(void)orch_buf_add(out, p, (size_t)(dollar + 1 - p));
		p = dollar + 1;
		if (!is_keyword(p, (size_t)(end - p), &used))
			continue;
		(void)orch_buf_printf(out, "Id: %s $", hex);
		p += used;
		*changed = true;
	}
	(void)orch_buf_add(out, p, (size_t)(end - p));
	return out->failed ? -ENOMEM : 0;
}

/* ---- ends of lines ---- */

struct text_stats {
	size_t lone_cr, lone_lf, crlf, nul, printable, other;
};

static void count_byte(struct text_stats *s, unsigned char c)
{
	if (c == 0) {
		s->nul++;
		s->other++;
	} else if (c == 127 || (c < 32 && c != '\b' && c != '\t' && c != '\033' && c != '\f')) {
		s->other++;
	} else {
		s->printable++;
	}
}

static void gather(const char *p, size_t len, struct text_stats *s)
{
	*s = (struct text_stats){0};
	for (size_t i = 0; i < len; i++) {
		if (p[i] == '\r' && i + 1 < len && p[i + 1] == '\n') {
			s->crlf++;
			i++;
		} else if (p[i] == '\r') {
			s->lone_cr++;
		} else if (p[i] == '\n') {
			s->lone_lf++;
		} else {
			count_byte(s, (unsigned char)p[i]);
		}
	}
	if (len && p[len - 1] == '\032' && s->other) /* the end of a file in DOS */
		s->other--;
}

static bool wants_crlf(enum sync_git_lines lines, const char *p, size_t len)
{
	struct text_stats s;

	gather(p, len, &s);
	if (!s.lone_lf)
		return false;
	if (lines == SYNC_GIT_LINES_CRLF)
		return true;
	return !s.lone_cr && !s.crlf && !s.nul && s.printable / 128 >= s.other;
}

static int put_crlf(const char *p, size_t len, struct orch_buf *out)
{
	const char *end = p + len, *lf;
	char before = 0;

	while (p < end && (lf = memchr(p, '\n', (size_t)(end - p)))) {
		before = lf > p ? lf[-1] : 0;
		(void)orch_buf_add(out, p, (size_t)(lf - p));
		(void)orch_buf_add_str(out, before == '\r' ? "\n" : "\r\n");
		p = lf + 1;
	}
	(void)orch_buf_add(out, p, (size_t)(end - p));
	return out->failed ? -ENOMEM : 0;
}

/* ---- encodings ---- */

static uint32_t code_point(const unsigned char *p, size_t n)
{
	uint32_t c = n == 1 ? p[0] : p[0] & (0xffu >> (n + 1));

	for (size_t i = 1; i < n; i++)
		c = c << 6 | (p[i] & 0x3f);
	return c;
}

static void put_unit(struct orch_buf *out, uint32_t v, unsigned bytes, bool big)
{
	for (unsigned i = 0; i < bytes; i++)
		(void)orch_buf_add_u8(out, (uint8_t)(v >> 8 * (big ? bytes - 1 - i : i)));
}

static bool is_big(enum sync_git_encoding e)
{
	return e == SYNC_GIT_UTF16BE || e == SYNC_GIT_UTF16BE_BOM || e == SYNC_GIT_UTF32BE;
}

static bool is_wide(enum sync_git_encoding e)
{
	return e == SYNC_GIT_UTF32 || e == SYNC_GIT_UTF32LE || e == SYNC_GIT_UTF32BE;
}

static bool has_mark(enum sync_git_encoding e)
{
	return e == SYNC_GIT_UTF16 || e == SYNC_GIT_UTF16BE_BOM || e == SYNC_GIT_UTF32;
}

/* false: the encoding has no such character. */
static bool put_char(enum sync_git_encoding e, uint32_t c, struct orch_buf *out)
{
	bool big = is_big(e);

	if (e == SYNC_GIT_LATIN1) {
		(void)orch_buf_add_u8(out, (uint8_t)c);
		return c < 256;
	}
	if (is_wide(e)) {
		put_unit(out, c, 4, big);
	} else if (c < 0x10000) {
		put_unit(out, c, 2, big);
	} else {
		put_unit(out, 0xd800 + ((c - 0x10000) >> 10), 2, big);
		put_unit(out, 0xdc00 + ((c - 0x10000) & 0x3ff), 2, big);
	}
	return true;
}

/* 1: done; 0: it is not what was to be encoded. */
static int put_encoded(enum sync_git_encoding e, const char *p, size_t len, struct orch_buf *out)
{
	if (has_mark(e))
		(void)put_char(e, 0xfeff, out);
	for (size_t i = 0, n; i < len && !out->failed; i += n) {
		n = orch_utf8_sequence(p + i, len - i);
		if (!n || !put_char(e, code_point((const unsigned char *)p + i, n), out)) {
			orch_buf_reset(out);
			return 0;
		}
	}
	return out->failed ? -ENOMEM : 1;
}

/* ---- all of it ---- */

struct content { /* what it is by now: the blob's bytes, or those of out */
	const char *p;
	size_t len;
	struct orch_buf *out;
};

/* What was written into `made` is the content from now on. */
static void take(struct content *c, struct orch_buf *made)
{
	struct orch_buf old = *c->out;

	*c->out = *made;
	*made = old;
	orch_buf_reset(made);
	c->p = c->out->data ? (const char *)c->out->data : "";
	c->len = c->out->len;
}

static int convert(const struct sync_git_how *how, const struct sync_git_id *id, struct content *c,
    struct orch_buf *made, bool *out_failed)
{
	bool changed = false;
	int r = 0;

	if (how->ident && memmem(c->p, c->len, "$Id", 3)) {
		r = put_ident(id, c->p, c->len, made, &changed);
		if (r == 0 && changed)
			take(c, made);
		orch_buf_reset(made);
	}
	if (r == 0 && how->lines != SYNC_GIT_LINES_KEEP && wants_crlf(how->lines, c->p, c->len)) {
		r = put_crlf(c->p, c->len, made);
		if (r == 0)
			take(c, made);
	}
	if (r == 0 && how->encoding != SYNC_GIT_UTF8 && c->len) {
		r = put_encoded(how->encoding, c->p, c->len, made);
		if (r == 1)
			take(c, made);
		*out_failed = r == 0;
	}
	return r < 0 ? r : 0;
}

int sync_git_convert(const struct sync_git_how *how, const struct sync_git_id *id, const void *p,
    size_t len, struct orch_buf *out, bool *out_failed)
{
	struct content c = {.p = len ? p : "", .len = len, .out = out};
	struct orch_buf made;
	const char *was = c.p;
	int r;

	orch_buf_init(&made, out->max);
	*out_failed = false;
	r = convert(how, id, &c, &made, out_failed);
	orch_buf_fini(&made);
	if (r < 0)
		return r;
	return c.p != was;
}
