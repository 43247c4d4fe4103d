/* Hostile text as HTML, see html.h. */
#include "output/html.h"
#include <string.h>
#include "core/clock.h"
#include "core/utf8.h"

static uint32_t code_point(const uint8_t *p, size_t n)
{
	uint32_t v;

	if (n == 1)
		return p[0];
	v = p[0] & (0xffu >> (n + 1));
	for (size_t i = 1; i < n; i++)
		v = v << 6 | (p[i] & 0x3f);
	return v;
}

/* Marks that turn text around or hide it: what is read would not be what is there. */
static bool deceives(uint32_t c)
{
	return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x200e ||
	       c == 0x200f || c == 0x061c || (c >= 0x200b && c <= 0x200d) || c == 0xfeff ||
	       c == 0x2028 || c == 0x2029;
}

/* One character; n bytes that are UTF-8. */
static void add_character(struct orch_buf *out, const uint8_t *p, size_t n)
{
	uint32_t c = code_point(p, n);

	switch (c) {
	case '&':
		(void)orch_buf_add_str(out, "&amp;");
		return;
	case '<':
		(void)orch_buf_add_str(out, "&lt;");
		return;
	case '>':
		(void)orch_buf_add_str(out, "&gt;");
		return;
	case '"':
		(void)orch_buf_add_str(out, "&quot;");
		return;
	case '\'':
		(void)orch_buf_add_str(out, "&#39;");
		return;
	case '\n':
		(void)orch_buf_add_str(out, "\\n");
		return;
	case '\t':
		(void)orch_buf_add_str(out, "\\t");
		return;
	default:
		break;
	}
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		(void)orch_buf_printf(out, "\\x%02x", c);
	else if (deceives(c))
		(void)orch_buf_printf(out, "\\u%04x", c);
	else
		(void)orch_buf_add(out, p, n);
}

/* As much as is at p; how many bytes that took. */
static size_t add_next(struct orch_buf *out, const uint8_t *p, size_t left)
{
	size_t n = orch_utf8_sequence(p, left);

	if (n == 0) {
		(void)orch_buf_printf(out, "\\x%02x", p[0]);
		return 1;
	}
	add_character(out, p, n);
	return n;
}

void html_text(struct orch_buf *out, const char *s)
{
	html_span(out, s, strlen(s));
}

void html_span(struct orch_buf *out, const char *s, size_t left)
{
	const uint8_t *p = (const uint8_t *)s;

	while (left > 0) {
		size_t n = add_next(out, p, left);

		p += n;
		left -= n;
	}
}

/* Length of the terminal escape at p (which is ESC): CSI, OSC, or two bytes. */
static size_t escape_length(const char *p, size_t left)
{
	size_t n = 2;

	if (left < 2)
		return left;
	if (p[1] == '[') {
		while (n < left && (p[n] < 0x40 || p[n] > 0x7e))
			n++;
		return n < left ? n + 1 : n;
	}
	if (p[1] == ']') {
		while (n < left && p[n] != '\a' && p[n] != '\x1b' && p[n] != '\n')
			n++;
		if (n + 1 < left && p[n] == '\x1b' && p[n + 1] == '\\')
			return n + 2;
		return n < left && p[n] == '\a' ? n + 1 : n;
	}
	return n;
}

static void add_line(struct orch_buf *out, const char *p, size_t n)
{
	const char *cr;

	while (n > 0 && p[n - 1] == '\r')
		n--;
	cr = memrchr(p, '\r', n);
	if (cr != NULL) {
		n -= (size_t)(cr + 1 - p);
		p = cr + 1;
	}
	while (n > 0) {
		size_t used = 1;

		if (*p == '\x1b')
			used = escape_length(p, n);
		else if (*p == '\t')
			(void)orch_buf_add_u8(out, '\t');
		else
			used = add_next(out, (const uint8_t *)p, n);
		p += used;
		n -= used;
	}
}

void html_log(struct orch_buf *out, const char *p, size_t n)
{
	while (n > 0) {
		const char *end = memchr(p, '\n', n);
		size_t line = end == NULL ? n : (size_t)(end - p);

		add_line(out, p, line);
		(void)orch_buf_add_u8(out, '\n');
		line += end != NULL;
		p += line;
		n -= line;
	}
}

void html_href(struct orch_buf *out, const char *path)
{
	static const char safe[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

	for (; *path != '\0'; path++) {
		if (strchr(safe, *path) != NULL)
			(void)orch_buf_add_u8(out, (uint8_t)*path);
		else
			(void)orch_buf_printf(out, "%%%02X", (unsigned)(uint8_t)*path);
	}
}

void html_duration(struct orch_buf *out, uint64_t ns)
{
	uint64_t ms = ns / ORCH_NS_PER_MS, s = (ms + 500) / 1000;

	if (ms < 1000)
		(void)orch_buf_printf(out, "%u ms", (unsigned)ms);
	else if (ms < 60000)
		(void)orch_buf_printf(
		    out, "%u.%u s", (unsigned)(ms / 1000), (unsigned)(ms / 100 % 10));
	else if (s < 3600)
		(void)orch_buf_printf(out, "%u min %02u s", (unsigned)(s / 60), (unsigned)(s % 60));
	else
		(void)orch_buf_printf(out, "%llu h %02u min", (unsigned long long)(s / 3600),
		    (unsigned)(s / 60 % 60));
}

void html_size(struct orch_buf *out, uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	uint64_t whole = bytes, rest = 0;
	size_t unit = 0;

	while (whole >= 1024 && unit + 1 < ORCH_ARRAY_LEN(units)) {
		rest = whole % 1024;
		whole /= 1024;
		unit++;
	}
	if (unit == 0)
		(void)orch_buf_printf(out, "%u B", (unsigned)whole);
	else
		(void)orch_buf_printf(
		    out, "%u.%u %s", (unsigned)whole, (unsigned)(rest * 10 / 1024), units[unit]);
}
