/* Git's objects, names, attributes and conversions: what is pure of the import of a commit. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/tap.h"

#include "sync/git_attr.h"
#include "sync/git_convert.h"
#include "sync/git_name.h"
#include "sync/git_parse.h"

/* ---- objects ---- */

#define HEX "0123456789abcdef0123456789abcdef01234567"

static void test_ids(void **state)
{
	char hex[SYNC_GIT_ID_HEX + 1];
	struct sync_git_id id;

	assert_int_equal(sync_git_id_parse(HEX, &id), 0);
	sync_git_id_format(&id, hex);
	assert_string_equal(hex, HEX);
	assert_int_equal(sync_git_id_parse(HEX "0", &id), -EINVAL);
	assert_int_equal(sync_git_id_parse("", &id), -EINVAL);
	assert_int_equal(
	    sync_git_id_parse("x123456789abcdef0123456789abcdef01234567", &id), -EINVAL);
}

static void test_commits(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds; /* -1: refused */
	} cases[] = {
	    {"tree " HEX "\nauthor A <a> 5 +0000\ncommitter C <c> 1700000000 +0100\n\nmessage",
		1700000000},
	    {"tree " HEX "\nparent " HEX "\ncommitter C <c>\n\n", 0},
	    {"tree " HEX "\ncommitter C <c> 99999999999999999999 +0000\n",
		INT64_MAX / 1000000000 - 1},
	    {"tree " HEX "\n\ncommitter C <c> 7 +0000\n", 0},
	    {"tree " HEX "\ncommitter no mail\n", 0},
	    {"tree " HEX, 0},
	    {"tree 0123\n", -1},
	    {"object " HEX "\n", -1},
	    {"", -1},
	};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(cases); i++) {
		struct sync_git_commit c;
		int r = sync_git_commit_parse(cases[i].text, strlen(cases[i].text), &c, NULL);

		if (cases[i].seconds < 0) {
			assert_int_equal(r, -ORCH_ECORRUPT);
			continue;
		}
		assert_int_equal(r, 0);
		assert_true(c.wall_ns == cases[i].seconds * 1000000000);
		assert_int_equal(c.tree.b[0], 0x01);
	}
}

/* A tree out of "MODE NAME" lines. */
static size_t make_tree(const char *lines, uint8_t *out)
{
	size_t n = 0;

	while (*lines) {
		size_t len = strcspn(lines, "\n");

		memcpy(out + n, lines, len);
		n += len;
		out[n++] = 0;
		memset(out + n, 'i', SYNC_GIT_ID_BYTES);
		n += SYNC_GIT_ID_BYTES;
		lines += len + (lines[len] == '\n');
	}
	return n;
}

static int read_tree(const uint8_t *p, size_t n, enum sync_git_type *types, size_t *count)
{
	struct sync_git_tree t = {.p = p, .end = p + n};
	struct sync_git_entry e;
	int r;

	*count = 0;
	while ((r = sync_git_tree_next(&t, &e, NULL)) == 1)
		types[(*count)++] = e.type;
	return r;
}

static void test_trees(void **state)
{
	static const struct {
		const char *lines;
		int r;
		size_t count;
	} cases[] = {
	    {"", 0, 0},
	    {"100644 a\n100755 b\n120000 c\n40000 d\n160000 e", 0, 5},
	    {"100664 a\n040000 b", 0, 2},
	    {"100644 a-\n40000 a\n100644 a0", 0, 3}, /* a folder sorts as "a/" */
	    {"40000 a\n100644 a-", -ORCH_ECORRUPT, 1},
	    {"100644 b\n100644 a", -ORCH_ECORRUPT, 1},
	    {"100644 a\n100644 a", -ORCH_ECORRUPT, 1},
	    {"100644 a\n120000 a", -ORCH_ECORRUPT, 1},
	    {"0 a", -ORCH_ECORRUPT, 0},
	    {"60644 a", -ORCH_ECORRUPT, 0},
	    {"1000644 a", -ORCH_ECORRUPT, 0},
	    {"100648 a", -ORCH_ECORRUPT, 0},
	    {"100644 ", -ORCH_ECORRUPT, 0},
	    {" a", -ORCH_ECORRUPT, 0},
	};
	enum sync_git_type types[8];
	uint8_t bytes[512];
	size_t count;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(cases); i++) {
		size_t n = make_tree(cases[i].lines, bytes);

		assert_int_equal(read_tree(bytes, n, types, &count), cases[i].r);
		assert_int_equal(count, cases[i].count);
		for (size_t cut = 1; n && cases[i].r == 0 && cut < SYNC_GIT_ID_BYTES; cut++)
			assert_int_equal(read_tree(bytes, n - cut, types, &count), -ORCH_ECORRUPT);
	}
	read_tree(bytes, make_tree(cases[1].lines, bytes), types, &count);
	for (size_t i = 0; i < 5; i++)
		assert_int_equal(types[i], i);
}

