/* What root has allowed in /etc/fuse.conf. */
#include "core/fuse_conf.h"
#include <string.h>
#include "tests/lib/tap.h"

static struct orch_fuse_conf parse(const char *text)
{
	struct orch_fuse_conf c = {0};

	orch_fuse_conf_parse(text, strlen(text), &c);
	return c;
}

static void is_closed_by_default(void **state)
{
	struct orch_fuse_conf c = parse("");

	(void)state;
	assert_false(c.user_allow_other);
	assert_int_equal(c.mount_max, 1000);
	orch_fuse_conf_load("/nonexistent/fuse.conf", &c);
	assert_false(c.user_allow_other);
	assert_int_equal(c.mount_max, 1000);
}

static void reads_what_counts(void **state)
{
	struct orch_fuse_conf c =
	    parse("# a comment\n\n  user_allow_other # yes\nmount_max = 50\n");

	(void)state;
	assert_true(c.user_allow_other);
	assert_int_equal(c.mount_max, 50);
	assert_true(parse("mount_max = 2\nuser_allow_other").user_allow_other);
	assert_int_equal(parse("mount_max=7").mount_max, 7);
	assert_int_equal(parse("mount_max = -1").mount_max, -1);
}

static void skips_the_rest(void **state)
{
	static const char *const closed[] = {"#user_allow_other\n", "user_allow_others\n",
	    "user_allow_other = yes\n", "user allow_other", "allow_other"};
	static const char *const usual[] = {"mount_max = \n", "mount_max = x", "mount_max",
	    "mount_max 5", "mount_max = 99999999999999999999", "# mount_max = 5"};

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(closed); i++)
		assert_false(parse(closed[i]).user_allow_other);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(usual); i++)
		assert_int_equal(parse(usual[i]).mount_max, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(is_closed_by_default),
	    cmocka_unit_test(reads_what_counts),
	    cmocka_unit_test(skips_the_rest),
	};

	return tap_run(tests);
}
