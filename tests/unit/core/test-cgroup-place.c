/* Where a control group lies, from the texts of the kernel. */
#include <errno.h>
#include <stdlib.h>
#include "core/cgroup_place.h"
#include "core/proc_stat.h"
#include "tests/lib/tap.h"

static const char groups[] = "12:cpu,cpuacct:/a/b\n"
			     "4:memory:/docker/abcd\n"
			     "3:pids:/../x\n"
			     "0::/user.slice\n";
static const char mounts[] = "30 1 0:30 / /sys rw - sysfs sysfs rw\n"
			     "31 1 0:31 /other /cg/cpu-elsewhere rw - cgroup c rw,cpu,cpuacct\n"
			     "32 1 0:31 /a /cg/cpu rw shared:1 - cgroup c rw,cpuacct,cpu\n"
			     "33 1 0:32 /docker/abc /cg/memory rw - cgroup c rw,memory\n"
			     "34 1 0:33 / /cg/pids rw - cgroup c rw,pids\n"
			     "35 1 0:34 / /cg/unified rw - cgroup2 c rw\n";

static void place(const char *controller, const char *want)
{
	char *got = orch_cgroup_place(groups, mounts, controller);

	if (want)
		assert_string_equal(got, want);
	else
		assert_null(got);
	free(got);
}

static void finds_the_folder(void **state)
{
	(void)state;
	place("", "/cg/unified/user.slice");
	place("cpu", "/cg/cpu/b"); /* a mount that does not show the group is passed over */
	place("cpuacct", "/cg/cpu/b");
}

static void finds_none(void **state)
{
	(void)state;
	place("memory", NULL); /* its mount shows /docker/abc, which is another group */
	place("pids", NULL);   /* the group is outside of what is seen here */
	place("freezer", NULL);
	place("mem", NULL);
}

static void a_process_may_have_any_name(void **state)
{
	struct orch_proc_stat s;

	(void)state;
	assert_int_equal(
	    orch_proc_stat_parse(
		"7 (a) Z 1 (\n) T 3 4 5 -1 0 6 7 8 9 10 11 12 13 -14 15 16 17 18 99 0", &s),
	    0);
	assert_int_equal(s.state, 'T');
	assert_int_equal(s.parent, 3);
	assert_int_equal(s.group, 4);
	assert_int_equal(s.session, 5);
	assert_int_equal(s.start_ticks, 99);
	assert_int_equal(orch_proc_stat_parse("7 (a) T 3 4 5", &s), -EIO);
	assert_int_equal(orch_proc_stat_parse("7 a", &s), -EIO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(finds_the_folder),
	    cmocka_unit_test(finds_none),
	    cmocka_unit_test(a_process_may_have_any_name),
	};

	return tap_run(tests);
}