/* ---- names ---- */

static void test_names(void **state)
{
	static const char *const good[] = {"a", ".gitignore", ".gitattributes", ".gitmodules",
	    "git", "git~2", ".gitx", "a.git", ".git.x", "..a", "...", "\x01\x1f\x7f", "\xff\xfe",
	    "a\\b", "CON", "nul.txt", ".git...............x", "gi7eba~1", ".gi t", "a:b", "git~1x",
	    ".git\xc3\xa4", " .git"};
	static const char *const bad[] = {"", ".", "..", "a/b", "/", ".git", ".GIT", ".Git",
	    "git~1", "GIT~1", ".git.", ".git ", ".git. . ", ".git::$INDEX_ALLOCATION", ".git:x",
	    ".g\xe2\x80\x8cit", "\xe2\x80\x8e.git", ".git\xef\xbb\xbf", ".gi\xe2\x81\xaat",
	    ".git\\x", "a\\.git", "a\\GIT~1", ".git .\xe2\x80\xaa:x", ".git\xffx",
	    ".git................................."};
	static const char *const links[] = {".gitmodules", ".GitModules", ".gitmodules.",
	    "gitmod~1", "GI7EBA~1", "gi7eb~10", ".gitmod\xe2\x80\x8cules", ".gitmodules:$DATA",
	    "a\\.gitmodules", "\\gitmod~1"};
	char longest[257];

	for (size_t i = 0; i < ORCH_ARRAY_LEN(good); i++)
		if (sync_git_name_wrong(good[i], strlen(good[i]), false))
			fail_msg("'%s' is refused", good[i]);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(bad); i++)
		if (!sync_git_name_wrong(bad[i], strlen(bad[i]), false))
			fail_msg("'%s' is allowed", bad[i]);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(links); i++) {
		if (!sync_git_name_wrong(links[i], strlen(links[i]), true))
			fail_msg("a link '%s' is allowed", links[i]);
		assert_null(sync_git_name_wrong(links[i], strlen(links[i]), false));
	}
	memset(longest, 'x', sizeof(longest));
	assert_null(sync_git_name_wrong(longest, 255, false));
	assert_non_null(sync_git_name_wrong(longest, 256, false));
	assert_non_null(sync_git_name_wrong("a\0b", 3, false));
}

static void test_names_shown(void **state)
{
	struct orch_buf out = ORCH_BUF_INIT;

	assert_int_equal(sync_git_name_show("a\n\xc3\xa4\xff\x1b[31m\xc2\x9b", 12, &out), 0);
	assert_string_equal((char *)out.data, "a\\x0a\xc3\xa4\\xff\\x1b[31m\\xc2\\x9b");
	orch_buf_fini(&out);
}

/* ---- attributes ---- */

struct tree { /* "path\0text" of .gitattributes files, from the root downwards */
	const char *folder, *text;
};

static void split(const char *path, const char **out_rest, size_t *out_len)
{
	const char *slash = strchr(path, '/');

	*out_len = slash ? (size_t)(slash - path) : strlen(path);
	*out_rest = slash ? slash + 1 : path + *out_len;
}

static const struct sync_git_attr_state *add_file(struct sync_git_attrs *a, const struct tree *t,
    size_t n, const char *folder, const struct sync_git_attr_state *s)
{
	size_t ignored;

	for (size_t i = 0; i < n; i++)
		if (strcmp(t[i].folder, folder) == 0)
			assert_int_equal(sync_git_attrs_add(a, *folder ? s : NULL, t[i].text,
					     strlen(t[i].text), &s, &ignored, NULL),
			    0);
	return s;
}

/* What is said of a file, as text: "text=auto eol=crlf -ident". */
static char *say(
    struct sync_git_attrs *a, const struct tree *t, size_t n, const char *path, uint8_t *key)
{
	static const char *const names[] = {"text", "crlf", "eol", "ident", "filter", "encoding"};
	const struct sync_git_attr_state *s = add_file(a, t, n, "", sync_git_attrs_none(a));
	struct sync_git_attr_value v[SYNC_GIT_ATTRS];
	struct orch_buf out = ORCH_BUF_INIT;
	const char *at = path, *rest;
	size_t len;

