/* What all providers share: names, the registry, prv_run over a provider that fails, environments. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fault.h"
#include "core/fd.h"
#include "providers/environment.h"
#include "providers/fake.h"

static void outcomes_have_names(void **state)
{
	enum prv_outcome o = PRV_LOST;

	for (int i = 0; i < PRV_OUTCOMES; i++) {
		assert_int_equal(prv_outcome_parse(prv_outcome_name((enum prv_outcome)i), &o), 0);
		assert_int_equal(o, i);
	}
	assert_int_equal(prv_outcome_parse("exploded", &o), -EINVAL);
	assert_string_equal(prv_outcome_name(PRV_OUT_OF_MEMORY), "out-of-memory");
	for (int i = 0; i < PRV_FEATURES; i++)
		assert_true(prv_feature_name((enum prv_feature)i)[0]);
}

static void names_and_aliases(void **state)
{
	struct prv_config config = {.state_dir = NULL};
	struct orch_err err = ORCH_ERR_INIT;
	struct prv *p = NULL;

	assert_string_equal(prv_resolve("sandbox"), "sandbox");
	assert_string_equal(prv_resolve("local-system"), "local");
	assert_null(prv_resolve("Local"));
	assert_string_equal(prv_name_at(0), "sandbox");
	assert_null(prv_name_at(100));
	assert_int_equal(prv_open("snadbox", &config, &p, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "did you mean 'sandbox'"));
	assert_int_equal(prv_open("mainframe", &config, &p, &err), -EINVAL);
	assert_null(p);
	prv_close(NULL);
}

static void run_names(void **state)
{
	char name[PRV_RUN_NAME_MAX + 2];

	memset(name, 'a', sizeof(name));
	name[PRV_RUN_NAME_MAX + 1] = '\0';
	assert_false(prv_run_name_valid(name));
	name[PRV_RUN_NAME_MAX] = '\0';
	assert_true(prv_run_name_valid(name));
	assert_false(prv_run_name_valid(""));
	assert_false(prv_run_name_valid("."));
	assert_false(prv_run_name_valid("-a"));
	assert_false(prv_run_name_valid("a b"));
	assert_false(prv_run_name_valid("a/b"));
}

static void wait_statuses_become_results(void **state)
{
	struct prv_result r = {.message = ""};

	prv_result_from_wait(0, &r);
	assert_int_equal(r.outcome, PRV_SUCCEEDED);
	prv_result_from_wait(3 << 8, &r);
	assert_int_equal(r.outcome, PRV_FAILED);
	assert_int_equal(r.exit_code, 3);
	prv_result_from_wait(SIGSEGV | 0x80, &r);
	assert_int_equal(r.outcome, PRV_KILLED);
	assert_int_equal(r.signal, SIGSEGV);
	assert_true(r.core_dumped);
	assert_int_equal(r.exit_code, -1);
}

static struct prv_task task(const char *const *argv)
{
	return (struct prv_task){
	    .run = "r", .argv = argv, .deadline_ns = orch_deadline_in_ms(5000), .cancel_fd = -1};
}

static void a_failing_provider_is_infrastructure(void **state)
{
	static const char *const quick[] = {"out:x exit:0", NULL}, *const slow[] = {
								       "sleep:9000", NULL};
	static const enum prv_fake_call calls[] = {
	    PRV_FAKE_SUBMIT, PRV_FAKE_ATTACH, PRV_FAKE_POLL, PRV_FAKE_CANCEL};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(calls); i++) {
		bool cancels = calls[i] == PRV_FAKE_CANCEL;
		struct prv_task t = task(cancels ? slow : quick);
		struct prv_result r;
		struct prv *p;

		assert_int_equal(prv_fake_open(&p, NULL), 0);
		if (cancels)
			t.deadline_ns = orch_deadline_in_ms(20);
		prv_fake_fail_next(p, calls[i], EIO);
		assert_int_equal(prv_run(p, &t, &r, NULL), 0);
		assert_int_equal(r.outcome, PRV_INFRASTRUCTURE_ERROR);
		assert_int_equal(r.state, PRV_ENDED);
		assert_non_null(strstr(r.message, "told to fail"));
		/* what was submitted is cleaned up, whatever else failed */
		assert_int_equal(
		    prv_fake_calls(p, PRV_FAKE_CLEANUP), calls[i] == PRV_FAKE_SUBMIT ? 0 : 1);
		prv_close(p);
	}
}

static void a_failing_cleanup_does_not_change_the_result(void **state)
{
	static const char *const argv[] = {"exit:3", NULL};
	struct prv_task t = task(argv);
	struct prv_result r;
	struct prv *p;

	assert_int_equal(prv_fake_open(&p, NULL), 0);
	prv_fake_fail_next(p, PRV_FAKE_CLEANUP, EIO);
	assert_int_equal(prv_run(p, &t, &r, NULL), 0);
	assert_int_equal(r.outcome, PRV_FAILED);
	assert_int_equal(r.exit_code, 3);
	prv_close(p);
}

