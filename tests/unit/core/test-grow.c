/* Arrays that grow. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/fault.h"
#include "core/grow.h"

static void elements_stay_while_it_grows(void **state)
{
	uint64_t *v = NULL;
	size_t cap = 0, moves = 0;

	for (size_t i = 0; i < 100000; i++) {
		size_t had = cap;

		assert_int_equal(orch_grow(&v, &cap, i + 1, sizeof(*v)), 0);
		assert_true(cap > i);
		moves += cap != had;
		v[i] = i * 3;
	}
	for (size_t i = 0; i < 100000; i++)
		assert_int_equal(v[i], i * 3);
	assert_true(moves < 20); /* it doubles */
	free(v);
}

static void room_is_made_for_many_at_once(void **state)
{
	struct {
		char text[24];
	} *v = NULL;
	size_t cap = 0;

	assert_int_equal(orch_grow(&v, &cap, 1000, sizeof(*v)), 0);
	assert_true(cap >= 1000);
	v[999].text[23] = 'x';
	free(v);
}

static void room_that_is_there_is_used(void **state)
{
	int one[4] = {1, 2, 3, 4}, *v = one;
	size_t cap = 4;

	assert_int_equal(orch_grow(&v, &cap, 4, sizeof(*v)), 0); /* a realloc of it would abort */
	assert_int_equal(orch_grow(&v, &cap, 0, sizeof(*v)), 0);
	assert_ptr_equal(v, one);
	assert_int_equal(cap, 4);
}

static void refuse(size_t first_cap, size_t need, size_t size)
{
	char *mine = malloc(8), *v = mine;
	size_t cap = first_cap;

	assert_non_null(mine);
	assert_int_equal(orch_grow(&v, &cap, need, size), -ENOMEM);
	assert_ptr_equal(v, mine);
	assert_int_equal(cap, first_cap);
	free(mine);
}

static void sizes_that_do_not_fit_change_nothing(void **state)
{
	refuse(0, SIZE_MAX / 8 + 1, 8);			 /* 8 * need is 0 in a size_t */
	refuse(SIZE_MAX / 16 + 1, SIZE_MAX / 16 + 2, 8); /* so is 8 * 2 * cap */
}

#ifdef ORCH_FAULT_INJECTION
static void no_memory_changes_nothing(void **state)
{
	assert_int_equal(orch_fault_set("alloc:2"), 0); /* the first is refuse()'s own */
	refuse(1, 2, 8);
	assert_true(orch_fault_was_met());
	assert_int_equal(orch_fault_set(NULL), 0);
}
#else
static void no_memory_changes_nothing(void **state)
{
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(elements_stay_while_it_grows),
	    cmocka_unit_test(room_is_made_for_many_at_once),
	    cmocka_unit_test(room_that_is_there_is_used),
	    cmocka_unit_test(sizes_that_do_not_fit_change_nothing),
	    cmocka_unit_test(no_memory_changes_nothing),
	};

	return tap_run(tests);
}
