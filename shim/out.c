#include "shim/out.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/strv.h"

int shim_out(const struct orch_buf *b, struct orch_err *err)
{
	int r = b->failed ? -ENOMEM : orch_fd_write_all(STDOUT_FILENO, b->data, b->len);

	return r < 0 ? orch_err_sys(err, -r, "write the result to standard output") : 0;
}

int shim_out_line(const char *s, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	orch_buf_add_str(&b, s);
	orch_buf_add_str(&b, "\n");
	return shim_out(&b, err);
}

int shim_out_json(const struct orch_json *j, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	if (orch_json_format(j, 2, &b) < 0)
		b.failed = true;
	orch_buf_add_str(&b, "\n");
	return shim_out(&b, err);
}

/* ---- tables */

struct shim_table {
	const char *const *headings;
	size_t columns;
	struct orch_strv cells;
	bool failed;
};

struct shim_table *shim_table_new(const char *const *headings)
{
	struct shim_table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->headings = headings;
	while (headings[t->columns])
		t->columns++;
	return t;
}

void shim_table_free(struct shim_table *t)
{
	if (!t)
		return;
	orch_strv_fini(&t->cells);
	free(t);
}

void shim_table_cell(struct shim_table *t, const char *fmt, ...)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	orch_buf_vprintf(&b, fmt, ap);
	va_end(ap);
	for (size_t i = 0; i < b.len; i++)
		if (b.data[i] < ' ' || b.data[i] == 127)
			b.data[i] = '?';
	if (b.failed || orch_strv_add(&t->cells, b.data ? (const char *)b.data : "") < 0)
		t->failed = true;
}

static const char *heading(const struct shim_table *t, size_t column)
{
	const char *h = t->headings[column];

	return h[0] == SHIM_RIGHT ? h + 1 : h;
}

/* Columns on a screen: UTF-8 continuation bytes take none. */
static size_t text_width(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void measure(const struct shim_table *t, size_t *widths)
{
	for (size_t c = 0; c < t->columns; c++)
		widths[c] = text_width(heading(t, c));
	for (size_t i = 0; i < t->cells.count; i++) {
		size_t w = text_width(t->cells.v[i]);

		if (w > widths[i % t->columns])
			widths[i % t->columns] = w;
	}
}

/* Takes from the widest column until the table fits; none gets below 8. */
static void squeeze(size_t *widths, size_t columns, size_t room)
{
	for (;;) {
		size_t total = 2 * (columns - 1), widest = 0;

		for (size_t c = 0; c < columns; c++) {
			total += widths[c];
			if (widths[c] > widths[widest])
				widest = c;
		}
		if (total <= room || widths[widest] <= 8)
			return;
		widths[widest]--;
	}
}

static void put_cell(struct orch_buf *out, const char *text, size_t width, bool right, bool last)
{
	size_t w = text_width(text), pad = w < width ? width - w : 0, used = 0;

	if (right)
		orch_buf_printf(out, "%*s", (int)pad, "");
	if (w <= width) {
		orch_buf_add_str(out, text);
	} else {
		for (; *text && (used < width - 1 || ((unsigned char)*text & 0xc0) == 0x80);
		     text++) {
			used += ((unsigned char)text[1] & 0xc0) != 0x80;
			orch_buf_add(out, text, 1);
		}
		orch_buf_add_str(out, "~");
	}
	if (!last)
		orch_buf_printf(out, "%*s", (int)(2 + (right ? 0 : pad)), "");
}

static void put_row(const struct shim_table *t, const size_t *widths, size_t first_cell, bool head,
    struct orch_buf *out)
{
	for (size_t c = 0; c < t->columns; c++) {
		bool last = c + 1 == t->columns;
		const char *text = head ? heading(t, c) : t->cells.v[first_cell + c];

		put_cell(out, text, widths[c], t->headings[c][0] == SHIM_RIGHT, last);
	}
	orch_buf_add_str(out, "\n");
}

void shim_table_format(const struct shim_table *t, size_t width, struct orch_buf *out)
{
	orch_auto(free) size_t *widths = calloc(t->columns, sizeof(*widths));

	if (!widths || t->failed) {
		out->failed = true;
		return;
	}
	measure(t, widths);
	if (width)
		squeeze(widths, t->columns, width);
	put_row(t, widths, 0, true, out);
	for (size_t i = 0; i + t->columns <= t->cells.count; i += t->columns)
		put_row(t, widths, i, false, out);
}

static size_t terminal_width(void)
{
	struct winsize ws;

	if (!isatty(STDOUT_FILENO))
		return 0;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col >= 20 ? ws.ws_col : 80;
}

int shim_table_print(struct shim_table *t, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	shim_table_format(t, terminal_width(), &b);
	shim_table_free(t);
	return shim_out(&b, err);
}

/* ---- short forms */

const char *shim_human_bytes(uint64_t bytes, char out[SHIM_SHORT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double n = (double)bytes;
	size_t u = 0;

	for (; n >= 1024 && u + 1 < ORCH_ARRAY_LEN(units); u++)
		n /= 1024;
	snprintf(out, SHIM_SHORT, u && n < 100 ? "%.1f %s" : "%.0f %s", n, units[u]);
	return out;
}

const char *shim_human_ns(uint64_t ns, char out[SHIM_SHORT])
{
	double s = (double)ns / 1e9;

	if (s < 1)
		snprintf(out, SHIM_SHORT, "%.0f ms", s * 1000);
	else if (s < 60)
		snprintf(out, SHIM_SHORT, "%.1f s", s);
	else if (s < 3600)
		snprintf(out, SHIM_SHORT, "%d m %02d s", (int)(s / 60), (int)s % 60);
	else
		snprintf(out, SHIM_SHORT, "%d h %02d m", (int)(s / 3600), (int)(s / 60) % 60);
	return out;
}

const char *shim_human_count(uint64_t n, char out[SHIM_SHORT])
{
	char digits[SHIM_SHORT];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n), at = 0;

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			out[at++] = ',';
		out[at++] = digits[i];
	}
	out[at] = '\0';
	return out;
}

