/* The queue of notifications: the order, doubles, and when a name has been sent. */
#include <stdlib.h>
#include <string.h>
#include "core/clock.h"
#include "fsd/mount/notify.h"
#include "tests/lib/tap.h"

static void take(struct mnt_queue *q, const char *name)
{
	struct mnt_note *n = mnt_queue_take(q);

	assert_non_null(n);
	assert_string_equal(n->name, name);
	free(n);
}

static void a_name_is_sent_when_the_next_is_taken(void **state)
{
	struct mnt_queue *q = mnt_queue_new();
	uint64_t a, b;

	(void)state;
	assert_non_null(q);
	assert_true(mnt_queue_wait_sent(q, 0, 0));
	a = mnt_queue_entry(q, 1, "a", 1);
	mnt_queue_attr(q, 7);
	b = mnt_queue_entry(q, 1, "b", 1);
	assert_false(mnt_queue_wait_sent(q, a, 0));
	take(q, "a");
	assert_false(mnt_queue_wait_sent(q, a, 0)); /* it is being sent */
	take(q, "");
	assert_true(mnt_queue_wait_sent(q, a, 0));
	assert_false(mnt_queue_wait_sent(q, b, 0));
	take(q, "b");
	assert_false(mnt_queue_wait_sent(q, b, orch_deadline_in_ms(1)));
	mnt_queue_stop(q);
	assert_null(mnt_queue_take(q));
	assert_true(mnt_queue_wait_sent(q, b, 0));
	mnt_queue_free(q);
}

static void an_attribute_is_queued_once(void **state)
{
	struct mnt_queue *q = mnt_queue_new();

	(void)state;
	assert_non_null(q);
	mnt_queue_attr(q, 7);
	mnt_queue_attr(q, 7);
	take(q, "");
	mnt_queue_attr(q, 7);
	take(q, "");
	mnt_queue_stop(q);
	assert_null(mnt_queue_take(q));
	mnt_queue_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_name_is_sent_when_the_next_is_taken),
	    cmocka_unit_test(an_attribute_is_queued_once),
	};

	return tap_run(tests);
}
