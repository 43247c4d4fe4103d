/* The conformance suite of providers: the same tests for the fake, the sandbox, local, and others. */
#include "tests/lib/tap.h"

#include "tests/unit/providers/conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/cgroup.h"
#include "core/clock.h"
#include "core/fd.h"

static struct conformance fixture;

/* One test's world. */
struct world {
	char folder[64];
	char state[96], workspace[96];
	struct prv *p;
	struct orch_buf log;
	unsigned writes;
	int sink_answer;
	int cancel_when_ready; /* eventfd that is posted when the task says "ready"; 0: none */
	char journal[1024];
	size_t groups;
	bool journal_was_first;
	struct prv_probe probe;
};

static int take_log(void *priv, const void *p, size_t n)
{
	struct world *w = priv;
	uint64_t one = 1;
	int r;

	w->writes++;
	if (w->sink_answer < 0)
		return w->sink_answer;
	r = orch_buf_add(&w->log, p, n);
	if (r == 0 && w->cancel_when_ready && strstr((char *)w->log.data, "ready"))
		r = orch_fd_write_all(w->cancel_when_ready, &one, sizeof(one));
	return r;
}

static int setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	snprintf(w->folder, sizeof(w->folder), "/tmp/orch-provider-XXXXXX");
	if (!mkdtemp(w->folder))
		return -1;
	snprintf(w->state, sizeof(w->state), "%s/state", w->folder);
	snprintf(w->workspace, sizeof(w->workspace), "%s/work space", w->folder);
	orch_buf_init(&w->log, (size_t)80 << 20);
	*state = w;
	if (mkdir(w->workspace, 0755) < 0 || fixture.open(w->state, &w->p) < 0)
		return -1;
	return w->p->ops->probe(w->p, &w->probe, NULL);
}

static int teardown(void **state)
{
	struct world *w = *state;
	int r;

	prv_close(w->p);
	orch_buf_fini(&w->log);
	r = orch_remove_tree(AT_FDCWD, w->folder, NULL);
	free(w);
	return r;
}

/* A task that runs `shell` by sh, or the fake's `script`. */
struct command {
	const char *shell, *script;
};

static const char *argv_of[4];

static struct prv_task task_of(struct world *w, const char *run, struct command c)
{
	static const char *const env[] = {"PATH=/usr/bin:/bin", "GREETING=hello world", NULL};

	if (fixture.scripted) {
		argv_of[0] = c.script;
		argv_of[1] = NULL;
	} else {
		argv_of[0] = "sh";
		argv_of[1] = "-c";
		argv_of[2] = c.shell;
		argv_of[3] = NULL;
	}
	return (struct prv_task){
	    .run = run,
	    .argv = argv_of,
	    .env = env,
	    .workspace = w->workspace,
	    .network = !(fixture.own_network && w->probe.have[PRV_FEATURE_NETWORK_OFF]),
	    .uid = geteuid(),
	    .gid = getegid(),
	    .sink = {take_log, w},
	    .deadline_ns = orch_deadline_in_ms(60000),
	    .cancel_fd = -1,
	    .grace_ms = 2000,
	};
}

static struct prv_result run(struct world *w, struct command c)
{
	struct prv_task t = task_of(w, "run-1", c);
	struct orch_err err = ORCH_ERR_INIT;
	struct prv_result result;

