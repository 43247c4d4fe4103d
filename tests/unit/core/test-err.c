/* The error object: messages, context, names of codes. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <stdio.h>

#include "core/err.h"

static void set_formats_and_returns_negative(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;

	assert_int_equal(orch_err_set(&err, ENOSPC, "object %d", 7), -ENOSPC);
	assert_int_equal(err.code, ENOSPC);
	assert_string_equal(err.msg, "object 7");
}

static void null_object_is_allowed(void **state)
{
	assert_int_equal(orch_err_set(NULL, EIO, "x"), -EIO);
	assert_int_equal(orch_err_sys(NULL, EIO, "x"), -EIO);
	orch_err_wrap(NULL, "x");
}

static void sys_appends_the_text(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;

	orch_err_sys(&err, ENOENT, "cannot open %s", "a");
	assert_string_equal(err.msg, "cannot open a: No such file or directory");
	orch_err_sys(&err, ORCH_ECORRUPT, "pack 3");
	assert_string_equal(err.msg, "pack 3: damaged data");
}

static void wrap_puts_context_in_front(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;

	orch_err_set(&err, ENOSPC, "disk full");
	orch_err_wrap(&err, "import %s", "d");
	assert_int_equal(err.code, ENOSPC);
	assert_string_equal(err.msg, "import d: disk full");
	/* arguments that point into the message itself */
	assert_int_equal(orch_err_set(&err, EIO, "again (%s)", err.msg), -EIO);
	assert_string_equal(err.msg, "again (import d: disk full)");
}

static void wrap_of_unset_is_nothing(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;

	orch_err_wrap(&err, "x");
	assert_int_equal(err.code, 0);
	assert_string_equal(err.msg, "");
}

static void long_messages_are_cut_at_a_character(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	char text[4096];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	orch_err_sys(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
	/* a two-byte character across the last byte */
	memcpy(text + sizeof(err.msg) - 2, "\xc3\xa9", 2);
	orch_err_set(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 2);
	/* one that fits exactly stays */
	memcpy(text + sizeof(err.msg) - 3, "\xc3\xa9", 2);
	orch_err_set(&err, EIO, "%s", text);
	assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void errno_is_kept(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;

	errno = EXDEV;
	orch_err_sys(&err, EIO, "x");
	orch_err_wrap(&err, "y");
	assert_int_equal(errno, EXDEV);
}

static void names_go_both_ways(void **state)
{
	for (int code = 1; code < 134; code++) {
		const char *name = orch_err_name(code);

		if (strcmp(name, "EUNKNOWN") != 0)
			assert_int_equal(orch_err_code(name), code);
	}
	assert_string_equal(orch_err_name(ORCH_ECORRUPT), "ECORRUPT");
	assert_string_equal(orch_err_name(ORCH_ENODAEMON), "ENODAEMON");
	assert_int_equal(orch_err_code("EBADMSG"), ORCH_ECORRUPT);
	assert_int_equal(orch_err_code("ENOSPC"), ENOSPC);
	assert_int_equal(orch_err_code("nonsense"), 0);
	assert_int_equal(orch_err_code(""), 0);
	assert_string_equal(orch_err_name(99999), "EUNKNOWN");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(set_formats_and_returns_negative),
	    cmocka_unit_test(null_object_is_allowed),
	    cmocka_unit_test(sys_appends_the_text),
	    cmocka_unit_test(wrap_puts_context_in_front),
	    cmocka_unit_test(wrap_of_unset_is_nothing),
	    cmocka_unit_test(long_messages_are_cut_at_a_character),
	    cmocka_unit_test(errno_is_kept),
	    cmocka_unit_test(names_go_both_ways),
	};

	return tap_run(tests);
}
