/* Files that go: never before the log is durable, all of them in the end. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include "tests/lib/tap.h"
#include "core/clock.h"
#include "fsd/mount/remover.h"

struct world {
	atomic_int syncs, removed, early; /* early: removed without a sync since it was added */
	atomic_ullong durable, last;	  /* ids up to which the log is durable, was added */
	int fail;
	struct mnt_remover *r;
};

static int make_durable(void *priv)
{
	struct world *w = priv;

	if (w->fail)
		return w->fail;
	w->syncs++;
	w->durable = w->last;
	return 0;
}

static void do_remove(void *priv, const struct mnt_doomed *v, size_t count)
{
	struct world *w = priv;

	for (size_t i = 0; i < count; i++) {
		w->removed++;
		w->early += v[i].id > w->durable;
	}
}

static void add(struct world *w, bool hurry)
{
	struct mnt_doomed *v = malloc(sizeof(*v));

	assert_non_null(v);
	*v = (struct mnt_doomed){1, ++w->last};
	mnt_remover_add(w->r, v, 1, hurry);
}

static void start(struct world *w)
{
	const struct mnt_remover_ops ops = {make_durable, do_remove, w};

	w->r = mnt_remover_new(&ops);
	assert_non_null(w->r);
}

static void test_one_sync_serves_many(void **state)
{
	struct world w = {0};

	start(&w);
	for (int i = 0; i < 1000; i++)
		add(&w, false);
	assert_true(mnt_remover_flush(w.r));
	assert_int_equal(w.removed, 1000);
	assert_int_equal(w.early, 0);
	assert_true(w.syncs <= 100);
	assert_false(mnt_remover_flush(w.r));
	mnt_remover_free(w.r);
}

static void wait_removed(struct world *w, int count, uint64_t ms)
{
	uint64_t until = orch_deadline_in_ms(ms);
	const struct timespec little = {.tv_nsec = 1000000};

	while (w->removed < count && orch_clock_ns() < until)
		nanosleep(&little, NULL);
	assert_int_equal(w->removed, count);
}

static void test_by_itself(void **state)
{
	struct world w = {0};

	start(&w);
	add(&w, false);
	wait_removed(&w, 1, 60000);
	for (int i = 0; i < 50; i++)
		add(&w, true);
	wait_removed(&w, 51, 60000);
	assert_int_equal(w.early, 0);
	mnt_remover_free(w.r);
}

static void test_the_end_removes_the_rest(void **state)
{
	struct world w = {0};

	start(&w);
	for (int i = 0; i < 10; i++)
		add(&w, false);
	mnt_remover_free(w.r);
	assert_int_equal(w.removed, 10);
	assert_int_equal(w.early, 0);
}

static void test_nothing_goes_when_the_log_fails(void **state)
{
	struct world w = {.fail = -5};

	start(&w);
	add(&w, true);
	(void)mnt_remover_flush(w.r);
	add(&w, true);
	mnt_remover_free(w.r);
	assert_int_equal(w.removed, 0);
}

static void *flusher(void *arg)
{
	struct world *w = arg;

	for (int i = 0; i < 50; i++)
		mnt_remover_flush(w->r);
	return NULL;
}

static void test_by_several_threads(void **state)
{
	struct world w = {0};
	pthread_t t[2];

	start(&w);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&t[i], NULL, flusher, &w), 0);
	for (int i = 0; i < 2000; i++)
		add(&w, i % 7 == 0);
	for (int i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	mnt_remover_free(w.r);
	assert_int_equal(w.removed, 2000);
	assert_int_equal(w.early, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_sync_serves_many),
	    cmocka_unit_test(test_by_itself),
	    cmocka_unit_test(test_the_end_removes_the_rest),
	    cmocka_unit_test(test_nothing_goes_when_the_log_fails),
	    cmocka_unit_test(test_by_several_threads),
	};

	return tap_run(tests);
}