	orch_buf_reset(&w->log);
	if (prv_run(w->p, &t, &result, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(result.state, PRV_ENDED);
	return result;
}

static void assert_outcome(const struct prv_result *r, enum prv_outcome want)
{
	if (r->outcome != want)
		fail_msg("%s instead of %s: exit %d signal %d: %s", prv_outcome_name(r->outcome),
		    prv_outcome_name(want), r->exit_code, r->signal, r->message);
}

static const char *log_text(const struct world *w)
{
	return w->log.data ? (const char *)w->log.data : "";
}

static void exit_codes_are_told(void **state)
{
	struct prv_result r = run(*state, (struct command){"exit 0", "exit:0"});

	assert_outcome(&r, PRV_SUCCEEDED);
	assert_int_equal(r.exit_code, 0);
	r = run(*state, (struct command){"exit 3", "exit:3"});
	assert_outcome(&r, PRV_FAILED);
	assert_int_equal(r.exit_code, 3);
	r = run(*state, (struct command){"exit 137", "exit:137"});
	assert_outcome(&r, PRV_FAILED);
	assert_int_equal(r.exit_code, 137);
	assert_true(r.wall_ended_ns >= r.wall_started_ns);
}

static void signals_are_no_exit_codes(void **state)
{
	struct prv_result r = run(*state, (struct command){"kill -9 $$", "signal:9"});

	assert_outcome(&r, PRV_KILLED);
	assert_int_equal(r.signal, SIGKILL);
	assert_int_equal(r.exit_code, -1);
	r = run(*state, (struct command){"kill -TERM $$", "signal:15"});
	assert_outcome(&r, PRV_KILLED);
	assert_int_equal(r.signal, SIGTERM);
	r = run(*state, (struct command){"kill -SEGV $$", "signal:11"});
	assert_outcome(&r, PRV_KILLED);
	assert_int_equal(r.signal, SIGSEGV);
}

static void a_missing_command_is_no_exit_127(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1", (struct command){"", "none"});
	struct prv_result r = run(w, (struct command){"exit 127", "exit:127"});

	assert_outcome(&r, PRV_FAILED);
	assert_int_equal(r.exit_code, 127);
	assert_string_equal(r.message, "");
	t = task_of(w, "run-1", (struct command){"", "none"});
	if (!fixture.scripted)
		argv_of[0] = "no-such-command";
	assert_int_equal(prv_run(w->p, &t, &r, NULL), 0);
	assert_outcome(&r, PRV_FAILED);
	assert_int_equal(r.exit_code, 127);
	assert_non_null(strstr(r.message, "command not found"));
	if (fixture.scripted)
		return;
	argv_of[0] = "/etc/passwd";
	assert_int_equal(prv_run(w->p, &t, &r, NULL), 0);
	assert_outcome(&r, PRV_FAILED);
	assert_int_equal(r.exit_code, 126);
	assert_non_null(strstr(r.message, "/etc/passwd"));
}

static void both_streams_come_in_order(void **state)
{
	struct world *w = *state;

	run(w, (struct command){"for i in 1 2 3; do echo o$i; echo e$i >&2; done",
		   "out:o1 out:e1 out:o2 out:e2 out:o3 out:e3"});
	assert_string_equal(log_text(w), "o1\ne1\no2\ne2\no3\ne3\n");
}

static void environment_and_folder_are_the_tasks(void **state)
{
	struct world *w = *state;
	struct prv_task t;
	struct prv_result r;

	setenv("LEAKED", "secret", 1);
	run(w, (struct command){"echo \"$GREETING\"; echo $LEAKED; [ -w . ] && touch made; [ -d "
				"\"$HOME\" ] && echo home",
		   ""});
	unsetenv("LEAKED");
	assert_string_equal(log_text(w), "hello world\n\nhome\n");
	{
		char made[128];

		snprintf(made, sizeof(made), "%s/made", w->workspace);
		assert_int_equal(access(made, F_OK), 0);
		snprintf(made, sizeof(made), "%s/sub", w->workspace);
		assert_int_equal(mkdir(made, 0755), 0);
	}
	t = task_of(w, "run-1", (struct command){"basename \"$(pwd)\"", ""});
	t.cwd = "sub";
	orch_buf_reset(&w->log);
	assert_int_equal(prv_run(w->p, &t, &r, NULL), 0);
	assert_string_equal(log_text(w), "sub\n");
	t.cwd = "none";
	assert_int_equal(prv_run(w->p, &t, &r, NULL), 0);
	assert_outcome(&r, PRV_FAILED);
	assert_non_null(strstr(r.message, "folder"));
	t.cwd = "../..";
	assert_int_equal(prv_run(w->p, &t, &r, NULL), -EINVAL);
}

static void a_log_of_50_megabytes_is_complete(void **state)
{
	struct world *w = *state;
	struct prv_result r = run(w,
	    (struct command){"i=0; seq -f '%063.0f' 1 409600; seq -f '%063.0f' 409601 819200 >&2",
		"lines:100000"});
	uint64_t lines = 0;

	assert_outcome(&r, PRV_SUCCEEDED);
	assert_int_equal(r.log_bytes, w->log.len);
	if (fixture.scripted)
		return;
	assert_int_equal(w->log.len, 819200u * 64);
	for (size_t at = 0; at < w->log.len; at += 64)
		if (strtoull((char *)w->log.data + at, NULL, 10) != ++lines ||
		    w->log.data[at + 63] != '\n')
			fail_msg("line %llu is broken", (unsigned long long)lines);
}

static void the_log_is_live(void **state)
{
	struct world *w = *state;
	struct prv_task t =
	    task_of(w, "run-1", (struct command){"echo first; sleep 30", "out:first sleep:30000"});
	struct orch_err err = ORCH_ERR_INIT;
	orch_auto(free) char *handle = NULL;
	struct prv_result r;

	assert_int_equal(w->p->ops->submit(w->p, &t, &handle, &err), 0);
	assert_int_equal(
	    w->p->ops->attach(w->p, handle, 0, &t.sink, orch_deadline_in_ms(1500), -1, &err),
	    -ETIMEDOUT);
	assert_string_equal(log_text(w), "first\n");
	assert_int_equal(w->p->ops->poll(w->p, handle, &r, &err), 0);
	assert_int_equal(r.state, PRV_RUNNING);
	assert_int_equal(r.log_bytes, 6);
	assert_int_equal(w->p->ops->cleanup(w->p, handle, &err), 0);
	assert_int_equal(w->p->ops->poll(w->p, handle, &r, &err), -ENOENT);
	assert_int_equal(w->p->ops->cleanup(w->p, handle, &err), 0);
}

static void a_deadline_ends_it(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1", (struct command){"sleep 100", "sleep:100000"});
	uint64_t begin = orch_clock_ns();
	struct prv_result r;

	t.deadline_ns = orch_deadline_in_ms(300);
	assert_int_equal(prv_run(w->p, &t, &r, NULL), 0);
	assert_outcome(&r, PRV_TIMED_OUT);
	assert_true(orch_clock_ns() - begin < 5 * ORCH_NS_PER_S);
}

static void cancelling_lets_it_say_its_last_words(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1",
	    (struct command){
		"trap 'echo last; exit 9' TERM; echo ready; while :; do sleep 0.05; done",
		"out:ready sleep:100000"});
	uint64_t begin = orch_clock_ns();
	struct prv_result r;

	w->cancel_when_ready = t.cancel_fd = eventfd(0, EFD_CLOEXEC);
	assert_int_equal(prv_run(w->p, &t, &r, NULL), 0);
	assert_outcome(&r, PRV_CANCELLED);
	assert_true(orch_clock_ns() - begin < 15 * ORCH_NS_PER_S);
	if (!fixture.scripted) {
		/* the shell may have words of its own about its child */
		assert_non_null(strstr(log_text(w), "ready\n"));
		assert_string_equal(log_text(w) + w->log.len - 5, "last\n");
	}
	close(t.cancel_fd);
}

static void who_is_deaf_is_killed_after_the_grace(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1",
	    (struct command){"trap '' TERM; while :; do sleep 0.05; done", "deaf sleep:100000"});
	uint64_t begin;
	struct prv_result r;

