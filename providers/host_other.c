/*
 * Tasks that another process runs, or ran: what their records say, and signals to their first
 * process. Nothing tells us of a change, so waiting looks again every 50 ms.
 */
#include "providers/host_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/fd.h"

#define LOOK_MS	  50
#define KILLED_MS 5000

/* Sleeps one look, or less when the deadline or the cancelling comes first. */
static int pause_or(uint64_t deadline_ns, int cancel_fd)
{
	struct pollfd p = {.fd = cancel_fd, .events = POLLIN};
	int ms = orch_deadline_poll_ms(deadline_ns);

	if (ms == 0)
		return -ETIMEDOUT;
	if (poll(&p, 1, ms < 0 || ms > LOOK_MS ? LOOK_MS : ms) > 0)
		return -ECANCELED;
	return 0;
}

/* sink NULL: only the end is waited for. */
static int follow(const struct prv_record *r, uint64_t offset, const struct prv_sink *sink,
    uint64_t deadline_ns, int cancel_fd, struct orch_err *err)
{
	for (;;) {
		struct prv_result result;
		int64_t n;
		int code = prv_record_state(r, &result, err);

		if (code < 0)
			return code;
		/* The state first: what is in the log after the end is all of it. */
		n = sink ? prv_record_read_log(r, offset, UINT64_MAX, sink) : 0;
		if (n < 0)
			return orch_err_sys(err, (int)-n, "the log of a task");
		offset += (uint64_t)n;
		if (result.state == PRV_ENDED)
			return 0;
		code = pause_or(deadline_ns, cancel_fd);
		if (code < 0)
			return orch_err_sys(err, -code, "the task has not ended");
	}
}

int prv_host_other_attach(const char *state_dir, const char *run, uint64_t offset,
    const struct prv_sink *sink, uint64_t deadline_ns, int cancel_fd, struct orch_err *err)
{
	struct prv_record r;
	int code = prv_record_open(state_dir, run, &r, err);

	if (code < 0)
		return code;
	code = follow(&r, offset, sink, deadline_ns, cancel_fd, err);
	prv_record_close(&r);
	return code;
}

int prv_host_other_poll(
    const char *state_dir, const char *run, struct prv_result *out, struct orch_err *err)
{
	struct prv_record r;
	struct stat st;
	int code = prv_record_open(state_dir, run, &r, err);

	if (code < 0)
		return code;
	code = prv_record_state(&r, out, err);
	if (code == 0 && out->state != PRV_ENDED && fstatat(r.dir, "log", &st, 0) == 0)
		out->log_bytes = (uint64_t)st.st_size;
	prv_record_close(&r);
	return code;
}

/* The number of a process's first child; 0 when it has none. */
static pid_t first_child(pid_t pid)
{
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	if (orch_file_load(AT_FDCWD, path, &text, NULL) < 0 || !text.data)
		return 0;
	return (pid_t)strtol((char *)text.data, NULL, 10);
}

static bool is_init(pid_t pid)
{
	orch_auto(buf) struct orch_buf name = ORCH_BUF_INIT;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (orch_file_load(AT_FDCWD, path, &name, NULL) < 0 || !name.data)
		return false;
	return strcmp((char *)name.data, "orch-init\n") == 0 ||
	       strcmp((char *)name.data, "init\n") == 0;
}

/* Signals the task's orch-init, which may be the first process or the child of the sandbox program;
 * SIGKILL ends with it everything below. */
static void signal_first(const struct prv_record_task *task, int signal)
{
	pid_t pid = task->first.pid;
	int fd;

	if (!task->this_boot || pid <= 0 || orch_proc_id_alive(&task->first) != 1)
		return;
	if (!is_init(pid) && first_child(pid) > 0)
		pid = first_child(pid);
	fd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return;
	if (orch_proc_id_alive(&task->first) == 1)
		syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
	close(fd);
}

static int wait_end(const struct prv_record *r, uint64_t deadline_ns, struct orch_err *err)
{
	return follow(r, 0, NULL, deadline_ns, -1, err);
}

