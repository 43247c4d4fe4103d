/* Globs: what gitignore(5) says, one row a case. */
#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/glob.h"

static const struct {
	const char *pattern, *path;
	bool is_dir, matches;
} rows[] = {
    {"a", "a", false, true},
    {"a", "x/y/a", false, true},
    {"a", "ab", false, false},
    {"*.o", "x/main.o", false, true},
    {"*.o", "main.oo", false, false},
    {"*", "anything", false, true},
    {"?", "a", false, true},
    {"?", "ab", false, false},
    {"/a", "a", false, true},
    {"/a", "x/a", false, false},
    {"a/b", "a/b", false, true},
    {"a/b", "x/a/b", false, false},
    {"a/*", "a/b", false, true},
    {"a/*", "a/b/c", false, false},
    {"a/", "a", true, true},
    {"a/", "a", false, false},
    {"a/", "x/a", true, true},
    {"a/b/", "a/b", true, true},
    {"a/b/", "x/a/b", true, false},
    {"**/a", "a", false, true},
    {"**/a", "x/y/a", false, true},
    {"**/a/b", "x/a/b", false, true},
    {"a/**", "a/b", false, true},
    {"a/**", "a/b/c", false, true},
    {"a/**", "a", true, false},
    {"a/**/b", "a/b", false, true},
    {"a/**/b", "a/x/y/b", false, true},
    {"a/**/b", "a/x/y/c", false, false},
    {"a/**/b/**/c", "a/b/b/x/c", false, true},
    {"a/**/b/*", "a/b/x/b/c", false, true},
    {"**", "a/b", false, true},
    {"a**b", "axxb", false, true},
    {"a**b/c", "ax/xb/c", false, false},
    {"[ab]c", "bc", false, true},
    {"[!ab]c", "bc", false, false},
    {"[^ab]c", "xc", false, true},
    {"[a-c]", "b", false, true},
    {"[a-c]", "d", false, false},
    {"[]]", "]", false, true},
    {"[!]]", "]", false, false},
    {"[a-]", "-", false, true},
    {"[\\]]", "]", false, true},
    {"[[:digit:]x]", "7", false, true},
    {"[[:digit:]x]", "x", false, true},
    {"[[:digit:]x]", "a", false, false},
    {"[a", "[a", false, false},
    {"[a", "a", false, false},
    {"a/[/]b", "a//b", false, false},
    {"\\*", "*", false, true},
    {"\\*", "a", false, false},
    {"\\!a", "!a", false, true},
    {"\\#a", "#a", false, true},
    {"#a", "#a", false, false},
    {"a\\", "a\\", false, false},
    {"a   ", "a", false, true},
    {"a\\ ", "a ", false, true},
    {"a\\\\ ", "a\\", false, true},
    {"", "", false, false},
    {"/", "a", true, false},
    {"caf\xc3\xa9*", "caf\xc3\xa9.txt", false, true},
    {"\xff*", "\xff\xfe", false, true},
    {".*", ".hidden", false, true},
    {"*", ".hidden", false, true},
    {"Build/*.zip", "Build/out.zip", false, true},
    {"!a", "b", false, true},
};

static void table(void **state)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(rows); i++)
		if (orch_glob_match(rows[i].pattern, rows[i].path, rows[i].is_dir) !=
		    rows[i].matches)
			fail_msg("'%s' on '%s'", rows[i].pattern, rows[i].path);
}

static void last_line_decides(void **state)
{
	static const char text[] =
	    "\xef\xbb\xbf# comment\r\n*.log\r\n\n!keep.log\n/build/\nbuild/keep.log";
	struct orch_globs *g = orch_globs_new();

	assert_true(orch_globs_empty(g));
	assert_int_equal(orch_globs_add_text(g, text, sizeof(text) - 1), 0);
	assert_false(orch_globs_empty(g));
	assert_true(orch_globs_match(g, "a.log", false));
	assert_false(orch_globs_match(g, "x/keep.log", false));
	assert_true(orch_globs_match(g, "build/keep.log", false));
	assert_true(orch_globs_match(g, "build", true));
	assert_false(orch_globs_match(g, "build", false));
	assert_false(orch_globs_match(g, "x/build", true));
	assert_int_equal(orch_globs_add(g, "*"), 0);
	assert_true(orch_globs_match(g, "x/keep.log", false));
	orch_globs_free(g);
	orch_globs_free(NULL);
}

/* Patterns that take a naive matcher more than the age of the universe. */
static void work_is_bounded(void **state)
{
	char pattern[2100], path[4001];
	uint64_t start = orch_clock_ns();

	for (size_t i = 0; i < 2000; i += 2)
		memcpy(pattern + i, "a*", 2);
	strcpy(pattern + 2000, "b");
	memset(path, 'a', 4000);
	path[4000] = '\0';
	assert_false(orch_glob_match(pattern, path, false));
	for (size_t i = 0; i < 2000; i += 5)
		memcpy(pattern + i, "**/a/", 5);
	strcpy(pattern + 2000, "b");
	for (size_t i = 1; i < 4000; i += 2)
		path[i] = '/';
	path[3999] = '\0';
	assert_false(orch_glob_match(pattern, path, false));
	assert_true(orch_clock_ns() - start < 5 * ORCH_NS_PER_S);
}

static void test_anchored(void **state)
{
	static const struct {
		const char *line;
		bool anchored;
	} lines[] = {{"a", false}, {"*.o", false}, {"!a", false}, {"a/", false}, {"/a", true},
	    {"a/b", true}, {"**/a", true}};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(lines); i++) {
		struct orch_globs *g = orch_globs_new();

		assert_non_null(g);
		assert_false(orch_globs_anchored(g));
		assert_int_equal(orch_globs_add(g, lines[i].line), 0);
		assert_int_equal(orch_globs_anchored(g), lines[i].anchored);
		orch_globs_free(g);
	}
}

/* One component: nothing of a line's syntax counts. */
static void test_match_name(void **state)
{
	assert_true(orch_glob_match_name("a*[b-d]", 7, "axxc", 4));
	assert_true(orch_glob_match_name("!a ", 3, "!a ", 3));
	assert_true(orch_glob_match_name("#", 1, "#", 1));
	assert_true(orch_glob_match_name("abc", 2, "abx", 2));
	assert_true(orch_glob_match_name("\\*", 2, "*", 1));
	assert_false(orch_glob_match_name("\\*", 2, "a", 1));
	assert_false(orch_glob_match_name("", 0, "a", 1));
	assert_true(orch_glob_match_name("***", 3, "", 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(table),
	    cmocka_unit_test(last_line_decides),
	    cmocka_unit_test(work_is_bounded),
	    cmocka_unit_test(test_anchored),
	    cmocka_unit_test(test_match_name),
	};

	return tap_run(tests);
}
