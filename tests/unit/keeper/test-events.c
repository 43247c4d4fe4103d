/* The queue between who works and who sends. */
#include <pthread.h>
#include <stdlib.h>
#include "core/clock.h"
#include "fsd/keeper/events.h"
#include "tests/lib/tap.h"

static void lines_come_out_as_they_went_in(void **state)
{
	struct fsd_events *e = fsd_events_new(1000);
	char out[64];

	(void)state;
	assert_false(fsd_events_any(e));
	assert_int_equal(fsd_events_take(e, out, sizeof(out)), 0);
	assert_int_equal(fsd_events_add(e, "one", 3), 0);
	assert_int_equal(fsd_events_add(e, "two", 3), 0);
	assert_true(fsd_events_any(e));
	assert_int_equal(fsd_events_take(e, out, 5), 5);
	assert_memory_equal(out, "one\nt", 5);
	fsd_events_end(e, NULL, 0);
	assert_int_equal(fsd_events_take(e, out, sizeof(out)), 3);
	assert_memory_equal(out, "wo\n", 3);
	assert_int_equal(fsd_events_take(e, out, sizeof(out)), -ENODATA);
	fsd_events_free(e);
}

static char block[600000];

static void a_consumer_that_does_not_read_stops_the_producer(void **state)
{
	struct fsd_events *e = fsd_events_new(50);
	uint64_t begin = orch_clock_ns();

	(void)state;
	assert_int_equal(fsd_events_add(e, block, sizeof(block)), 0);
	assert_int_equal(fsd_events_add(e, block, sizeof(block)), 0);
	assert_int_equal(fsd_events_add(e, block, sizeof(block)), -ETIMEDOUT);
	assert_true(orch_clock_ns() - begin >= 50 * ORCH_NS_PER_MS);
	fsd_events_cancel(e);
	assert_int_equal(fsd_events_add(e, "x", 1), -ECANCELED);
	fsd_events_free(e);
}

#define LINES 20000

static void *produce(void *arg)
{
	struct fsd_events *e = arg;
	intptr_t failed = 0;

	for (int i = 0; i < LINES; i++)
		failed |= fsd_events_add(e, block, 100) < 0;
	fsd_events_end(e, NULL, 0);
	return (void *)failed;
}

static void nothing_is_lost_between_two_threads(void **state)
{
	struct fsd_events *e = fsd_events_new(10000);
	static char out[4096];
	pthread_t thread;
	size_t total = 0;
	void *failed;
	ssize_t n;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, produce, e), 0);
	while ((n = fsd_events_take(e, out, sizeof(out))) >= 0)
		total += (size_t)n;
	assert_int_equal(n, -ENODATA);
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(total, LINES * 101);
	fsd_events_free(e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_come_out_as_they_went_in),
	    cmocka_unit_test(a_consumer_that_does_not_read_stops_the_producer),
	    cmocka_unit_test(nothing_is_lost_between_two_threads),
	};

	return tap_run(tests);
}
