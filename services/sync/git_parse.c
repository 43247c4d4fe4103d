/* Git's commits and trees; see git_parse.h. */
#include "sync/git_parse.h"

#include <stdbool.h>
#include <string.h>

#define NS_PER_S   INT64_C(1000000000)
#define MODE_MAX   6 /* digits */
#define TYPE_MASK  0170000u
#define TYPE_FILE  0100000u
#define TYPE_LINK  0120000u
#define TYPE_TREE  0040000u
#define TYPE_OTHER 0160000u /* a commit of another repository */

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The first 40 bytes of p, whatever follows. */
static int read_hex(const char *p, size_t len, struct sync_git_id *out)
{
	if (len < SYNC_GIT_ID_HEX)
		return -EINVAL;
	for (size_t i = 0; i < SYNC_GIT_ID_BYTES; i++) {
		int hi = hex_value(p[2 * i]), lo = hex_value(p[2 * i + 1]);

		if (hi < 0 || lo < 0)
			return -EINVAL;
		out->b[i] = (uint8_t)(hi << 4 | lo);
	}
	return 0;
}

int sync_git_id_parse(const char *hex, struct sync_git_id *out)
{
	struct sync_git_id id;

	if (strlen(hex) != SYNC_GIT_ID_HEX || read_hex(hex, SYNC_GIT_ID_HEX, &id) < 0)
		return -EINVAL;
	*out = id;
	return 0;
}

void sync_git_id_format(const struct sync_git_id *id, char out[SYNC_GIT_ID_HEX + 1])
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < SYNC_GIT_ID_BYTES; i++) {
		out[2 * i] = digits[id->b[i] >> 4];
		out[2 * i + 1] = digits[id->b[i] & 15];
	}
	out[SYNC_GIT_ID_HEX] = '\0';
}

/* ---- commits ---- */

struct line {
	const char *p;
	size_t len;
};

/* The next line of the header, without its end; false behind the header. */
static bool next_line(const char **p, const char *end, struct line *out)
{
	const char *stop;

	if (*p >= end || **p == '\n')
		return false;
	stop = memchr(*p, '\n', (size_t)(end - *p));
	*out = (struct line){*p, (size_t)((stop ? stop : end) - *p)};
	*p = stop ? stop + 1 : end;
	return true;
}

static bool begins(const struct line *l, const char *word)
{
	size_t n = strlen(word);

	return l->len >= n && memcmp(l->p, word, n) == 0;
}

/* "committer NAME <MAIL> SECONDS ZONE". Git takes what it can't read as 0. */
static int64_t read_time(const struct line *l)
{
	const char *end = l->p + l->len;
	const char *p = memrchr(l->p, '>', l->len);
	int64_t s = 0;

	if (!p)
		return 0;
	for (p++; p < end && *p == ' '; p++)
		;
	for (; p < end && *p >= '0' && *p <= '9'; p++) {
		s = s * 10 + (*p - '0');
		if (s > INT64_MAX / NS_PER_S - 1)
			return (INT64_MAX / NS_PER_S - 1) * NS_PER_S;
	}
	return s * NS_PER_S;
}

int sync_git_commit_parse(
    const void *bytes, size_t len, struct sync_git_commit *out, struct orch_err *err)
{
	const char *p = bytes, *end = p + len;
	struct sync_git_commit c = {.wall_ns = 0};
	struct line l;

	if (!next_line(&p, end, &l) || !begins(&l, "tree ") || l.len != 5 + SYNC_GIT_ID_HEX ||
	    read_hex(l.p + 5, l.len - 5, &c.tree) < 0)
		return orch_err_set(err, ORCH_ECORRUPT, "it names no tree");
	while (next_line(&p, end, &l))
		if (begins(&l, "committer ")) {
			c.wall_ns = read_time(&l);
			break;
		}
	*out = c;
	return 0;
}

/* ---- trees ---- */

static int read_mode(struct sync_git_tree *t, unsigned *out)
{
	unsigned mode = 0, digits = 0;

	while (t->p < t->end && *t->p >= '0' && *t->p <= '7' && digits++ < MODE_MAX)
		mode = mode << 3 | (unsigned)(*t->p++ - '0');
	if (!digits || t->p == t->end || *t->p != ' ')
		return -EINVAL;
	t->p++;
	*out = mode;
	return 0;
}

static int type_of(unsigned mode, enum sync_git_type *out)
{
	switch (mode & TYPE_MASK) {
	case TYPE_FILE:
		*out = mode & 0100 ? SYNC_GIT_PROGRAM : SYNC_GIT_FILE;
		return 0;
	case TYPE_LINK:
		*out = SYNC_GIT_SYMLINK;
		return 0;
	case TYPE_TREE:
		*out = SYNC_GIT_FOLDER;
		return 0;
	case TYPE_OTHER:
		*out = SYNC_GIT_SUBMODULE;
		return 0;
	default:
		return -EINVAL;
	}
}

/* Git's order: a folder's name counts as if it ended with '/'. */
static int compare(const struct sync_git_entry *a, const struct sync_git_entry *b)
{
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c = memcmp(a->name, b->name, n);
	unsigned char ca, cb;

	if (c || (a->name_len == n && b->name_len == n))
		return c;
	ca = a->name_len > n ? (unsigned char)a->name[n] : a->type == SYNC_GIT_FOLDER ? '/' : 0;
	cb = b->name_len > n ? (unsigned char)b->name[n] : b->type == SYNC_GIT_FOLDER ? '/' : 0;
	return ca - cb;
}

static int cut(struct orch_err *err)
{
	return orch_err_set(err, ORCH_ECORRUPT, "it is malformed");
}

int sync_git_tree_next(struct sync_git_tree *t, struct sync_git_entry *out, struct orch_err *err)
{
	struct sync_git_entry e = {.name = NULL};
	const uint8_t *nul;
	unsigned mode;

	if (t->p == t->end)
		return 0;
	if (read_mode(t, &mode) < 0)
		return cut(err);
	nul = memchr(t->p, 0, (size_t)(t->end - t->p));
	if (!nul || nul == t->p || (size_t)(t->end - nul) < 1 + SYNC_GIT_ID_BYTES)
		return cut(err);
	e.name = (const char *)t->p;
	e.name_len = (size_t)(nul - t->p);
	memcpy(e.id.b, nul + 1, SYNC_GIT_ID_BYTES);
	if (type_of(mode, &e.type) < 0)
		return orch_err_set(
		    err, ORCH_ECORRUPT, "an entry has the mode %o, which is of no type", mode);
	if (t->last.name && compare(&t->last, &e) >= 0)
		return orch_err_set(err, ORCH_ECORRUPT, "its names are not in order");
	t->p = nul + 1 + SYNC_GIT_ID_BYTES;
	t->last = e;
	*out = e;
	return 1;
}