const char *shim_human_time(const char *rfc3339, char out[SHIM_SHORT])
{
	snprintf(out, SHIM_SHORT, "%.16s", rfc3339 ? rfc3339 : "");
	if (strlen(out) > 10 && out[10] == 'T')
		out[10] = ' ';
	return out;
}

/* ---- members */

struct members {
	struct orch_buf out;
	int indent;
};

static int add_member(const char *key, const struct orch_json *v, void *priv);

static void add_value(struct members *m, const char *key, const struct orch_json *v)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	char human[SHIM_SHORT];
	size_t len = strlen(key);
	int64_t n;

	if (orch_json_str(v))
		orch_buf_add_str(&text, orch_json_str(v));
	else if (orch_json_int(v, &n) && n >= 0 && len >= 5 && strcmp(key + len - 5, "bytes") == 0)
		orch_buf_add_str(&text, shim_human_bytes((uint64_t)n, human));
	else if (orch_json_format(v, 0, &text) < 0)
		text.failed = true;
	orch_buf_printf(&m->out, "%*s%-*s  %s\n", m->indent, "", 18 - m->indent, key,
	    text.data ? (const char *)text.data : "");
}

static int add_member(const char *key, const struct orch_json *v, void *priv)
{
	struct members *m = priv;

	if (!orch_json_is_object(v)) {
		add_value(m, key, v);
		return 0;
	}
	orch_buf_printf(&m->out, "%*s%s\n", m->indent, "", key);
	m->indent += 2;
	orch_json_each(v, add_member, m);
	m->indent -= 2;
	return 0;
}

int shim_out_members(const struct orch_json *o, struct orch_err *err)
{
	struct members m = {.out = ORCH_BUF_INIT};
	int r;

	orch_json_each(o, add_member, &m);
	r = shim_out(&m.out, err);
	orch_buf_fini(&m.out);
	return r;
}

const char *shim_get(const struct orch_json *o, const char *key)
{
	const char *s = o ? orch_json_str(orch_json_get(o, key)) : NULL;

	return s ? s : "";
}

uint64_t shim_get_u64(const struct orch_json *o, const char *key)
{
	uint64_t n = 0;

	if (!o || orch_json_get_u64(o, key, &n, NULL) < 0)
		return 0;
	return n;
}

bool shim_get_bool(const struct orch_json *o, const char *key)
{
	bool b = false;

	return o && orch_json_get_bool(o, key, &b, NULL) == 0 && b;
}
