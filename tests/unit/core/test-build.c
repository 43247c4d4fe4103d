/* The harness itself: the wrapper of cmocka runs, the build's definitions reach a test. */
#include "tests/lib/tap.h"

static void test_version_is_defined(void **state)
{
	(void)state;
	assert_string_equal(ORCH_VERSION, PACKAGE_VERSION);
	assert_int_equal(ORCH_PKGLIBEXECDIR[0], '/');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_version_is_defined),
	};

	return tap_run(tests);
}