	for (split(at, &rest, &len); *rest; at = rest, split(at, &rest, &len)) {
		char folder[64];

		assert_int_equal(sync_git_attrs_enter(a, s, at, len, &s, NULL), 0);
		memcpy(folder, path, (size_t)(at + len - path));
		folder[at + len - path] = '\0';
		s = add_file(a, t, n, folder, s);
	}
	sync_git_attrs_look(a, s, at, len, v);
	sync_git_attrs_key(s, key);
	for (size_t i = 0; i < SYNC_GIT_ATTRS; i++)
		if (v[i].is != SYNC_GIT_ATTR_UNKNOWN)
			(void)orch_buf_printf(&out, "%s%s%s%s%s", out.len ? " " : "",
			    v[i].is == SYNC_GIT_ATTR_UNSET ? "-" : "", names[i],
			    v[i].is == SYNC_GIT_ATTR_VALUE ? "=" : "",
			    v[i].is == SYNC_GIT_ATTR_VALUE ? v[i].text : "");
	return orch_buf_take_str(&out);
}

static const struct tree files[] = {
    {"", "# comment\n"
	 "*.txt text eol=crlf\n"
	 "*.txt !eol diff\n"
	 "/top ident\n"
	 "a/*.c text=auto\n"
	 "**/deep/x filter=lfs\r\n"
	 "gen/** -text\n"
	 "*.bin binary\n"
	 "[attr]mine eol=lf ident\n"
	 "*.mine mine\n"
	 "no.mine -mine\n"
	 "\"sp ace\" ident\n"
	 "\"q\\164\" ident\n"
	 "folder/ ident\n"
	 "!neg ident\n"
	 "bad -=x ident\n"
	 "a/b/*/d ident\n"
	 "[0-9]x ident\n"
	 "st/***/ar ident\n"
	 "qs\\/x ident\n"
	 "enc working-tree-encoding=UTF-16\n"},
    {"a", "*.c eol=lf\nb/y ident\n[attr]other ident\n"},
    {"a/b", "y -ident\n"},
};

static void test_attributes(void **state)
{
	static const char *const cases[][2] = {
	    {"x.txt", "text"},
	    {"d/e/x.txt", "text"},
	    {"top", "ident"},
	    {"d/top", ""},
	    {"a/x.c", "text=auto eol=lf"},
	    {"a/b/x.c", "eol=lf"},
	    {"deep/x", "filter=lfs"},
	    {"p/q/deep/x", "filter=lfs"},
	    {"deep/p/x", ""},
	    {"gen/p", "-text"},
	    {"gen/p/q", "-text"},
	    {"gen", ""},
	    {"d/x.bin", "-text"},
	    {"x.mine", "eol=lf ident"},
	    {"d/no.mine", ""},
	    {"sp ace", "ident"},
	    {"qt", "ident"},
	    {"folder", ""},
	    {"neg", ""},
	    {"bad", ""},
	    {"a/b/c/d", "ident"},
	    {"a/b/c/e/d", ""},
	    {"3x", "ident"},
	    {"st/ar", "ident"},
	    {"st/a/b/ar", "ident"},
	    {"qs/x", "ident"},
	    {"a/b/y", "-ident"},
	    {"a/y", ""},
	    {"enc", "encoding=UTF-16"},
	};
	struct sync_git_attrs *a;
	uint8_t key[SYNC_GIT_KEY_BYTES];

	for (size_t i = 0; i < ORCH_ARRAY_LEN(cases); i++) {
		char *said;

		a = sync_git_attrs_new();
		assert_non_null(a);
		said = say(a, files, ORCH_ARRAY_LEN(files), cases[i][0], key);
		if (strcmp(said, cases[i][1]) != 0)
			fail_msg("%s: '%s', not '%s'", cases[i][0], said, cases[i][1]);
		free(said);
		sync_git_attrs_free(a);
	}
}

static void state_key(
    const struct tree *t, size_t n, const char *path, uint8_t key[SYNC_GIT_KEY_BYTES])
{
	struct sync_git_attrs *a = sync_git_attrs_new();

	free(say(a, t, n, path, key));
	sync_git_attrs_free(a);
}

static bool same_key(const struct tree *t, const char *p, const struct tree *u, const char *q)
{
	uint8_t a[SYNC_GIT_KEY_BYTES], b[SYNC_GIT_KEY_BYTES];

	state_key(t, 1, p, a);
	state_key(u, 1, q, b);
	return memcmp(a, b, sizeof(a)) == 0;
}