	t.deadline_ns = orch_deadline_in_ms(1500);
	t.grace_ms = 700;
	begin = orch_clock_ns();
	assert_int_equal(prv_run(w->p, &t, &r, NULL), 0);
	assert_outcome(&r, PRV_TIMED_OUT);
	assert_int_equal(r.signal, SIGKILL);
	assert_true(orch_clock_ns() - begin >= 2100 * ORCH_NS_PER_MS);
	assert_true(orch_clock_ns() - begin < 20 * ORCH_NS_PER_S);
}

static bool nobody_runs(const char *what)
{
	char command[128];

	snprintf(command, sizeof(command), "pgrep -f '%s' >/dev/null", what);
	for (int i = 0; i < 100; i++) {
		if (system(command) != 0)
			return true;
		usleep(20000);
	}
	return false;
}

static void nothing_outlives_the_task(void **state)
{
	struct world *w = *state;
	struct prv_result r;

	if (!w->probe.have[PRV_FEATURE_TREE_KILL])
		skip();
	r = run(w, (struct command){"sleep 98761 & setsid sh -c 'env -i setsid sleep 98762 "
				    "</dev/null >/dev/null 2>&1 &' & sleep 0.3; exit 4",
		       ""});
	assert_outcome(&r, PRV_FAILED);
	assert_int_equal(r.exit_code, 4);
	assert_true(nobody_runs("[s]leep 9876[12]"));
}

