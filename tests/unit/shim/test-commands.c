/* The table of commands: finding one, the nearest match, rows that make sense. */
#include "tests/lib/tap.h"

#include "shim/cli.h"
#include "shim/help.h"

static void finds(const char *const *argv, int argc, const char *family, const char *name, int used)
{
	const struct shim_command *c = NULL;
	int n = 0;

	assert_int_equal(shim_find_command(argc, argv, &c, &n, NULL), 0);
	assert_string_equal(c->family ? c->family : "", family);
	assert_string_equal(c->name, name);
	assert_int_equal(n, used);
}

static void refuses(const char *const *argv, int argc, const char *part)
{
	const struct shim_command *c = NULL;
	struct orch_err err = ORCH_ERR_INIT;
	int n = 0;

	assert_int_equal(shim_find_command(argc, argv, &c, &n, &err), -EINVAL);
	if (!strstr(err.msg, part))
		fail_msg("'%s' is not in '%s'", part, err.msg);
}

#define WORDS(...) \
	((const char *[]){__VA_ARGS__, NULL}), (int)ORCH_ARRAY_LEN(((const char *[]){__VA_ARGS__}))

static void test_finding(void **state)
{
	finds(WORDS("snapshot", "import", "x"), "snapshot", "import", 2);
	finds(WORDS("doctor", "import"), "", "doctor", 1);
	finds(WORDS("daemon", "stop"), "daemon", "stop", 2);
	finds(WORDS("store", "gc"), "store", "gc", 2);
}

static void test_slips(void **state)
{
	refuses(WORDS("biuld"), "did you mean build?");
	refuses(WORDS("snapshots", "list"), "did you mean snapshot?");
	refuses(WORDS("snapshot", "imprt"), "did you mean snapshot import?");
	refuses(WORDS("snapshot"), "snapshot what?");
	refuses(WORDS("snapshot", "--json"), "snapshot what?");
	refuses(WORDS("frobnicate"), "orch-shim --help");
}

static void test_rows(void **state)
{
	for (const struct shim_family *f = shim_families; f->commands; f++)
		for (const struct shim_command *c = f->commands; c->name; c++) {
			struct orch_buf b = ORCH_BUF_INIT;

			if (f->name)
				assert_string_equal(c->family, f->name);
			if (c->later)
				continue;
			assert_non_null(c->run);
			assert_non_null(c->summary);
			assert_true(c->max_args >= c->min_args);
			shim_help_command(c, &b);
			assert_false(b.failed);
			orch_buf_fini(&b);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_finding),
	    cmocka_unit_test(test_slips),
	    cmocka_unit_test(test_rows),
	};

	return tap_run(tests);
}