/* The key says what can happen below a folder, not where it is. */
static void test_attribute_keys(void **state)
{
	static const struct tree everywhere = {"", "*.txt text\n"},
				 one = {"", "a/b/*.txt text\n*.x diff\n"},
				 other = {"", "a/b/*.txt -text\n"},
				 nothing = {"", "*.c diff=cpp\n"},
				 macro = {"", "[attr]m ident\n* m\n"},
				 macro2 = {"", "[attr]m -ident\n* m\n"};
	uint8_t zero[SYNC_GIT_KEY_BYTES] = {0}, key[SYNC_GIT_KEY_BYTES];

	assert_true(same_key(&everywhere, "x", &everywhere, "a/b/x"));
	assert_true(same_key(&one, "c/x", &one, "d/e/x"));
	assert_false(same_key(&one, "a/x", &one, "a/b/x"));
	assert_false(same_key(&one, "a/x", &one, "x"));
	assert_false(same_key(&one, "a/b/x", &other, "a/b/x"));
	assert_true(same_key(&one, "b/x", &other, "c/x"));
	assert_false(same_key(&macro, "x", &macro2, "x"));
	state_key(&nothing, 1, "x", key);
	assert_memory_equal(key, zero, sizeof(key));
	state_key(&one, 1, "c/x", key);
	assert_memory_equal(key, zero, sizeof(key));
}

/* Rules without end are refused, patterns without end are bounded. */
static void test_attributes_hostile(void **state)
{
	struct sync_git_attrs *a = sync_git_attrs_new();
	const struct sync_git_attr_state *s, *none = sync_git_attrs_none(a);
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_buf text = ORCH_BUF_INIT;
	size_t ignored;

	for (int i = 0; i < 70000; i++)
		(void)orch_buf_add_str(&text, "* text\n");
	assert_int_equal(
	    sync_git_attrs_add(a, none, (char *)text.data, text.len, &s, &ignored, &err), -EFBIG);
	orch_buf_reset(&text);
	for (int i = 0; i < 400; i++)
		(void)orch_buf_add_str(&text, "**/*/");
	(void)orch_buf_add_str(&text, "x text\n");
	assert_int_equal(
	    sync_git_attrs_add(a, none, (char *)text.data, text.len, &s, &ignored, &err), 0);
	for (int i = 0; i < 500; i++)
		assert_int_equal(sync_git_attrs_enter(a, s, "d", 1, &s, &err), 0);
	orch_buf_reset(&text);
	for (int i = 0; i < 3000; i++)
		(void)orch_buf_add_str(&text, "x");
	(void)orch_buf_add_str(&text, " text\n\"unclosed text\n* text\0\n");
	assert_int_equal(
	    sync_git_attrs_add(a, none, (char *)text.data, text.len, &s, &ignored, &err), 0);
	assert_int_equal(ignored, 2);
	orch_buf_fini(&text);
	sync_git_attrs_free(a);
}

/* ---- conversions ---- */

static struct sync_git_how how_of(const char *line)
{
	struct sync_git_attrs *a = sync_git_attrs_new();
	static struct sync_git_attrs *last;
	struct sync_git_attr_value v[SYNC_GIT_ATTRS];
	const struct sync_git_attr_state *s;
	struct sync_git_how how;
	size_t ignored;
	char text[128];

	sync_git_attrs_free(last); /* what the one before points into */
	last = a;
	snprintf(text, sizeof(text), "* %s\n", line);
	assert_int_equal(sync_git_attrs_add(a, NULL, text, strlen(text), &s, &ignored, NULL), 0);
	sync_git_attrs_look(a, s, "f", 1, v);
	sync_git_how_of(v, &how);
	if (!*line) {
		sync_git_attrs_free(a);
		last = NULL;
	}
	return how;
}

static void test_how(void **state)
{
	static const struct {
		const char *line;
		enum sync_git_lines lines;
		bool plain;
	} cases[] = {
	    {"text", SYNC_GIT_LINES_KEEP, true},
	    {"text eol=crlf", SYNC_GIT_LINES_CRLF, false},
	    {"eol=crlf", SYNC_GIT_LINES_CRLF, false},
	    {"text=auto eol=crlf", SYNC_GIT_LINES_AUTO, false},
	    {"-text eol=crlf", SYNC_GIT_LINES_KEEP, true},
	    {"text eol=lf", SYNC_GIT_LINES_KEEP, true},
	    {"crlf=auto eol=crlf", SYNC_GIT_LINES_AUTO, false},
	    {"-crlf eol=crlf", SYNC_GIT_LINES_KEEP, true},
	    {"text=input eol=crlf", SYNC_GIT_LINES_CRLF, false},
	    {"ident", SYNC_GIT_LINES_KEEP, false},
	    {"filter=lfs eol=crlf ident", SYNC_GIT_LINES_KEEP, true},
	    {"working-tree-encoding=utf-16", SYNC_GIT_LINES_KEEP, false},
	    {"working-tree-encoding=KLINGON", SYNC_GIT_LINES_KEEP, true},
	};
	uint8_t key[SYNC_GIT_KEY_BYTES], lfs[SYNC_GIT_KEY_BYTES];
	struct sync_git_how how;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(cases); i++) {
		how = how_of(cases[i].line);
		assert_int_equal(how.lines, cases[i].lines);
		assert_int_equal(sync_git_how_is_plain(&how), cases[i].plain);
	}
	assert_string_equal(how.not_encoded, "KLINGON");
	how = how_of("filter=crypt");
	assert_string_equal(how.filter, "crypt");
	sync_git_how_key(&how, key);
	how = how_of("filter=lfs");
	assert_true(how.lfs && !how.filter);
	sync_git_how_key(&how, lfs);
	assert_memory_not_equal(key, lfs, sizeof(key));
	how_of("");
}

