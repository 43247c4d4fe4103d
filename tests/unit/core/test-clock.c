/* Clocks, deadlines, process identities, text checks. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fault.h"
#include "core/nearest.h"
#include "core/strv.h"
#include "core/utf8.h"

static void timespec_saturates(void **state)
{
	struct timespec ts = {.tv_sec = INT64_MAX, .tv_nsec = 1};

	assert_true(orch_timespec_ns(&ts) == INT64_MAX);
	ts.tv_sec = INT64_MIN;
	assert_true(orch_timespec_ns(&ts) == INT64_MIN);
	ts = (struct timespec){.tv_sec = -1, .tv_nsec = 999999999};
	assert_true(orch_timespec_ns(&ts) == -1);
}

static void times_before_1970(void **state)
{
	struct timespec ts = orch_ns_timespec(-1);

	assert_int_equal(ts.tv_sec, -1);
	assert_int_equal(ts.tv_nsec, 999999999);
	ts = orch_ns_timespec(INT64_MIN);
	assert_in_range(ts.tv_nsec, 0, 999999999);
	assert_true(orch_timespec_ns(&ts) == INT64_MIN);
	ts = orch_ns_timespec(-1000000000);
	assert_int_equal(ts.tv_sec, -1);
	assert_int_equal(ts.tv_nsec, 0);
}

static void wall_times_are_rfc3339(void **state)
{
	char text[ORCH_RFC3339_BYTES];

	orch_wall_format(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000000000Z");
	orch_wall_format(-1, text);
	assert_string_equal(text, "1969-12-31T23:59:59.999999999Z");
	orch_wall_format(INT64_C(1795456010123456789), text);
	assert_string_equal(text, "2026-11-23T17:46:50.123456789Z");
	orch_wall_format(INT64_MIN, text);
	assert_string_equal(text, "1677-09-21T00:12:43.145224192Z");
	orch_wall_format(INT64_MAX, text);
	assert_string_equal(text, "2262-04-11T23:47:16.854775807Z");
}

static void deadlines(void **state)
{
	uint64_t now = orch_clock_ns();
	int ms;

	assert_int_equal(orch_deadline_poll_ms(ORCH_FOREVER), -1);
	assert_int_equal(orch_deadline_poll_ms(0), 0);
	assert_int_equal(orch_deadline_poll_ms(now), 0);
	assert_int_equal(orch_deadline_poll_ms(ORCH_FOREVER - 1), INT_MAX);
	ms = orch_deadline_poll_ms(orch_clock_ns() + 50 * ORCH_NS_PER_MS);
	assert_in_range(ms, 1, 50);
	/* never a busy loop: less than a millisecond is rounded up */
	ms = orch_deadline_poll_ms(orch_clock_ns() + 999999);
	assert_in_range(ms, 0, 1);
	assert_true(orch_deadline_in_ms(UINT64_MAX) == ORCH_FOREVER);
	assert_true(orch_deadline_in_ms(1000) > now);
}

static void process_identity(void **state)
{
	struct orch_proc_id id, other;
	pid_t pid;

	assert_int_equal(orch_proc_id_get(getpid(), &id), 0);
	assert_int_equal(orch_proc_id_alive(&id), 1);
	other = id;
	other.start_ticks++;
	assert_int_equal(orch_proc_id_alive(&other), 0);
	assert_true(orch_proc_id_get(0, &id) < 0);
	assert_true(orch_proc_id_get(-1, &id) < 0);
	/* a name with blanks and brackets, as any program may choose */
	prctl(PR_SET_NAME, "a) R 1 (b");
	assert_int_equal(orch_proc_id_get(getpid(), &other), 0);
	assert_true(other.start_ticks == id.start_ticks);
	pid = fork();
	if (pid == 0)
		_exit(0);
	/* a zombie does not live */
	waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT);
	assert_int_equal(orch_proc_id_get(pid, &other), 0);
	assert_int_equal(orch_proc_id_alive(&other), 0);
	waitpid(pid, NULL, 0);
	assert_int_equal(orch_proc_id_get(pid, &other), -ESRCH);
	assert_int_equal(orch_proc_id_alive(&other), 0);
}

