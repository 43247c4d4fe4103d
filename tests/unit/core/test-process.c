/* The process runner: truth about the end, all of the output, nobody left behind. */
#include "tests/lib/tap.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "core/cgroup.h"
#include "core/clock.h"
#include "core/process.h"
#include "core/proctree.h"
#include "tests/unit/core/scratch.h"

#define SH(script)                            \
	(const char *const[])                 \
	{                                     \
		"/bin/sh", "-c", script, NULL \
	}

struct sink {
	struct orch_buf text[2];
	size_t bytes;
	int answer;
};

static int take(void *priv, int stream, const void *p, size_t n)
{
	struct sink *s = priv;

	s->bytes += n;
	orch_buf_add(&s->text[stream - 1], p, n);
	return s->answer;
}

static void sink_fini(struct sink *s)
{
	orch_buf_fini(&s->text[0]);
	orch_buf_fini(&s->text[1]);
}

#define SINK_INIT                                        \
	{                                                \
		.text = { ORCH_BUF_INIT, ORCH_BUF_INIT } \
	}

static struct orch_process_spec spec_of(const char *const *argv, struct sink *sink)
{
	return (struct orch_process_spec){
	    .argv = argv,
	    .stdin_fd = -1,
	    .stdout_fd = -1,
	    .stderr_fd = -1,
	    .on_output = sink ? take : NULL,
	    .priv = sink,
	};
}

static struct orch_process *start(const struct orch_process_spec *spec)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct orch_process *p = NULL;

	if (orch_process_start(spec, &p, &err) < 0)
		fail_msg("%s", err.msg);
	return p;
}

static int run(const struct orch_process_spec *spec)
{
	struct orch_process *p = start(spec);
	int status = -1;

	assert_int_equal(orch_process_wait(p, orch_deadline_in_ms(60000), -1, &status, NULL), 0);
	orch_process_free(p);
	return status;
}

static int run_sh(const char *script)
{
	struct orch_process_spec spec = spec_of(SH(script), NULL);

	return run(&spec);
}

static void the_status_is_raw(void **state)
{
	int status = run_sh("exit 0");

	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	status = run_sh("exit 137");
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 137);
	status = run_sh("kill -9 $$");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == 9);
	status = run_sh("kill -TERM $$");
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == 15);
}

static int start_error(const char *const *argv, const char *cwd, struct orch_err *err)
{
	struct orch_process_spec spec = spec_of(argv, NULL);
	struct orch_process *p = NULL;
	int r;

	spec.cwd = cwd;
	r = orch_process_start(&spec, &p, err);
	assert_null(p);
	return r;
}

