/* Names that are dangerous; see git_name.h. */
#include "sync/git_name.h"

#include <stdint.h>
#include <string.h>
#include "core/utf8.h"
#include "format/entry.h"

#define PLAIN_MAX 16 /* of what names are compared with, and one more */

/* Code points that HFS+ leaves out when it compares names. */
static size_t ignorable(const unsigned char *p, size_t left)
{
	if (left < 3)
		return 0;
	if (p[0] == 0xe2 && p[1] == 0x80 &&
	    ((p[2] >= 0x8c && p[2] <= 0x8f) || (p[2] >= 0xaa && p[2] <= 0xae)))
		return 3;
	if (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xaa && p[2] <= 0xaf)
		return 3;
	return p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf ? 3 : 0;
}

/* Whether byte i is part of a character of UTF-8. */
static bool continues(const unsigned char *p, size_t i, size_t len)
{
	for (size_t back = 0; back < 4 && back <= i; back++)
		if ((p[i - back] & 0xc0) != 0x80)
			return orch_utf8_sequence(p + i - back, len - (i - back)) > back;
	return false;
}

/* What other file systems may take the name for: without ignorable code points, in lower case, up to
 * an alternate stream or what is no UTF-8, without the dots and blanks at its end. Cut when it is longer
 * than `out`. */
static void make_plain(const char *name, size_t len, char out[PLAIN_MAX])
{
	const unsigned char *p = (const unsigned char *)name;
	bool whole = true;
	size_t n = 0;

	for (size_t i = 0; i < len && p[i] != ':' && whole;) {
		bool is_tail = p[i] == '.' || p[i] == ' ';
		size_t skip = ignorable(p + i, len - i);

		if (p[i] >= 0x80 && !skip && !continues(p, i, len))
			break;
		whole = skip || is_tail || n < PLAIN_MAX - 1;
		if (!skip && n < PLAIN_MAX - 1)
			out[n++] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]);
		i += skip ? skip : 1;
	}
	while (whole && n > 0 && (out[n - 1] == '.' || out[n - 1] == ' '))
		n--;
	out[n] = '\0';
}

static bool is_dot_git(const char *part, size_t len)
{
	char plain[PLAIN_MAX];

	make_plain(part, len, plain);
	return strcmp(plain, ".git") == 0 || strcmp(plain, "git~1") == 0;
}

/* The short names that NTFS may give: the first six letters, or letters of a hash. */
static bool is_short_name(const char *plain, const char *first, const char *hash)
{
	const char *digits = strchr(plain, '~');
	size_t n = digits ? (size_t)(digits - plain) : 0;

	if (!digits || digits[1] < '1' || strspn(digits + 1, "0123456789") != strlen(digits + 1))
		return false;
	if (n == 6 && strncmp(plain, first, n) == 0)
		return true;
	return n >= 2 && n <= 6 && strncmp(plain, hash, n) == 0;
}

static bool is_dot_gitmodules(const char *name, size_t len)
{
	char plain[PLAIN_MAX];

	make_plain(name, len, plain);
	return strcmp(plain, ".gitmodules") == 0 || is_short_name(plain, "gitmod", "gi7eba");
}

/* On Windows a backslash is a slash. */
static bool has_part(const char *name, size_t len, bool (*is)(const char *part, size_t len))
{
	const char *end = name + len;

	for (const char *p = name;;) {
		const char *stop = memchr(p, '\\', (size_t)(end - p));

		if (is(p, (size_t)((stop ? stop : end) - p)))
			return true;
		if (!stop)
			return false;
		p = stop + 1;
	}
}

const char *sync_git_name_wrong(const char *name, size_t len, bool is_link)
{
	if (len == 0)
		return "is empty";
	if (len > FMT_NAME_MAX)
		return "is longer than 255 bytes";
	if (memchr(name, '/', len) || memchr(name, '\0', len))
		return "holds a slash or a NUL";
	if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.')))
		return "is a way out of its folder";
	if (has_part(name, len, is_dot_git))
		return "is, or passes for, .git";
	if (is_link && has_part(name, len, is_dot_gitmodules))
		return "is, or passes for, .gitmodules, and is a symlink";
	return NULL;
}

int sync_git_name_show(const char *name, size_t len, struct orch_buf *out)
{
	int r = 0;

	for (size_t i = 0; i < len && r == 0;) {
		unsigned char c = (unsigned char)name[i];
		size_t n = c < 32 || c == 127 ? 0 : orch_utf8_sequence(name + i, len - i);

		/* the C1 controls are U+0080 to U+009F */
		if (n == 2 && c == 0xc2 && (unsigned char)name[i + 1] < 0xa0)
			n = 0;
		r = n ? orch_buf_add(out, name + i, n) : orch_buf_printf(out, "\\x%02x", c);
		i += n ? n : 1;
	}
	return r;
}
