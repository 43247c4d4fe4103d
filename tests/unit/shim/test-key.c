/* Cache keys: part of a ref's name, whatever they are made of; different inputs, different keys. */
#include "tests/lib/tap.h"

#include <stdio.h>
#include <stdlib.h>
#include "core/path.h"
#include "shim/key.h"

static char *make(const char *repository, const char *branch, const char *version)
{
	struct shim_key_parts parts = {.repository = repository,
	    .branch = branch,
	    .platform = "linux",
	    .engine = "generic",
	    .engine_version = version};
	char *key, ref[2048];

	assert_int_equal(shim_key_make(&parts, &key, NULL), 0);
	snprintf(ref, sizeof(ref), "source/%s", key);
	if (!orch_ref_name_valid(ref))
		fail_msg("%s can't be a ref", ref);
	return key;
}

static void expect_key(
    const char *repository, const char *branch, const char *version, const char *key)
{
	char *got = make(repository, branch, version);

	assert_string_equal(got, key);
	free(got);
}

static void test_parts_are_encoded(void **state)
{
	(void)state;
	expect_key("https://example.org/a/b", "main", "auto",
	    "https%3A%2F%2Fexample.org%2Fa%2Fb/main/linux/generic");
	expect_key("r", "feature/x y", "1.2", "r/feature%2Fx%20y/linux/generic%201.2");
	expect_key("r", NULL, NULL, "r/%20/linux/generic");
	expect_key("r", "100%", NULL, "r/100%25/linux/generic");
}

static void test_git_s_rules_hold(void **state)
{
	static const char *const odd[] = {".", "..", ".a", "a.", "a..b", "a.lock", "@{", "a@{b",
	    "~^:?*[\\", "\x7f\x01", "@", "-", "\xff"};

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(odd); i++)
		free(make(odd[i], odd[i], odd[i]));
}

static void test_long_parts(void **state)
{
	char a[1000], b[1000], *ka, *kb;

	(void)state;
	memset(a, 'x', sizeof(a) - 1);
	a[sizeof(a) - 1] = '\0';
	memcpy(b, a, sizeof(a));
	b[sizeof(b) - 2] = 'y';
	ka = make(a, a, a);
	kb = make(b, a, a);
	assert_string_not_equal(ka, kb);
	assert_true(strlen(ka) < 900);
	free(ka);
	free(kb);
}

static void test_different_inputs_differ(void **state)
{
	char *a = make("r/a", "b", NULL), *b = make("r", "a/b", NULL),
	     *c = make("r%2Fa", "b", NULL);

	(void)state;
	assert_string_not_equal(a, b);
	assert_string_not_equal(a, c);
	free(a);
	free(b);
	free(c);
}

static void test_a_user_s_key(void **state)
{
	static const char *const pairs[][2] = {{"nightly", "nightly"}, {"team/game", "team/game"},
	    {"a b", "a%20b"}, {"a%20b", "a%2520b"}, {"a..b", "a%2E%2Eb"}, {"/x", "%2Fx"}};
	char *key;

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(pairs); i++) {
		assert_int_equal(shim_key_from_user(pairs[i][0], &key, NULL), 0);
		assert_string_equal(key, pairs[i][1]);
		free(key);
	}
	assert_int_equal(shim_key_from_user("", &key, NULL), -EINVAL);
}

static void test_repositories(void **state)
{
	static const char *const pairs[][2] = {
	    {"https://user:secret@example.org/a/b.git", "https://example.org/a/b"},
	    {"https://example.org/a/b/", "https://example.org/a/b"},
	    {"git@example.org:a/b.git", "git@example.org:a/b"}, {"/srv/a.git", "/srv/a"},
	    {"ssh://git@example.org/x@y", "ssh://example.org/x@y"}};

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(pairs); i++) {
		char *got = shim_key_repository(pairs[i][0]);

		assert_string_equal(got, pairs[i][1]);
		free(got);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parts_are_encoded),
	    cmocka_unit_test(test_git_s_rules_hold),
	    cmocka_unit_test(test_long_parts),
	    cmocka_unit_test(test_different_inputs_differ),
	    cmocka_unit_test(test_a_user_s_key),
	    cmocka_unit_test(test_repositories),
	};

	return tap_run(tests);
}