static void errors_of_exec_are_told(void **state)
{
	struct scratch *s = *state;
	struct orch_err err = ORCH_ERR_INIT;
	char path[128];
	int fd;

	assert_int_equal(
	    start_error((const char *const[]){"no-such-program-at-all", NULL}, NULL, &err),
	    -ENOENT);
	assert_non_null(strstr(err.msg, "no-such-program-at-all"));
	assert_int_equal(start_error((const char *const[]){"/no/such", NULL}, NULL, &err), -ENOENT);
	assert_int_equal(
	    start_error((const char *const[]){"/etc/passwd", NULL}, NULL, &err), -EACCES);
	assert_int_equal(start_error((const char *const[]){"/", NULL}, NULL, &err), -EACCES);
	assert_int_equal(start_error(SH("exit 0"), "/no/folder", &err), -ENOENT);
	assert_non_null(strstr(err.msg, "/no/folder"));
	fd = openat(s->fd, "text", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
	assert_int_equal(orch_fd_write_all(fd, "exit 0\n", 7), 0);
	close(fd);
	snprintf(path, sizeof(path), "%s/text", s->path);
	assert_int_equal(start_error((const char *const[]){path, NULL}, NULL, &err), -ENOEXEC);
}

static void path_is_searched_for_a_program(void **state)
{
	struct scratch *s = *state;
	char *old = strdup(getenv("PATH"));
	struct orch_err err = ORCH_ERR_INIT;
	int fd;

	fd = openat(s->fd, "not-executable", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	close(fd);
	setenv("PATH", s->path, 1);
	assert_int_equal(
	    start_error((const char *const[]){"not-executable", NULL}, NULL, &err), -EACCES);
	assert_int_equal(start_error((const char *const[]){"sh", NULL}, NULL, &err), -ENOENT);
	setenv("PATH", old, 1);
	assert_int_equal(orch_process_run((const char *const[]){"sh", "-c", "exit 0", NULL}, NULL,
			     ORCH_FOREVER, NULL),
	    0);
	free(old);
}

static void streams_are_apart_or_merged_in_order(void **state)
{
	static const char script[] = "for i in 1 2 3; do echo o$i; echo e$i >&2; done";
	struct sink s = SINK_INIT;
	struct orch_process_spec spec = spec_of(SH(script), &s);

	run(&spec);
	assert_string_equal((char *)s.text[0].data, "o1\no2\no3\n");
	assert_string_equal((char *)s.text[1].data, "e1\ne2\ne3\n");
	sink_fini(&s);
	spec.merge_stderr = true;
	run(&spec);
	assert_string_equal((char *)s.text[0].data, "o1\ne1\no2\ne2\no3\ne3\n");
	assert_null(s.text[1].data);
	sink_fini(&s);
}

static void given_descriptors_are_used_even_crossed(void **state)
{
	struct sink s = SINK_INIT;
	struct orch_process_spec spec =
	    spec_of(SH("read x; echo got $x; echo err >&2; ls /proc/self/fd"), &s);
	int in[2], err[2], extra, leak;
	char text[64];
	ssize_t n;

	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(err), 0);
	leak = open("/dev/null", O_RDONLY); /* no O_CLOEXEC, as a careless library does */
	assert_true(leak >= 0);
	extra = fcntl(leak, F_DUPFD_CLOEXEC, 77);
	assert_int_equal(extra, 77);
	assert_int_equal(write(in[1], "hello\n", 6), 6);
	spec.stdin_fd = in[0];
	spec.stderr_fd = err[1];
	spec.keep_fds = &extra;
	spec.keep_fd_count = 1;
	run(&spec);
	/* 3 is the folder that ls itself has open */
	assert_string_equal((char *)s.text[0].data, "got hello\n0\n1\n2\n3\n77\n");
	n = read(err[0], text, sizeof(text));
	assert_int_equal(n, 4);
	close(in[0]);
	close(in[1]);
	close(err[0]);
	close(err[1]);
	close(leak);
	close(extra);
	sink_fini(&s);
}

static void standard_descriptors_may_be_swapped(void **state)
{
	struct orch_process_spec spec = spec_of(SH("echo out; echo err >&2"), NULL);
	struct sink s = SINK_INIT;
	int status;
	pid_t pid;

	/* in a child of its own: 0, 1 and 2 of the test are left alone */
	pid = fork();
	if (pid == 0) {
		int a[2], b[2];
		char text[16] = "";

		if (pipe2(a, O_CLOEXEC) < 0 || pipe2(b, O_CLOEXEC) < 0)
			_exit(1);
		dup2(a[1], 1);
		dup2(b[1], 2);
		spec.stdout_fd = 2;
		spec.stderr_fd = 1;
		run(&spec);
		if (read(a[0], text, sizeof(text)) != 4 || memcmp(text, "err\n", 4) != 0)
			_exit(2);
		if (read(b[0], text, sizeof(text)) != 4 || memcmp(text, "out\n", 4) != 0)
			_exit(3);
		/* and with all of them closed, the pipes must not land on 0..2 */
		close(0);
		close(1);
		close(2);
		spec = spec_of(SH("echo out; echo err >&2"), &s);
		run(&spec);
		if (s.text[0].len != 4 || s.text[1].len != 4)
			_exit(4);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(status, 0);
}

static void environment_and_folder_are_given(void **state)
{
	static const char *const envp[] = {"PATH=/usr/bin:/bin", "A=b c", NULL};
	struct sink s = SINK_INIT;
	struct orch_process_spec spec = spec_of(SH("pwd; echo \"$A\"; echo $HOME"), &s);

	spec.envp = envp;
	spec.cwd = "/usr";
	run(&spec);
	assert_string_equal((char *)s.text[0].data, "/usr\nb c\n\n");
	sink_fini(&s);
}

static int check_lines(void *priv, int stream, const void *p, size_t n)
{
	struct sink *s = priv;
	const char *c = p;

	/* 64 bytes a line: its number, the rest is padding */
	for (size_t i = 0; i < n; i++, s->bytes++)
		if (s->bytes % 64 == 0) {
			unsigned line = 0;

			for (size_t k = 0; k < 10 && i + k < n; k++)
				line = line * 10 + (unsigned)(c[i + k] - '0');
			if (i + 10 <= n && line != s->bytes / 64)
				return -EDOM;
		}
	return 0;
}

static void fifty_megabytes_in_bounded_memory(void **state)
{
	struct sink s = SINK_INIT;
	struct orch_process_spec spec =
	    spec_of((const char *const[]){"awk",
			"BEGIN{for(i=0;i<819200;i++)printf \"%010d%53s\\n\",i,\"\"}", NULL},
		&s);
	struct rusage before, after;

	spec.on_output = check_lines;
	getrusage(RUSAGE_SELF, &before);
	assert_int_equal(run(&spec), 0);
	getrusage(RUSAGE_SELF, &after);
	assert_int_equal(s.bytes, 819200u * 64);
	assert_true(after.ru_maxrss - before.ru_maxrss < 8 * 1024);
}

static void deadline_and_cancel_leave_it_running(void **state)
{
	struct sink s = SINK_INIT;
	struct orch_process_spec spec = spec_of(SH("sleep 1000"), &s);
	struct orch_process *p = start(&spec);
	int cancel = eventfd(0, EFD_CLOEXEC);
	uint64_t start_ns = orch_clock_ns(), one = 1;
	int status = 0;

	assert_int_equal(
	    orch_process_wait(p, orch_deadline_in_ms(50), cancel, &status, NULL), -ETIMEDOUT);
	assert_int_equal(kill(orch_process_pid(p), 0), 0);
	assert_int_equal(write(cancel, &one, sizeof(one)), (ssize_t)sizeof(one));
	assert_int_equal(orch_process_wait(p, ORCH_FOREVER, cancel, &status, NULL), -ECANCELED);
	assert_int_equal(kill(orch_process_pid(p), 0), 0);
	assert_int_equal(orch_process_end(p, 5000, &status), 0);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	orch_process_free(p);
	close(cancel);
	assert_true(orch_clock_ns() - start_ns < 4 * ORCH_NS_PER_S);
}

static void who_ignores_term_is_killed_after_the_grace(void **state)
{
	struct sink s = SINK_INIT;
	struct orch_process_spec spec =
	    spec_of(SH("trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done"), &s);
	struct orch_process *p = start(&spec);
	uint64_t begin;
	int status = 0;

	while (!s.bytes)
		(void)!orch_process_wait(p, orch_deadline_in_ms(10), -1, &status, NULL);
	begin = orch_clock_ns();
	assert_int_equal(orch_process_end(p, 300, &status), 0);
	assert_true(orch_clock_ns() - begin >= 300 * ORCH_NS_PER_MS);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	assert_string_equal(
	    (char *)s.text[0].data, "ready\nterm\n"); /* delivered during the grace */
	orch_process_free(p);
	sink_fini(&s);
}

/* The first number in the text. */
static pid_t pid_in(const struct sink *s)
{
	return s->text[0].data ? atoi((char *)s->text[0].data) : 0;
}

static bool is_gone(pid_t pid)
{
	for (int i = 0; i < 200; i++) {
		struct orch_proc_id id;

		if (orch_proc_id_get(pid, &id) < 0 || !orch_proc_id_alive(&id))
			return true;
		usleep(10000);
	}
	return false;
}

static void pipe_holders_do_not_hold_us(void **state)
{
	struct sink s = SINK_INIT;
	struct orch_process_spec spec = spec_of(SH("sleep 1000 & echo $!; exit 3"), &s);
	uint64_t begin = orch_clock_ns();
	int status = run(&spec);

	assert_int_equal(WEXITSTATUS(status), 3);
	assert_true(orch_clock_ns() - begin < 3 * ORCH_NS_PER_S);
	assert_true(pid_in(&s) > 0);
	assert_true(is_gone(pid_in(&s)));
	sink_fini(&s);
}

#define DAEMON                                                                                 \
	"setsid sh -c 'setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!' & wait; sleep " \
	"0.05; "

static void daemons_are_ended(const char *cgroup)
{
	struct sink s = SINK_INIT;
	struct orch_process_spec spec = spec_of(SH(DAEMON "exit 4"), &s);
	struct orch_process *p;
	int status = 0;

	spec.cgroup_name = cgroup;
	p = start(&spec);
	assert_true(!cgroup || orch_process_cgroup(p));
	assert_int_equal(orch_process_wait(p, orch_deadline_in_ms(10000), -1, &status, NULL), 0);
	assert_int_equal(WEXITSTATUS(status), 4);
	assert_true(pid_in(&s) > 0);
	assert_int_equal(
	    kill(pid_in(&s), 0), 0); /* it has got away from group, session and parent */
	orch_process_free(p);
	assert_true(is_gone(pid_in(&s)));
	sink_fini(&s);
}

static void double_forked_daemons_are_ended_by_mark(void **state)
{
	daemons_are_ended(NULL);
}

static void double_forked_daemons_are_ended_by_cgroup(void **state)
{
	if (orch_cgroup_probe() < 0) {
		print_message("# no control group can be made here\n");
		skip();
	}
	daemons_are_ended("orch.test.daemon");
}

static void others_are_left_alone(void **state)
{
	struct orch_process_spec spec = spec_of(SH("sleep 1000"), NULL);
	struct orch_process *a = start(&spec), *b = start(&spec);

	orch_process_free(a);
	assert_int_equal(kill(orch_process_pid(b), 0), 0);
	orch_process_free(b);
}

static void a_detached_child_lives_on(void **state)
{
	struct orch_process_spec spec = spec_of((const char *const[]){"sleep", "1000", NULL}, NULL);
	struct orch_process *p;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pid_t pid;

	spec.stdout_fd = spec.stderr_fd = null;
	spec.detach = spec.new_session = true;
	p = start(&spec);
	pid = orch_process_pid(p);
	assert_int_equal(getsid(pid), pid);
	orch_process_free(p);
	assert_int_equal(kill(pid, 0), 0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	close(null);
}

static void a_callback_stops_the_process(void **state)
{
	struct sink s = SINK_INIT;
	struct orch_process_spec spec = spec_of(SH("echo x; sleep 1000"), &s);
	struct orch_process *p = start(&spec);
	struct orch_err err = ORCH_ERR_INIT;
	int status = 42;

	s.answer = -ENOSPC;
	assert_int_equal(orch_process_wait(p, ORCH_FOREVER, -1, &status, &err), -ENOSPC);
	assert_int_equal(err.code, ENOSPC);
	assert_int_equal(status, 42);
	assert_int_equal(s.bytes, 2);
	orch_process_free(p);
	sink_fini(&s);
}

static void a_child_dies_with_its_parent(void **state)
{
	int tell[2], status;
	pid_t pid, child = 0;

	assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		struct orch_process_spec spec = spec_of(SH("sleep 1000"), NULL);

		spec.die_with_parent = true;
		child = orch_process_pid(start(&spec));
		(void)!write(tell[1], &child, sizeof(child));
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	assert_int_equal(orch_fd_read_all(tell[0], &child, sizeof(child)), 0);
	assert_true(is_gone(child));
	close(tell[0]);
	close(tell[1]);
}

static void signals_are_the_defaults_in_the_child(void **state)
{
	struct sink s = SINK_INIT;
	struct orch_process_spec spec =
	    spec_of(SH("grep -E '^Sig(Blk|Ign)' /proc/self/status | grep -o '.......$'"), &s);
	sigset_t block, old;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	sigprocmask(SIG_BLOCK, &block, &old);
	run(&spec);
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGPIPE, SIG_DFL);
	assert_string_equal((char *)s.text[0].data, "0000000\n0000000\n");
	sink_fini(&s);
}

static void run_captures_and_explains(void **state)
{
	orch_auto(buf) struct orch_buf out = ORCH_BUF_INIT;
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t begin;

	assert_int_equal(
	    orch_process_run(SH("printf abc; echo noise >&2"), &out, ORCH_FOREVER, &err), 0);
	assert_string_equal((char *)out.data, "abc");
	assert_int_equal(orch_process_run(SH("seq 100000 >&2; echo the reason >&2; exit 7"), NULL,
			     ORCH_FOREVER, &err),
	    -ECHILD);
	assert_non_null(strstr(err.msg, "ended with 7"));
	assert_non_null(strstr(err.msg, "99999 100000 the reason"));
	assert_int_equal(orch_process_run(SH("kill -9 $$"), NULL, ORCH_FOREVER, &err), -ECHILD);
	assert_non_null(strstr(err.msg, "signal 9"));
	begin = orch_clock_ns();
	assert_int_equal(
	    orch_process_run(SH("sleep 1000"), NULL, orch_deadline_in_ms(50), &err), -ETIMEDOUT);
	assert_true(orch_clock_ns() - begin < 3 * ORCH_NS_PER_S);
	orch_buf_fini(&out);
	orch_buf_init(&out, 10);
	assert_int_equal(orch_process_run(SH("seq 1000"), &out, ORCH_FOREVER, &err), -EOVERFLOW);
}

static void a_memory_limit_is_seen(void **state)
{
	struct orch_cgroup_limits limits = {
	    .memory_bytes = 32 << 20, .cpu_milli = 1500, .pids = 50};
	struct orch_cgroup_usage usage;
	struct orch_cgroup *g = NULL;
	struct orch_process_spec spec =
	    spec_of((const char *const[]){"awk", "BEGIN{s=\"x\";while(1)s=s s}", NULL}, NULL);
	int status, can = orch_cgroup_probe();

	if (can < 0 || !(can & ORCH_CGROUP_MEMORY)) {
		print_message("# no control group can limit memory here\n");
		skip();
	}
	assert_int_equal(orch_cgroup_new("orch.test.memory", &limits, &g, NULL), 0);
	assert_int_equal(orch_cgroup_lacks(g) & ORCH_CGROUP_MEMORY, 0);
	spec.cgroup = g;
	status = run(&spec);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	orch_cgroup_measure(g, &usage);
	assert_true(usage.oom_kills >= 1);
	assert_true(usage.memory_peak_bytes <= limits.memory_bytes);
	assert_true(usage.cpu_ns > 0);
	assert_false(orch_cgroup_populated(g));
	orch_cgroup_free(g);
}

static void cgroups_are_exclusive_and_leave_nothing(void **state)
{
	struct orch_process_spec spec = spec_of((const char *const[]){"sleep", "1000", NULL}, NULL);
	struct orch_cgroup *g = NULL, *twin = NULL;
	struct orch_process *p;
	struct orch_err err = ORCH_ERR_INIT;
	pid_t pid;

	if (orch_cgroup_probe() < 0)
		skip();
	assert_int_equal(orch_cgroup_new("a/b", NULL, &g, &err), -EINVAL);
	assert_int_equal(orch_cgroup_new("orch.test.x", NULL, &g, &err), 0);
	spec.cgroup = g;
	p = start(&spec);
	pid = orch_process_pid(p);
	assert_true(orch_cgroup_populated(g));
	assert_int_equal(orch_cgroup_new("orch.test.x", NULL, &twin, &err), -EEXIST);
	assert_int_equal(orch_cgroup_kill(g, SIGKILL), 1);
	orch_process_free(p);
	orch_cgroup_free(g);
	assert_true(is_gone(pid));
	assert_int_equal(orch_cgroup_new("orch.test.x", NULL, &g, &err), 0);
	orch_cgroup_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(the_status_is_raw),
	    scratch_test(errors_of_exec_are_told),
	    scratch_test(path_is_searched_for_a_program),
	    cmocka_unit_test(streams_are_apart_or_merged_in_order),
	    cmocka_unit_test(given_descriptors_are_used_even_crossed),
	    cmocka_unit_test(standard_descriptors_may_be_swapped),
	    cmocka_unit_test(environment_and_folder_are_given),
	    cmocka_unit_test(fifty_megabytes_in_bounded_memory),
	    cmocka_unit_test(deadline_and_cancel_leave_it_running),
	    cmocka_unit_test(who_ignores_term_is_killed_after_the_grace),
	    cmocka_unit_test(pipe_holders_do_not_hold_us),
	    cmocka_unit_test(double_forked_daemons_are_ended_by_mark),
	    cmocka_unit_test(double_forked_daemons_are_ended_by_cgroup),
	    cmocka_unit_test(others_are_left_alone),
	    cmocka_unit_test(a_detached_child_lives_on),
	    cmocka_unit_test(a_callback_stops_the_process),
	    cmocka_unit_test(a_child_dies_with_its_parent),
	    cmocka_unit_test(signals_are_the_defaults_in_the_child),
	    cmocka_unit_test(run_captures_and_explains),
	    cmocka_unit_test(a_memory_limit_is_seen),
	    cmocka_unit_test(cgroups_are_exclusive_and_leave_nothing),
	};

	return tap_run(tests);
}
