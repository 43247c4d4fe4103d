/* Tables and short forms. */
#include "tests/lib/tap.h"

#include "shim/out.h"

static void test_tables(void **state)
{
	static const char *const headings[] = {"NAME", ">SIZE", "PATH", NULL};
	struct orch_buf b = ORCH_BUF_INIT;
	struct shim_table *t = shim_table_new(headings);

	shim_table_cell(t, "a");
	shim_table_cell(t, "1");
	shim_table_cell(t, "/x\ny");
	shim_table_cell(t, "caf\xc3\xa9-long-name");
	shim_table_cell(t, "1000");
	shim_table_cell(t, "/z");
	shim_table_format(t, 0, &b);
	assert_string_equal((char *)b.data, "NAME            SIZE  PATH\n"
					    "a                  1  /x?y\n"
					    "caf\xc3\xa9-long-name  1000  /z\n");
	orch_buf_reset(&b);
	shim_table_format(t, 22, &b);
	assert_string_equal((char *)b.data, "NAME        SIZE  PATH\n"
					    "a              1  /x?y\n"
					    "caf\xc3\xa9-long~  1000  /z\n");
	orch_buf_fini(&b);
	shim_table_free(t);
}

static void test_short_forms(void **state)
{
	char s[SHIM_SHORT];

	assert_string_equal(shim_human_bytes(0, s), "0 B");
	assert_string_equal(shim_human_bytes(1023, s), "1023 B");
	assert_string_equal(shim_human_bytes(1536, s), "1.5 KiB");
	assert_string_equal(shim_human_bytes(UINT64_MAX, s), "16.0 EiB");
	assert_string_equal(shim_human_count(1236, s), "1,236");
	assert_string_equal(shim_human_count(UINT64_MAX, s), "18,446,744,073,709,551,615");
	assert_string_equal(shim_human_ns(12000000, s), "12 ms");
	assert_string_equal(shim_human_ns(4200000000, s), "4.2 s");
	assert_string_equal(shim_human_ns(192000000000, s), "3 m 12 s");
	assert_string_equal(
	    shim_human_time("2026-11-23T17:46:50.123456789Z", s), "2026-11-23 17:46");
	assert_string_equal(shim_human_time("", s), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_tables),
	    cmocka_unit_test(test_short_forms),
	};

	return tap_run(tests);
}