static void a_closing_provider_ends_its_tasks(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1", (struct command){"sleep 98763", "sleep:100000"});
	orch_auto(free) char *handle = NULL;

	assert_int_equal(w->p->ops->submit(w->p, &t, &handle, NULL), 0);
	prv_close(w->p);
	w->p = NULL;
	assert_true(nobody_runs("[s]leep 98763"));
}

static int note(void *priv, const char *handle)
{
	struct world *w = priv;

	snprintf(w->journal, sizeof(w->journal), "%s", handle);
	return 0;
}

static int refuse(void *priv, const char *handle)
{
	return -ENOSPC;
}

static void handles_are_journalled_first(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1", (struct command){"exit 0", "exit:0"});
	orch_auto(free) char *handle = NULL;
	struct prv_result r;

	t.priv = w;
	t.on_handle = note;
	assert_int_equal(w->p->ops->submit(w->p, &t, &handle, NULL), 0);
	assert_string_equal(w->journal, handle);
	assert_null(strchr(handle, ' '));
	assert_int_equal(w->p->ops->cleanup(w->p, handle, NULL), 0);
	t.on_handle = refuse;
	free(orch_take(handle));
	assert_int_equal(w->p->ops->submit(w->p, &t, &handle, NULL), -ENOSPC);
	assert_null(handle);
	assert_int_equal(w->p->ops->poll(w->p, w->journal, &r, NULL), -ENOENT);
}

static int note_groups(void *priv, const char *const *folders, size_t count)
{
	struct world *w = priv;
	char path[PATH_MAX];

	w->groups = count;
	for (size_t i = 0; i < count; i++) {
		assert_true(access(folders[i], F_OK) == 0);
		assert_non_null(strstr(folders[i], "/orch.task."));
	}
	snprintf(w->journal, sizeof(w->journal), "%s", folders[0]);
	snprintf(path, sizeof(path), "%s/ran", w->workspace);
	assert_int_equal(access(path, F_OK), -1);
	return 0;
}

static int refuse_groups(void *priv, const char *const *folders, size_t count)
{
	assert_int_equal(note_groups(priv, folders, count), 0);
	return -ENOSPC;
}

static void groups_are_told_before_it_runs(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1", (struct command){"touch ran", "exit:0"});
	orch_auto(free) char *handle = NULL;
	struct prv_result r;

	if (orch_cgroup_probe() < 0)
		skip();
	t.priv = w;
	t.on_groups = refuse_groups;
	assert_int_equal(w->p->ops->submit(w->p, &t, &handle, NULL), -ENOSPC);
	assert_int_equal(access(w->journal, F_OK), -1);
	t.on_groups = note_groups;
	assert_int_equal(prv_run(w->p, &t, &r, NULL), 0);
	assert_outcome(&r, PRV_SUCCEEDED);
	assert_true(w->groups > 0);
	assert_int_equal(access(w->journal, F_OK), -1);
}

static void names_are_unique_and_checked(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1", (struct command){"sleep 10", "sleep:10000"});
	orch_auto(free) char *handle = NULL, *again = NULL;
	struct prv_result r;
	struct orch_err err = ORCH_ERR_INIT;

	assert_int_equal(w->p->ops->submit(w->p, &t, &handle, NULL), 0);
	assert_int_equal(w->p->ops->submit(w->p, &t, &again, &err), -EEXIST);
	assert_int_equal(w->p->ops->cleanup(w->p, handle, NULL), 0);
	t.run = "a/b";
	assert_int_equal(prv_run(w->p, &t, &r, &err), -EINVAL);
	t.run = "..";
	assert_int_equal(prv_run(w->p, &t, &r, &err), -EINVAL);
	assert_int_equal(w->p->ops->poll(w->p, "none:x", &r, &err), -ENOENT);
	assert_int_equal(w->p->ops->attach(w->p, "x", 0, NULL, 0, -1, &err), -ENOENT);
}

