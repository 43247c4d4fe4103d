/* The pool: everything runs once, tasks add tasks, a full queue never stops it. */
#include "tests/lib/tap.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/pool.h"

static atomic_uint done;

static void count(void *arg)
{
	atomic_fetch_add(&done, 1);
}

static void everything_runs_once(void **state)
{
	struct orch_pool *p = orch_pool_new(4, 8);

	atomic_store(&done, 0);
	for (int i = 0; i < 10000; i++)
		orch_pool_add(p, count, NULL);
	orch_pool_drain(p);
	assert_int_equal(atomic_load(&done), 10000);
	for (int i = 0; i < 100; i++)
		orch_pool_add(p, count, NULL);
	orch_pool_free(p);
	assert_int_equal(atomic_load(&done), 10100);
	orch_pool_free(NULL);
}

struct node {
	struct orch_pool *pool;
	int depth;
};

static void spread(void *arg)
{
	struct node *n = arg;

	for (int i = 0; i < 4 && n->depth > 0; i++) {
		struct node *child = malloc(sizeof(*child));

		*child = (struct node){n->pool, n->depth - 1};
		orch_pool_add(n->pool, spread, child);
	}
	atomic_fetch_add(&done, 1);
	free(n);
}

static void tasks_add_tasks_into_a_full_queue(void **state)
{
	struct orch_pool *p = orch_pool_new(3, 1);
	struct node *root = malloc(sizeof(*root));

	atomic_store(&done, 0);
	*root = (struct node){p, 6};
	orch_pool_add(p, spread, root);
	orch_pool_drain(p);
	assert_int_equal(atomic_load(&done), (4 * 4 * 4 * 4 * 4 * 4 * 4 - 1) / 3);
	orch_pool_free(p);
}

#ifdef ORCH_FAULT_INJECTION
static void without_threads_the_caller_works(void **state)
{
	struct orch_pool *p;

	assert_int_equal(orch_fault_set("thread:1+"), 0);
	p = orch_pool_new(2, 4);
	assert_non_null(p);
	atomic_store(&done, 0);
	for (int i = 0; i < 10; i++)
		orch_pool_add(p, count, NULL);
	assert_int_equal(atomic_load(&done), 10);
	orch_pool_free(p);
	assert_int_equal(orch_fault_set(NULL), 0);
}
#else
static void without_threads_the_caller_works(void **state)
{
	skip();
}
#endif

static void cpus(void **state)
{
	assert_true(orch_cpu_count() >= 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(everything_runs_once),
	    cmocka_unit_test(tasks_add_tasks_into_a_full_queue),
	    cmocka_unit_test(without_threads_the_caller_works),
	    cmocka_unit_test(cpus),
	};

	return tap_run(tests);
}
