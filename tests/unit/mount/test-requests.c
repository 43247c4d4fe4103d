/* Counters of the kernel's requests. */
#include "tests/lib/tap.h"
#include <string.h>
#include "core/json.h"
#include "fsd/mount/requests.h"

static void note(struct mnt_requests *r, uint32_t kind)
{
	uint32_t head[2] = {40, kind};

	mnt_requests_note(r, head, sizeof(head));
}

static uint64_t count(const struct mnt_requests *r, const char *name)
{
	orch_auto(json) struct orch_json *j = mnt_requests_show(r);
	uint64_t n = 0;

	assert_non_null(j);
	return orch_json_get_u64(j, name, &n, NULL) == 0 ? n : UINT64_MAX;
}

static void test_each_kind_is_counted_by_name(void **state)
{
	static struct mnt_requests r;

	(void)state;
	note(&r, 1);
	note(&r, 1);
	note(&r, 44);
	assert_int_equal(count(&r, "lookup"), 2);
	assert_int_equal(count(&r, "readdirplus"), 1);
	assert_int_equal(count(&r, "total"), 3);
	assert_int_equal(count(&r, "open"), UINT64_MAX); /* never came: left out */
}

static void test_what_is_not_known_is_counted_too(void **state)
{
	static struct mnt_requests r;

	(void)state;
	note(&r, MNT_REQUEST_KINDS);
	note(&r, UINT32_MAX);
	note(&r, 7); /* a gap of the protocol */
	mnt_requests_note(&r, "short", 5);
	assert_int_equal(count(&r, "other"), 4);
	assert_int_equal(count(&r, "total"), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_kind_is_counted_by_name),
	    cmocka_unit_test(test_what_is_not_known_is_counted_too),
	};

	return tap_run(tests);
}