static int end_other(const struct prv_record *r, uint64_t grace_ms, struct orch_err *err)
{
	struct prv_record_task task;
	struct prv_result now;
	int code = prv_record_state(r, &now, err);

	if (code < 0 || now.state == PRV_ENDED)
		return code;
	code = prv_record_load_task(r, &task, err);
	if (code == 0)
		code = prv_record_mark_cancelled(r, err);
	if (code < 0)
		return code;
	code = -ETIMEDOUT;
	if (grace_ms > 0) {
		signal_first(&task, SIGTERM);
		code = wait_end(r, orch_deadline_in_ms(grace_ms), err);
	}
	if (code == -ETIMEDOUT) {
		signal_first(&task, SIGKILL);
		code = wait_end(r, orch_deadline_in_ms(KILLED_MS), err);
	}
	return code;
}

int prv_host_other_cancel(
    const char *state_dir, const char *run, uint64_t grace_ms, struct orch_err *err)
{
	struct prv_record r;
	int code = prv_record_open(state_dir, run, &r, err);

	if (code < 0)
		return code;
	code = end_other(&r, grace_ms, err);
	prv_record_close(&r);
	return code;
}

/* Ends it, then removes what is left of it: its group, its record. */
int prv_host_other_cleanup(const char *state_dir, const char *run, struct orch_err *err)
{
	struct prv_record r;
	int code = prv_host_other_cancel(state_dir, run, 0, err);

	if (code == -ENOENT)
		return 0;
	/* A record that can't be read names nobody who could still run. */
	if (code < 0 && code != -EINVAL && code != -ORCH_EFORMAT)
		return code;
	if (prv_record_open(state_dir, run, &r, NULL) == 0) {
		prv_record_remove_group(&r);
		prv_record_close(&r);
	}
	return prv_record_remove(state_dir, run, err);
}

struct sweep {
	const char *state_dir;
	const char *provider;
	const struct prv_gc *how;
	struct orch_err *err;
};

/* How long ago the record was last touched, in seconds. */
static int64_t age_of(const struct prv_record *r)
{
	struct stat st;

	if (fstat(r->dir, &st) < 0)
		return 0;
	return (orch_wall_ns() - orch_timespec_ns(&st.st_mtim)) / (int64_t)ORCH_NS_PER_S;
}

/* Whether nobody needs this record any more: its submitter is gone. */
static bool is_left(const struct sweep *s, const char *run)
{
	struct prv_record_task task;
	struct prv_record r;
	bool left;

	if (prv_record_open(s->state_dir, run, &r, NULL) < 0)
		return false;
	if (prv_record_load_task(&r, &task, NULL) < 0)
		left = age_of(&r) > 60; /* killed before it could write down who it is */
	else
		left = strcmp(task.provider, s->provider) == 0 &&
		       !(task.this_boot && orch_proc_id_alive(&task.submitter));
	left = left && age_of(&r) >= s->how->older_than_s;
	prv_record_close(&r);
	return left;
}

static int sweep_one(void *priv, const char *run)
{
	struct sweep *s = priv;

	if (!is_left(s, run))
		return 0;
	if (s->how->on_item)
		s->how->on_item(s->how->priv, "task", run);
	return s->how->dry_run ? 0 : prv_host_other_cleanup(s->state_dir, run, s->err);
}

int prv_host_other_gc(
    const char *state_dir, const char *provider, const struct prv_gc *how, struct orch_err *err)
{
	struct sweep s = {state_dir, provider, how, err};

	return prv_record_each(state_dir, sweep_one, &s);
}

struct listing {
	const char *state_dir;
	const char *provider;
	int (*fn)(void *priv, const char *handle, const struct prv_result *r);
	void *priv;
};

static int list_one(void *priv, const char *run)
{
	struct listing *l = priv;
	struct prv_record_task task;
	orch_auto(free) char *handle = NULL;
	struct prv_result result;
	struct prv_record r;
	int code;

	if (prv_record_open(l->state_dir, run, &r, NULL) < 0)
		return 0;
	code = prv_record_load_task(&r, &task, NULL);
	prv_record_close(&r);
	if (code < 0 || strcmp(task.provider, l->provider) != 0 ||
	    prv_host_other_poll(l->state_dir, run, &result, NULL) < 0)
		return 0;
	if (asprintf(&handle, "%s:%s", l->provider, run) < 0)
		return -ENOMEM;
	return l->fn(l->priv, handle, &result);
}

int prv_host_other_list(const char *state_dir, const char *provider,
    int (*fn)(void *priv, const char *handle, const struct prv_result *r), void *priv)
{
	struct listing l = {state_dir, provider, fn, priv};

	return prv_record_each(state_dir, list_one, &l);
}