static void environments_are_allow_lists(void **state)
{
	static const char *const host[] = {"PATH=/x", "HOME=/root", "LC_ALL=C", "GITHUB_SHA=1",
	    "GITHUB_TOKEN=t", "GITHUB_ENV=/f", "CI=true", "AWS_SECRET_ACCESS_KEY=k",
	    "LD_PRELOAD=/evil.so", "SSH_AUTH_SOCK=/s", "CI_JOB_TOKEN=x", "broken", "=odd",
	    "https_proxy=p", "TERM=", NULL};
	static const char *const none[] = {NULL};
	orch_auto(strv) struct orch_strv env = ORCH_STRV_INIT, empty = ORCH_STRV_INIT;

	assert_int_equal(prv_environment_from_host(host, &env), 0);
	assert_string_equal(orch_strv_get_env(&env, "PATH"), "/x");
	assert_string_equal(orch_strv_get_env(&env, "LC_ALL"), "C");
	assert_string_equal(orch_strv_get_env(&env, "GITHUB_SHA"), "1");
	assert_string_equal(orch_strv_get_env(&env, "TERM"), "");
	assert_string_equal(orch_strv_get_env(&env, "LANG"), "C.UTF-8");
	assert_int_equal(env.count, 7);
	assert_int_equal(prv_environment_from_host(none, &empty), 0);
	assert_string_equal(orch_strv_get_env(&empty, "PATH"), PRV_PATH_DEFAULT);
	assert_false(prv_environment_allows("MY_API_KEY"));
	assert_false(prv_environment_allows("CI_DEPLOY_PASSWORD"));
	assert_false(prv_environment_allows("PATHS"));
}

static void a_path_has_what_is_seen_inside(void **state)
{
	static const struct {
		const char *host, *inside;
	} cases[] = {
	    {"/opt/go/bin:/usr/local/bin:/snap/bin:/usr/bin:/bin", "/usr/local/bin:/usr/bin:/bin"},
	    {"/w/tools:/workspace:/w", "/w/tools:/w"},
	    {"/usrx:/binary::.:sbin", PRV_PATH_DEFAULT},
	    {"", PRV_PATH_DEFAULT},
	    {"/sbin:", "/sbin"},
	};

	for (size_t i = 0; i < ORCH_ARRAY_LEN(cases); i++) {
		orch_auto(strv) struct orch_strv env = ORCH_STRV_INIT;

		assert_int_equal(orch_strv_set_env(&env, "PATH", cases[i].host), 0);
		assert_int_equal(prv_environment_trim_path(&env, "/w"), 0);
		assert_string_equal(orch_strv_get_env(&env, "PATH"), cases[i].inside);
	}
}

#ifdef ORCH_FAULT_INJECTION
static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Each allocation, and each write, of a whole run fails once: no leak, no descriptor, no left-over. */
static void each_step_of_a_run_may_fail(void **state)
{
	static const char *const kinds[] = {"alloc", "write", "read", "rename"};
	static const char *const argv[] = {"true", NULL}, *const env[] = {
							      "PATH=/bin:/usr/bin", NULL};
	char folder[] = "/tmp/orch-faults-XXXXXX", state_dir[64];
	struct prv_config config = {.state_dir = state_dir};

	assert_non_null(mkdtemp(folder));
	snprintf(state_dir, sizeof(state_dir), "%s/state", folder);
	for (size_t k = 0; k < ORCH_ARRAY_LEN(kinds); k++) {
		unsigned before = open_descriptors();
		bool whole = false;

		for (int n = 1; n < 400 && !whole; n++) {
			struct prv_task t = {.run = "faulty",
			    .argv = argv,
			    .env = env,
			    .workspace = folder,
			    .network = true,
			    .uid = geteuid(),
			    .gid = getegid(),
			    .deadline_ns = orch_deadline_in_ms(10000),
			    .cancel_fd = -1};
			struct prv_result r = {.message = ""};
			struct prv *p = NULL;
			char spec[64];
			int code;

			snprintf(spec, sizeof(spec), "%s:%d", kinds[k], n);
			assert_int_equal(prv_open("local", &config, &p, NULL), 0);
			assert_int_equal(orch_fault_set(spec), 0);
			code = prv_run(p, &t, &r, NULL);
			/* one that the forked child met is not seen here, but in the outcome */
			whole = code == 0 && !orch_fault_was_met() && r.outcome == PRV_SUCCEEDED;
			assert_int_equal(orch_fault_set(NULL), 0);
			if (code == 0)
				assert_true(r.outcome == PRV_SUCCEEDED ||
					    r.outcome == PRV_INFRASTRUCTURE_ERROR);
			prv_close(p);
			assert_int_equal(open_descriptors(), before);
			assert_int_equal(orch_remove_tree(AT_FDCWD, state_dir, NULL), 0);
		}
		assert_true(whole);
	}
	assert_int_equal(orch_remove_tree(AT_FDCWD, folder, NULL), 0);
}
#else
static void each_step_of_a_run_may_fail(void **state)
{
	print_message("# only with --enable-fault-injection\n");
	skip();
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(outcomes_have_names),
	    cmocka_unit_test(names_and_aliases),
	    cmocka_unit_test(run_names),
	    cmocka_unit_test(wait_statuses_become_results),
	    cmocka_unit_test(a_failing_provider_is_infrastructure),
	    cmocka_unit_test(a_failing_cleanup_does_not_change_the_result),
	    cmocka_unit_test(environments_are_allow_lists),
	    cmocka_unit_test(a_path_has_what_is_seen_inside),
	    cmocka_unit_test(each_step_of_a_run_may_fail),
	};
	char path[4096];

	snprintf(
	    path, sizeof(path), "%s/shim", getenv("top_builddir") ? getenv("top_builddir") : ".");
	setenv("ORCH_LIBEXECDIR", path, 0);
	return tap_run(tests);
}