static void expect(
    const char *line, const char *in, size_t in_len, const char *want, size_t want_len)
{
	struct sync_git_how how = how_of(line);
	struct orch_buf out = ORCH_BUF_INIT;
	struct sync_git_id id;
	bool failed;
	int r;

	assert_int_equal(sync_git_id_parse(HEX, &id), 0);
	r = sync_git_convert(&how, &id, in, in_len, &out, &failed);
	assert_int_equal(r, want != NULL);
	if (want) {
		assert_int_equal(out.len, want_len);
		assert_memory_equal(out.data, want, want_len);
	}
	orch_buf_fini(&out);
}
#define EXPECT(line, in, want) expect(line, in, sizeof(in) - 1, want, sizeof(want) - 1)
#define SAME(line, in)	       expect(line, in, sizeof(in) - 1, NULL, 0)

static void test_convert(void **state)
{
	EXPECT("eol=crlf", "a\nb\r\nc\n", "a\r\nb\r\nc\r\n");
	EXPECT("eol=crlf", "\n\n", "\r\n\r\n");
	EXPECT("eol=crlf", "\0a\n", "\0a\r\n");
	SAME("eol=crlf", "a\r\n");
	SAME("eol=crlf", "");
	EXPECT("text=auto eol=crlf", "a\nb", "a\r\nb");
	SAME("text=auto eol=crlf", "a\nb\r\n");
	SAME("text=auto eol=crlf", "a\nb\0");
	SAME("text=auto eol=crlf", "a\rb\n");
	SAME("text=auto eol=crlf", "\x01\n");
	EXPECT("text=auto eol=crlf", "a\n\x1a", "a\r\n\x1a");
	EXPECT("ident", "$Id$", "$Id: " HEX " $");
	EXPECT("ident", "x $Id: old $ y $Id$\n", "x $Id: " HEX " $ y $Id: " HEX " $\n");
	SAME("ident", "$Id: not closed");
	SAME("ident", "$Id: file,v 1.2 someone $");
	SAME("ident", "$Id: line\n $");
	SAME("ident", "$id$ $Idx$");
	EXPECT("ident", "$$Id$$", "$$Id: " HEX " $$");
	EXPECT("ident eol=crlf", "$Id$\n", "$Id: " HEX " $\r\n");
	EXPECT("working-tree-encoding=UTF-16", "a\xc3\xa4",
	    "\xff\xfe"
	    "a\0\xe4\0");
	EXPECT("working-tree-encoding=utf16le", "\xf0\x9f\x98\x80", "\x3d\xd8\x00\xde");
	EXPECT("working-tree-encoding=UTF-16BE", "a", "\0a");
	EXPECT("working-tree-encoding=UTF-16BE-BOM", "a", "\xfe\xff\0a");
	EXPECT("working-tree-encoding=UTF-32LE", "a", "a\0\0\0");
	EXPECT("working-tree-encoding=latin1", "\xc3\xa4", "\xe4");
	EXPECT("eol=crlf working-tree-encoding=UTF-16LE", "a\n", "a\0\r\0\n\0");
	SAME("working-tree-encoding=UTF-16", "\xff");
	SAME("working-tree-encoding=UTF-16", "");
	SAME("working-tree-encoding=latin1", "\xe2\x82\xac");
	how_of("");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_commits),
	    cmocka_unit_test(test_trees),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_names_shown),
	    cmocka_unit_test(test_attributes),
	    cmocka_unit_test(test_attribute_keys),
	    cmocka_unit_test(test_attributes_hostile),
	    cmocka_unit_test(test_how),
	    cmocka_unit_test(test_convert),
	};

	return tap_run(tests);
}
