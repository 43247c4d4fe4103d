/* The command line of orch-mount. */
#include "tests/lib/tap.h"
#include "fsd/mount/options.h"

#define PARSE(o, err, ...)                                                             \
	({                                                                             \
		char *argv_[] = {(char *)(uintptr_t) "orch-mount", __VA_ARGS__, NULL}; \
		mnt_options_parse((int)ORCH_ARRAY_LEN(argv_) - 1, argv_, (o), (err));  \
	})
#define A(s) ((char *)(uintptr_t)(s))

static void test_all_of_it(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct mnt_options o;

	assert_int_equal(
	    PARSE(&o, &err, A("--store-fds"), A("packs=4,objects=3,layers=5"), A("--layer"),
		A("12"), A("--mountpoint"), A("/m"), A("--control"), A("/c"), A("--mountpoint-fd"),
		A("9"), A("--source"), A("orch:w:0-1"), A("--ready-fd"), A("6"), A("--read-only"),
		A("--allow-other"), A("--no-passthrough"), A("--after-reboot"), A("--log-level"),
		A("debug")),
	    0);
	assert_int_equal(o.objects_fd, 3);
	assert_int_equal(o.packs_fd, 4);
	assert_int_equal(o.layers_fd, 5);
	assert_int_equal(o.layer, 12);
	assert_string_equal(o.mountpoint, "/m");
	assert_string_equal(o.source, "orch:w:0-1");
	assert_int_equal(o.mountpoint_fd, 9);
	assert_int_equal(o.ready_fd, 6);
	assert_true(o.read_only && o.allow_other && !o.passthrough && o.after_reboot);
	assert_int_equal(o.log_level, ORCH_LOG_DEBUG);
}

static void test_what_is_wrong_is_refused(void **state)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct mnt_options o;

	assert_int_equal(PARSE(&o, &err, A("--layer"), A("1")), -ORCH_EUSAGE);
	assert_int_equal(PARSE(&o, &err, A("--moon")), -ORCH_EUSAGE);
	assert_int_equal(PARSE(&o, &err, A("--layer"), A("1x")), -ORCH_EUSAGE);
	assert_int_equal(PARSE(&o, &err, A("--layer"), A("-1")), -ORCH_EUSAGE);
	assert_int_equal(PARSE(&o, &err, A("--store-fds"), A("objects=3,moon=4")), -ORCH_EUSAGE);
	assert_int_equal(PARSE(&o, &err, A("--store-fds"), A("objects=99999999999")), -ORCH_EUSAGE);
	assert_int_equal(
	    PARSE(&o, &err, A("--store-fds"), A("packs=4,objects=3,layers=5"), A("--layer"), A("1"),
		A("--mountpoint"), A("relative"), A("--control"), A("/c")),
	    -ORCH_EUSAGE);
	assert_int_equal(PARSE(&o, &err, A("--source"), A("a,allow_other")), -ORCH_EUSAGE);
	assert_int_equal(PARSE(&o, &err, A("--source"), A("")), -ORCH_EUSAGE);
	assert_int_equal(PARSE(&o, &err, A("extra")), -ORCH_EUSAGE);
	/* nothing is left of one that was given up in the middle of a word */
	assert_int_equal(PARSE(&o, &err, A("-xy")), -ORCH_EUSAGE);
	assert_int_equal(
	    PARSE(&o, &err, A("--store-fds"), A("packs=4,objects=3,layers=5"), A("--layer"),
		A("12"), A("--mountpoint"), A("/m"), A("--control"), A("/c")),
	    0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_of_it),
	    cmocka_unit_test(test_what_is_wrong_is_refused),
	};

	return tap_run(tests);
}