#ifdef ORCH_FAULT_INJECTION
static void unreadable_is_not_dead(void **state)
{
	struct orch_proc_id id;

	(void)state;
	assert_int_equal(orch_proc_id_get(getpid(), &id), 0);
	assert_int_equal(orch_fault_set("open:1:EMFILE"), 0);
	assert_int_equal(orch_proc_id_alive(&id), -EMFILE);
	assert_int_equal(orch_fault_set("read:1:EIO"), 0);
	assert_int_equal(orch_proc_id_alive(&id), -EIO);
	assert_int_equal(orch_fault_set(NULL), 0);
	assert_int_equal(orch_proc_id_alive(&id), 1);
}
#else
static void unreadable_is_not_dead(void **state)
{
	skip();
}
#endif

static void boot_id(void **state)
{
	char id[37];

	assert_int_equal(orch_boot_id(id), 0);
	assert_int_equal(strlen(id), 36);
	assert_int_equal(id[8], '-');
}

static void utf8(void **state)
{
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf",
	    "\xed\xa0\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "a\xc3",
	    "\xe2\x82", "\xff"};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(bad); i++)
		assert_false(orch_utf8_valid(bad[i], strlen(bad[i])));
	assert_true(orch_utf8_valid("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
	assert_true(orch_utf8_valid("", 0));
	assert_true(orch_utf8_valid("a\0b", 3));
	assert_true(orch_utf8_valid("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf", 10));
}

static void vectors(void **state)
{
	orch_auto(strv) struct orch_strv s = ORCH_STRV_INIT;
	static const char *const more[] = {"x", "y", NULL};

	assert_null(*orch_strv_argv(&s));
	for (int i = 0; i < 100; i++)
		assert_int_equal(orch_strv_addf(&s, "V%d=%d", i, i), 0);
	assert_int_equal(orch_strv_add_all(&s, more), 0);
	assert_int_equal(orch_strv_add_all(&s, NULL), 0);
	assert_int_equal(s.count, 102);
	assert_null(s.v[102]);
	assert_string_equal(s.v[101], "y");
	assert_string_equal(orch_strv_get_env(&s, "V42"), "42");
	assert_null(orch_strv_get_env(&s, "V"));
	assert_null(orch_strv_get_env(&s, "V100"));
	assert_int_equal(orch_strv_set_env(&s, "V42", ""), 0);
	assert_string_equal(orch_strv_get_env(&s, "V42"), "");
	assert_int_equal(s.count, 102);
	assert_int_equal(orch_strv_set_env(&s, "NEW", "a=b"), 0);
	assert_string_equal(orch_strv_argv(&s)[102], "NEW=a=b");
}

static void nearest_names(void **state)
{
	static const char *const names[] = {
	    "--timeout", "--retries", NULL, "--network", "--output"};
	size_t n = ORCH_ARRAY_LEN(names);

	assert_int_equal(orch_edit_distance("", ""), 0);
	assert_int_equal(orch_edit_distance("", "ab"), 4);
	assert_int_equal(orch_edit_distance("kitten", "sitting"), 6);
	assert_int_equal(orch_edit_distance("ab", "ba"), 2);
	assert_int_equal(orch_edit_distance("A", "a"), 1);
	assert_string_equal(orch_nearest("--timeuot", names, n), "--timeout");
	assert_string_equal(orch_nearest("--outputs", names, n), "--output");
	assert_string_equal(orch_nearest("--Network", names, n), "--network");
	assert_null(orch_nearest("--frobnicate", names, n));
	assert_null(orch_nearest("x", names, n));
	assert_null(orch_nearest("--timeout", NULL, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(timespec_saturates),
	    cmocka_unit_test(times_before_1970),
	    cmocka_unit_test(wall_times_are_rfc3339),
	    cmocka_unit_test(deadlines),
	    cmocka_unit_test(process_identity),
	    cmocka_unit_test(unreadable_is_not_dead),
	    cmocka_unit_test(boot_id),
	    cmocka_unit_test(utf8),
	    cmocka_unit_test(vectors),
	    cmocka_unit_test(nearest_names),
	};

	return tap_run(tests);
}