static void a_failing_sink_ends_it(void **state)
{
	struct world *w = *state;
	struct prv_task t =
	    task_of(w, "run-1", (struct command){"echo x; sleep 98764", "out:x sleep:100000"});
	uint64_t begin = orch_clock_ns();
	struct orch_err err = ORCH_ERR_INIT;
	struct prv_result r;

	w->sink_answer = -ENOSPC;
	assert_int_equal(prv_run(w->p, &t, &r, &err), -ENOSPC);
	assert_int_equal(w->writes, 1);
	assert_true(nobody_runs("[s]leep 98764"));
	assert_true(orch_clock_ns() - begin < 8 * ORCH_NS_PER_S);
}

static void the_log_can_be_read_again_from_anywhere(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(
	    w, "run-1", (struct command){"echo 0; echo 1; echo 2; exit 5", "lines:3 exit:5"});
	orch_auto(free) char *handle = NULL;
	struct prv_result r;

	assert_int_equal(w->p->ops->submit(w->p, &t, &handle, NULL), 0);
	assert_int_equal(w->p->ops->attach(w->p, handle, 0, NULL, ORCH_FOREVER, -1, NULL), 0);
	assert_int_equal(w->p->ops->attach(w->p, handle, 2, &t.sink, ORCH_FOREVER, -1, NULL), 0);
	assert_string_equal(log_text(w), "1\n2\n");
	assert_int_equal(w->p->ops->attach(w->p, handle, 6, &t.sink, ORCH_FOREVER, -1, NULL), 0);
	assert_string_equal(log_text(w), "1\n2\n");
	assert_int_equal(w->p->ops->poll(w->p, handle, &r, NULL), 0);
	assert_int_equal(r.exit_code, 5);
	assert_int_equal(r.log_bytes, 6);
	assert_int_equal(w->p->ops->fetch(w->p, handle, NULL), 0);
	assert_int_equal(w->p->ops->cancel(w->p, handle, 100, NULL, NULL), 0); /* has ended */
	assert_int_equal(w->p->ops->cleanup(w->p, handle, NULL), 0);
}

static int count_handles(void *priv, const char *handle, const struct prv_result *r)
{
	unsigned *n = priv;

	++*n;
	return strcmp(strchr(handle, ':'), ":run-2") == 0 ? 7 : 0;
}

static void tasks_are_listed(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1", (struct command){"sleep 10", "sleep:10000"});
	orch_auto(free) char *a = NULL, *b = NULL;
	unsigned n = 0;

	assert_int_equal(w->p->ops->list(w->p, count_handles, &n, NULL), 0);
	assert_int_equal(n, 0);
	assert_int_equal(w->p->ops->submit(w->p, &t, &a, NULL), 0);
	assert_int_equal(w->p->ops->list(w->p, count_handles, &n, NULL), 0);
	assert_int_equal(n, 1);
	t.run = "run-2";
	assert_int_equal(w->p->ops->submit(w->p, &t, &b, NULL), 0);
	assert_int_equal(w->p->ops->list(w->p, count_handles, &n, NULL), 7);
	assert_int_equal(w->p->ops->cleanup(w->p, a, NULL), 0);
	assert_int_equal(w->p->ops->cleanup(w->p, b, NULL), 0);
	n = 0;
	assert_int_equal(w->p->ops->list(w->p, count_handles, &n, NULL), 0);
	assert_int_equal(n, 0);
}

