/* How the daemon ends: who may wait beside whom, and that the first decision counts. */
#include <errno.h>
#include "fsd/keeper/ending.h"
#include "tests/lib/tap.h"

static void a_stop_refuses_new_work(void **state)
{
	struct fsd_ending e = {0};

	(void)state;
	assert_int_equal(fsd_ending_check(&e, NULL), 0);
	assert_int_equal(fsd_ending_begin_stop(&e, NULL), 0);
	assert_int_equal(fsd_ending_begin_stop(&e, NULL), 0); /* with force, from elsewhere */
	assert_int_equal(fsd_ending_check(&e, NULL), -ESHUTDOWN);
	assert_int_equal(fsd_ending_check_stream(&e, NULL), 0); /* a build commits at its end */
	assert_int_equal(fsd_ending_begin_upgrade(&e, NULL), -ESHUTDOWN);
	fsd_ending_give_up_stop(&e);
	assert_int_equal(fsd_ending_check(&e, NULL), -ESHUTDOWN);
	fsd_ending_give_up_stop(&e);
	assert_int_equal(fsd_ending_check(&e, NULL), 0);
}

static void an_upgrade_holds_streams_alone(void **state)
{
	struct fsd_ending e = {0};

	(void)state;
	assert_int_equal(fsd_ending_begin_upgrade(&e, NULL), 0);
	assert_int_equal(fsd_ending_begin_upgrade(&e, NULL), -EBUSY);
	assert_int_equal(fsd_ending_check(&e, NULL), 0);
	assert_int_equal(fsd_ending_check_stream(&e, NULL), -EAGAIN);
	assert_int_equal(fsd_ending_begin_stop(&e, NULL), 0); /* it comes first */
	fsd_ending_give_up_upgrade(&e);
	assert_int_equal(fsd_ending_check_stream(&e, NULL), 0);
}

static void the_first_decision_counts(void **state)
{
	struct fsd_ending e = {0}, f = {0};

	(void)state;
	assert_true(fsd_ending_decide(&e, FSD_END_REPLACE));
	assert_true(fsd_ending_decide(&e, FSD_END_REPLACE));
	assert_false(fsd_ending_decide(&e, FSD_END_STOP));
	assert_int_equal(fsd_ending_begin_stop(&e, NULL), -EAGAIN);
	assert_int_equal(fsd_ending_check(&e, NULL), 0); /* what was let in may end */
	assert_int_equal(fsd_ending_check_stream(&e, NULL), -EAGAIN);
	assert_true(fsd_ending_decide(&f, FSD_END_STOP));
	assert_false(fsd_ending_decide(&f, FSD_END_REPLACE));
	assert_int_equal(fsd_ending_check(&f, NULL), -ESHUTDOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_stop_refuses_new_work),
	    cmocka_unit_test(an_upgrade_holds_streams_alone),
	    cmocka_unit_test(the_first_decision_counts),
	};

	return tap_run(tests);
}
