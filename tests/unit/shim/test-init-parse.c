/* What orch-init's command line may not say: with these it would have gone on as root, or without its control. */
#include "tests/lib/tap.h"

#include <string.h>
#include "shim/init_parse.h"

static const char *refusal(const char *const *argv)
{
	struct shim_init_options o;
	char *words[16] = {NULL};
	const char *why = NULL;

	for (size_t i = 0; argv[i]; i++)
		memcpy(&words[i], &argv[i], sizeof(words[i]));
	return shim_init_options_parse(words, &o, &why) < 0 ? why : NULL;
}

#define ARGV(...)                                          \
	(const char *const[])                              \
	{                                                  \
		"orch-init", __VA_ARGS__, "--", "id", NULL \
	}

static void test_no_id_means_as_it_is(void **state)
{
	(void)state;
	assert_null(refusal(ARGV("--uid", "4294967294", "--gid", "0")));
	assert_string_equal(
	    refusal(ARGV("--uid", "4294967295", "--gid", "1")), "a number is expected");
	assert_string_equal(
	    refusal(ARGV("--uid", "1", "--gid", "4294967295")), "a number is expected");
	assert_string_equal(
	    refusal(ARGV("--uid", "4294967296", "--gid", "1")), "a number is expected");
}

static void test_uid_and_gid_go_together(void **state)
{
	(void)state;
	assert_string_equal(refusal(ARGV("--uid", "1")), "--uid and --gid go together");
	assert_string_equal(refusal(ARGV("--gid", "1")), "--uid and --gid go together");
	assert_string_equal(refusal(ARGV("--own", "/x")), "--own needs --uid");
}

static void test_a_descriptor_is_a_number(void **state)
{
	(void)state;
	assert_null(refusal(ARGV("--control", "3", "--env", "4")));
	assert_string_equal(refusal(ARGV("--control", "4294967295")), "a number is expected");
	assert_string_equal(refusal(ARGV("--env", " 4")), "a number is expected");
	assert_string_equal(refusal(ARGV("--env", "+4")), "a number is expected");
}

static void test_what_is_not_understood_is_refused(void **state)
{
	static const char *const nothing[] = {NULL}, *const no_command[] = {
							 "orch-init", "--", NULL};

	(void)state;
	assert_string_equal(refusal(nothing), "no command");
	assert_string_equal(refusal(no_command), "no command");
	assert_string_equal(refusal(ARGV("--rm", "x")), "unknown option");
	assert_string_equal(refusal(ARGV("--cwd")), "unknown option");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_id_means_as_it_is),
	    cmocka_unit_test(test_uid_and_gid_go_together),
	    cmocka_unit_test(test_a_descriptor_is_a_number),
	    cmocka_unit_test(test_what_is_not_understood_is_refused),
	};

	return tap_run(tests);
}
