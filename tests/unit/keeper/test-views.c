/* Paths of views: whom they are for, and what is none. */
#include <string.h>
#include "fsd/keeper/views.h"
#include "tests/lib/tap.h"

static void test_a_path_tells_whom_it_is_for(void **state)
{
	static const struct {
		const char *path;
		uint32_t uid, gid;
	} good[] = {
	    {"/run/orch/.views/w.0.0", 0, 0},
	    {"/.views/w.1.2.3.4", 3, 4}, /* of w.1.2 */
	    {"/m/.views/w.4294967294.1000", 4294967294u, 1000},
	};
	struct fsd_view v;

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(good); i++) {
		assert_true(fsd_view_parse(good[i].path, &v));
		assert_int_equal(v.uid, good[i].uid);
		assert_int_equal(v.gid, good[i].gid);
		assert_ptr_equal(v.path, good[i].path);
	}
}

static void test_other_paths_are_none(void **state)
{
	static const char *const bad[] = {"/m/w", "/m/w.0.0", "/m/.views", "/m/.views/",
	    "/m/.views/w", "/m/.views/w.0", "/m/.views/.0.0", "/m/.views/w.0.", "/m/.views/w..0",
	    "/m/.views/w.4294967295.0", "/m/.views/w.0.-1", "/m/.views/w.0.0/x", "/m/x.views/w.0.0",
	    ".views/w.0.0", "", "/"};
	struct fsd_view v;

	(void)state;
	for (size_t i = 0; i < ORCH_ARRAY_LEN(bad); i++)
		assert_false(fsd_view_parse(bad[i], &v));
}

static void test_the_name_of_the_workspace_is_what_is_left(void **state)
{
	struct fsd_view v;
	size_t len;

	(void)state;
	assert_true(fsd_view_name_parse("w.1.2.3", &len, &v));
	assert_int_equal(len, strlen("w.1"));
	assert_int_equal(v.uid, 2);
	assert_false(fsd_view_name_parse("w.x.2", &len, &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_a_path_tells_whom_it_is_for),
	    cmocka_unit_test(test_other_paths_are_none),
	    cmocka_unit_test(test_the_name_of_the_workspace_is_what_is_left),
	};

	return tap_run(tests);
}
