/* Buffer, cursor and checked sizes. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <stdlib.h>

#include "core/buf.h"
#include "core/cursor.h"
#include "core/fault.h"
#include "core/size.h"

static void appends_are_nul_terminated(void **state)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	assert_null(b.data);
	assert_int_equal(orch_buf_add(&b, "a\0b", 3), 0);
	assert_int_equal(orch_buf_add_str(&b, "cd"), 0);
	assert_int_equal(orch_buf_printf(&b, "%d-%s", 42, "x"), 0);
	assert_int_equal(b.len, 9);
	assert_memory_equal(b.data, "a\0bcd42-x", 10);
	orch_buf_reset(&b);
	assert_int_equal(b.len, 0);
	assert_int_equal(b.data[0], 0);
}

static void many_small_appends_keep_content(void **state)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(orch_buf_add_u32(&b, i), 0);
	assert_int_equal(b.len, 400000);
	for (unsigned i = 0; i < 100000; i++)
		assert_int_equal(orch_le32(b.data + 4 * i), i);
}

static void maximum_is_exact(void **state)
{
	orch_auto(buf) struct orch_buf b;

	orch_buf_init(&b, 10);
	assert_int_equal(orch_buf_add(&b, "0123456789", 10), 0);
	assert_int_equal(orch_buf_add(&b, "x", 1), -EOVERFLOW);
	assert_true(b.failed);
	assert_int_equal(b.len, 10);
	assert_string_equal((char *)b.data, "0123456789");
}

static void failure_sticks_until_reset(void **state)
{
	orch_auto(buf) struct orch_buf b;

	orch_buf_init(&b, 8);
	assert_int_equal(orch_buf_add_str(&b, "ab"), 0);
	assert_int_equal(orch_buf_printf(&b, "%s", "too long"), -EOVERFLOW);
	assert_true(orch_buf_add_str(&b, "c") < 0);
	assert_string_equal((char *)b.data, "ab");
	orch_buf_reset(&b);
	assert_int_equal(orch_buf_add_str(&b, "c"), 0);
	assert_string_equal((char *)b.data, "c");
}

static void huge_sizes_do_not_wrap(void **state)
{
	orch_auto(buf) struct orch_buf b;

	orch_buf_init(&b, SIZE_MAX);
	assert_int_equal(orch_buf_add_str(&b, "abc"), 0);
	assert_int_equal(orch_buf_reserve(&b, SIZE_MAX), -EOVERFLOW);
	orch_buf_reset(&b);
	assert_int_equal(orch_buf_reserve(&b, SIZE_MAX), -ENOMEM);
}

static void put_overwrites(void **state)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	orch_buf_add_u8(&b, 1);
	orch_buf_add_u64(&b, 0);
	orch_buf_add_u32(&b, 0);
	orch_buf_put_u64(&b, 1, UINT64_C(0x1122334455667788));
	orch_buf_put_u32(&b, 9, 0x99aabbcc);
	assert_memory_equal(b.data, "\x01\x88\x77\x66\x55\x44\x33\x22\x11\xcc\xbb\xaa\x99", 13);
}

static void take_leaves_an_empty_buffer(void **state)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;
	size_t len = 1;
	char *s;

	assert_null(orch_buf_take(&b, &len));
	assert_int_equal(len, 0);
	s = orch_buf_take_str(&b);
	assert_string_equal(s, "");
	free(s);
	orch_buf_add_str(&b, "hello");
	s = orch_buf_take_str(&b);
	assert_string_equal(s, "hello");
	assert_null(b.data);
	free(s);
	orch_buf_init(&b, 1);
	orch_buf_add_str(&b, "long");
	assert_null(orch_buf_take_str(&b));
}

static void cursor_reads_in_order(void **state)
{
	static const uint8_t bytes[] = {1, 2, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0x80, 9, 8};
	struct orch_cursor c = orch_cursor_make(bytes, sizeof(bytes));

	assert_int_equal(orch_cursor_u8(&c), 1);
	assert_int_equal(orch_cursor_u16(&c), 2);
	assert_int_equal(orch_cursor_u32(&c), 3);
	assert_true(orch_cursor_u64(&c) == UINT64_C(0x8000000000000004));
	orch_cursor_skip(&c, 1);
	assert_int_equal(orch_cursor_left(&c), 1);
	assert_ptr_equal(orch_cursor_bytes(&c, 1), bytes + 16);
	assert_false(c.failed);
	assert_non_null(orch_cursor_bytes(&c, 0));
	assert_int_equal(orch_cursor_u8(&c), 0);
	assert_true(c.failed);
}

static void cursor_failure_is_for_good(void **state)
{
	static const uint8_t bytes[] = {1, 2, 3};
	struct orch_cursor c = orch_cursor_make(bytes, sizeof(bytes));

	assert_int_equal(orch_cursor_u32(&c), 0);
	assert_true(c.failed);
	assert_int_equal(orch_cursor_left(&c), 0);
	assert_int_equal(orch_cursor_u8(&c), 0);
	assert_null(orch_cursor_bytes(&c, 0));
	c = orch_cursor_make(bytes, sizeof(bytes));
	assert_null(orch_cursor_bytes(&c, SIZE_MAX));
	c = orch_cursor_make(NULL, 0);
	assert_int_equal(orch_cursor_u8(&c), 0);
	assert_true(c.failed);
}

static void sizes_are_checked(void **state)
{
	uint64_t u = 5;
	size_t n = 5;

	assert_int_equal(orch_size_add(SIZE_MAX, 1, &n), -EOVERFLOW);
	assert_int_equal(orch_size_mul(SIZE_MAX / 2, 3, &n), -EOVERFLOW);
	assert_int_equal(orch_size_align(SIZE_MAX, 4096, &n), -EOVERFLOW);
	assert_int_equal(orch_u64_add(UINT64_MAX, 1, &u), -EOVERFLOW);
	assert_int_equal(n, 5);
	assert_int_equal(u, 5);
	assert_int_equal(orch_size_align(4097, 4096, &n), 0);
	assert_int_equal(n, 8192);
	assert_int_equal(orch_size_align(0, 8, &n), 0);
	assert_int_equal(n, 0);
}

#ifdef ORCH_FAULT_INJECTION
static void nth_allocation_fails(void **state)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	assert_int_equal(orch_fault_set("alloc:2"), 0);
	assert_int_equal(orch_buf_add_zeros(&b, 1000), 0);
	assert_int_equal(orch_buf_add_zeros(&b, 100000), -ENOMEM);
	assert_int_equal(b.len, 1000);
	orch_buf_reset(&b);
	assert_int_equal(orch_buf_add_zeros(&b, 100000), 0);
	assert_int_equal(orch_fault_set("write:1+:ENOSPC,fsync:3:5"), 0);
	assert_int_equal(orch_fault(ORCH_FAULT_WRITE), ENOSPC);
	assert_int_equal(orch_fault(ORCH_FAULT_WRITE), ENOSPC);
	assert_int_equal(orch_fault(ORCH_FAULT_FSYNC), 0);
	assert_int_equal(orch_fault(ORCH_FAULT_FSYNC), 0);
	assert_int_equal(orch_fault(ORCH_FAULT_FSYNC), 5);
	assert_int_equal(orch_fault(ORCH_FAULT_FSYNC), 0);
	assert_int_equal(orch_fault_set("nonsense:1"), -EINVAL);
	assert_int_equal(orch_fault_set("write:0"), -EINVAL);
	assert_int_equal(orch_fault_set("write:1x"), -EINVAL);
	assert_int_equal(orch_fault_set(NULL), 0);
}
#else
static void nth_allocation_fails(void **state)
{
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(appends_are_nul_terminated),
	    cmocka_unit_test(many_small_appends_keep_content),
	    cmocka_unit_test(maximum_is_exact),
	    cmocka_unit_test(failure_sticks_until_reset),
	    cmocka_unit_test(huge_sizes_do_not_wrap),
	    cmocka_unit_test(put_overwrites),
	    cmocka_unit_test(take_leaves_an_empty_buffer),
	    cmocka_unit_test(cursor_reads_in_order),
	    cmocka_unit_test(cursor_failure_is_for_good),
	    cmocka_unit_test(sizes_are_checked),
	    cmocka_unit_test(nth_allocation_fails),
	};

	return tap_run(tests);
}
