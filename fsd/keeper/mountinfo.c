/* /proc/self/mountinfo. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "core/fd.h"
#include "mountpoint.h"

#define MOUNTINFO_MAX ((size_t)16 << 20)

/* Field n (from 0) of a line; fields are divided by one blank. */
static const char *field(const char *line, size_t len, unsigned n, size_t *out_len)
{
	const char *end = line + len;

	for (;;) {
		const char *blank = memchr(line, ' ', (size_t)(end - line));
		size_t have = (size_t)((blank ? blank : end) - line);

		if (n-- == 0) {
			*out_len = have;
			return line;
		}
		if (!blank)
			return NULL;
		line = blank + 1;
	}
}

static bool is_octal(const char *p, size_t left)
{
	return left >= 4 && p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' &&
	       p[2] <= '7' && p[3] >= '0' && p[3] <= '7';
}

/* The kernel writes blanks, tabs, newlines and backslashes as \ooo. */
static bool same_path(const char *p, size_t len, const char *path)
{
	for (size_t i = 0; i < len; path++) {
		unsigned char c = (unsigned char)p[i];

		if (is_octal(p + i, len - i)) {
			c = (unsigned char)((p[i + 1] - '0') << 6 | (p[i + 2] - '0') << 3 |
					    (p[i + 3] - '0'));
			i += 4;
		} else {
			i++;
		}
		if (c == '\0' || (unsigned char)*path != c)
			return false;
	}
	return *path == '\0';
}

/* What follows " - " : type, source, options. */
static void get_type(const char *line, size_t len, char *out, size_t cap)
{
	const char *dash = memmem(line, len, " - ", 3);
	size_t n = 0;

	if (dash)
		dash = field(dash + 3, (size_t)(line + len - dash) - 3, 0, &n);
	if (n >= cap)
		n = cap - 1;
	if (n)
		memcpy(out, dash, n);
	out[n] = '\0';
}

static unsigned number(const char **p, const char *end)
{
	unsigned v = 0;

	for (; *p < end && **p >= '0' && **p <= '9'; (*p)++)
		v = v * 10 + (unsigned)(**p - '0');
	return v;
}

static bool parse_line(const char *line, size_t len, const char *path, struct fsd_mountinfo *out)
{
	size_t n;
	const char *p = field(line, len, 4, &n), *end;

	if (!p || !same_path(p, n, path))
		return false;
	p = field(line, len, 2, &n);
	if (!p)
		return false;
	end = p + n;
	out->major = number(&p, end);
	out->minor = p < end && *p++ == ':' ? number(&p, end) : 0;
	get_type(line, len, out->type, sizeof(out->type));
	return true;
}

bool fsd_mountinfo_find(const char *text, size_t len, const char *path, struct fsd_mountinfo *out)
{
	const char *end = text + len;
	bool found = false;

	/* The last line wins: it is on top. */
	while (text < end) {
		const char *nl = memchr(text, '\n', (size_t)(end - text));
		size_t n = (size_t)((nl ? nl : end) - text);

		found |= parse_line(text, n, path, out);
		text += n + 1;
	}
	return found;
}

int fsd_mountpoint_find(const char *path, struct fsd_mountinfo *out, struct orch_err *err)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	int rc;

	orch_buf_init(&b, MOUNTINFO_MAX);
	rc = orch_file_load(AT_FDCWD, "/proc/self/mountinfo", &b, err);
	if (rc < 0)
		return rc;
	return b.len && fsd_mountinfo_find((const char *)b.data, b.len, path, out);
}