/* A second object in a second process: what `watch` and a later start see. */
static void another_process_attaches_and_cancels(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1",
	    (struct command){
		"trap 'echo bye; exit 6' TERM; echo one; while :; do sleep 0.05; done", ""});
	orch_auto(free) char *handle = NULL;
	struct prv *other = NULL;
	struct prv_result r;
	struct orch_err err = ORCH_ERR_INIT;
	pid_t pid;
	int ends[2];

	if (!w->probe.have[PRV_FEATURE_REATTACH])
		skip();
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		char name[128] = "";

		if (w->p->ops->submit(w->p, &t, &handle, NULL) < 0)
			_exit(1);
		snprintf(name, sizeof(name), "%s", handle);
		if (write(ends[1], name, sizeof(name)) != (ssize_t)sizeof(name))
			_exit(2);
		w->p->ops->attach(w->p, handle, 0, NULL, ORCH_FOREVER, -1, NULL);
		w->p->ops->poll(w->p, handle, &r, NULL);
		_exit(r.exit_code == 6 ? 0 : 3);
	}
	handle = calloc(1, 128);
	assert_int_equal(orch_fd_read_all(ends[0], handle, 128), 0);
	assert_int_equal(fixture.open(w->state, &other), 0);
	assert_int_equal(other->ops->poll(other, handle, &r, NULL), 0);
	assert_int_equal(r.state, PRV_RUNNING);
	for (int i = 0; i < 100 && w->log.len == 0; i++)
		assert_int_equal(other->ops->attach(
				     other, handle, 0, &t.sink, orch_deadline_in_ms(200), -1, NULL),
		    -ETIMEDOUT);
	assert_string_equal(log_text(w), "one\n");
	if (other->ops->cancel(other, handle, 5000, NULL, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(
	    other->ops->attach(other, handle, 4, &t.sink, orch_deadline_in_ms(5000), -1, NULL), 0);
	assert_string_equal(log_text(w) + w->log.len - 4, "bye\n");
	assert_int_equal(other->ops->poll(other, handle, &r, NULL), 0);
	assert_outcome(&r, PRV_CANCELLED);
	assert_int_equal(r.exit_code, 6);
	{
		int status;

		waitpid(pid, &status, 0);
		assert_int_equal(status, 0);
	}
	assert_int_equal(other->ops->cleanup(other, handle, NULL), 0);
	assert_int_equal(other->ops->poll(other, handle, &r, NULL), -ENOENT);
	prv_close(other);
	close(ends[0]);
	close(ends[1]);
}

static void count_items(void *priv, const char *kind, const char *name)
{
	++*(unsigned *)priv;
}

static bool no_group_is_left(const char *pattern)
{
	char command[160];

	snprintf(command, sizeof(command), "find /sys/fs/cgroup -name '%s' 2>/dev/null | grep -q .",
	    pattern);
	return system(command) != 0;
}

static void what_a_killed_process_left_is_collected(void **state)
{
	struct world *w = *state;
	struct prv_task t = task_of(w, "run-1", (struct command){"echo one; sleep 98765", ""});
	unsigned items = 0;
	struct prv_gc gc = {.dry_run = true, .on_item = count_items, .priv = &items};
	struct prv_result r;
	pid_t pid;
	int status;

	if (!w->probe.have[PRV_FEATURE_REATTACH])
		skip();
	pid = fork();
	if (pid == 0) {
		orch_auto(free) char *handle = NULL;

		if (w->p->ops->submit(w->p, &t, &handle, NULL) < 0)
			_exit(1);
		w->p->ops->attach(w->p, handle, 0, NULL, orch_deadline_in_ms(500), -1, NULL);
		kill(getpid(), SIGKILL);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFSIGNALED(status));
	/* nobody is left to pump its log: it is ended, and nobody can say how */
	assert_true(nobody_runs("[s]leep 98765"));
	{
		char handle[64];

		snprintf(handle, sizeof(handle), "%s:run-1", w->p->ops->name);
		for (int i = 0; i < 100; i++) {
			assert_int_equal(w->p->ops->poll(w->p, handle, &r, NULL), 0);
			if (r.state == PRV_ENDED)
				break;
			usleep(20000);
		}
		assert_outcome(&r, PRV_LOST);
		assert_int_equal(w->p->ops->gc(w->p, &gc, NULL), 0);
		assert_int_equal(items, 1);
		gc.dry_run = false;
		assert_int_equal(w->p->ops->gc(w->p, &gc, NULL), 0);
		assert_int_equal(items, 2);
		snprintf(handle, sizeof(handle), "orch.task.%d.*", (int)pid);
		assert_true(no_group_is_left(handle));
		snprintf(handle, sizeof(handle), "%s:run-1", w->p->ops->name);
		assert_int_equal(w->p->ops->gc(w->p, &gc, NULL), 0);
		assert_int_equal(items, 2);
		assert_int_equal(w->p->ops->poll(w->p, handle, &r, NULL), -ENOENT);
	}
}

static void out_of_memory_is_no_plain_signal(void **state)
{
	struct world *w = *state;
	struct prv_task t =
	    task_of(w, "run-1", (struct command){"awk 'BEGIN{s=\"x\";while(1)s=s s}'", "oom"});
	struct prv_result r;

	if (!fixture.scripted && !w->probe.have[PRV_FEATURE_LIMIT_MEMORY]) {
		print_message("# %s\n", w->probe.reason[PRV_FEATURE_LIMIT_MEMORY]);
		skip();
	}
	t.limits.memory_bytes = 64 << 20;
	assert_int_equal(prv_run(w->p, &t, &r, NULL), 0);
	assert_outcome(&r, PRV_OUT_OF_MEMORY);
	if (!fixture.scripted)
		assert_true(
		    r.memory_peak_bytes > 0 && r.memory_peak_bytes <= t.limits.memory_bytes);
}

static void many_run_side_by_side(void **state)
{
	struct world *w = *state;
	char names[8][32];
	char *handles[8] = {NULL};

	for (int i = 0; i < 8; i++) {
		struct prv_task t = task_of(
		    w, names[i], (struct command){"sleep 0.2; exit 11", "sleep:200 exit:11"});

		snprintf(names[i], sizeof(names[i]), "many-%d", i);
		assert_int_equal(w->p->ops->submit(w->p, &t, &handles[i], NULL), 0);
	}
	for (int i = 0; i < 8; i++) {
		struct prv_result r;

		assert_int_equal(w->p->ops->attach(w->p, handles[i], 0, NULL,
				     orch_deadline_in_ms(20000), -1, NULL),
		    0);
		assert_int_equal(w->p->ops->poll(w->p, handles[i], &r, NULL), 0);
		assert_int_equal(r.exit_code, 11);
		assert_int_equal(w->p->ops->cleanup(w->p, handles[i], NULL), 0);
		free(handles[i]);
	}
}

#define provider_test(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int conformance_run(const struct conformance *f)
{
	const struct CMUnitTest tests[] = {
	    provider_test(exit_codes_are_told),
	    provider_test(signals_are_no_exit_codes),
	    provider_test(a_missing_command_is_no_exit_127),
	    provider_test(both_streams_come_in_order),
	    provider_test(a_log_of_50_megabytes_is_complete),
	    provider_test(the_log_is_live),
	    provider_test(a_deadline_ends_it),
	    provider_test(cancelling_lets_it_say_its_last_words),
	    provider_test(who_is_deaf_is_killed_after_the_grace),
	    provider_test(a_closing_provider_ends_its_tasks),
	    provider_test(handles_are_journalled_first),
	    provider_test(names_are_unique_and_checked),
	    provider_test(a_failing_sink_ends_it),
	    provider_test(the_log_can_be_read_again_from_anywhere),
	    provider_test(tasks_are_listed),
	    provider_test(out_of_memory_is_no_plain_signal),
	    provider_test(many_run_side_by_side),
	};

	/* what only something that runs can show */
	const struct CMUnitTest real[] = {
	    provider_test(environment_and_folder_are_the_tasks),
	    provider_test(groups_are_told_before_it_runs),
	    provider_test(nothing_outlives_the_task),
	    provider_test(another_process_attaches_and_cancels),
	    provider_test(what_a_killed_process_left_is_collected),
	};
	struct CMUnitTest all[ORCH_ARRAY_LEN(tests) + ORCH_ARRAY_LEN(real)];
	size_t n = ORCH_ARRAY_LEN(tests);

	memcpy(all, tests, sizeof(tests));
	memcpy(all + n, real, sizeof(real));
	fixture = *f;
	tap_use();
	return _cmocka_run_group_tests(
	    __FILE__, all, fixture.scripted ? n : ORCH_ARRAY_LEN(all), NULL, NULL);
}
