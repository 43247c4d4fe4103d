/*
 * One task of this process: its child, its pipe, its socket to orch-init. Output that comes before
 * orch-init has said that it is ready is the sandbox program's own: it is held back, and becomes the
 * reason when the sandbox could not be made. One thread, that of the caller.
 */
#include "providers/host_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/buf.h"
#include "core/cgroup.h"
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/path.h"
#include "core/process.h"
#include "providers/init_report.h"

#define EARLY_MAX_BYTES ((size_t)16 << 10)
#define KILLED_MS	3000 /* until orch-init has ended everything after SIGKILL */

struct prv_host_task {
	struct prv_host_task *next;
	struct prv_host *host;
	char *handle;
	char *run;
	struct prv_record record;
	struct orch_cgroup *cgroup;   /* NULL: none */
	struct orch_process *process; /* NULL once it has ended */
	int control;		      /* our end of orch-init's socket */
	bool interactive;

	struct prv_init_report said; /* by orch-init */
	char *command;		     /* argv[0], for messages */

	struct orch_buf early;
	uint64_t log_bytes;	     /* that have come, and are in the record */
	const struct prv_sink *sink; /* of the running attach; NULL: none */
	uint64_t sink_from;	     /* the first byte that it wants */
	struct prv_result result;    /* state says whether it is final */
};

const char *prv_host_task_handle(const struct prv_host_task *t)
{
	return t->handle;
}

struct prv_host_task **prv_host_task_next(struct prv_host_task *t)
{
	return &t->next;
}

/* Takes what orch-init has said so far. */
static void read_control(struct prv_host_task *t)
{
	struct prv_init_message m;

	while (t->control >= 0 &&
	       orch_sock_recv(t->control, &m, sizeof(m), NULL, NULL, 0) == (ssize_t)sizeof(m))
		prv_init_report_take(&t->said, &m);
}

static void send_signal(struct prv_host_task *t, int signal)
{
	struct prv_init_message m = {
	    .magic = PRV_INIT_MAGIC,
	    .version = PRV_INIT_VERSION,
	    .kind = PRV_INIT_SIGNAL,
	    .value = signal,
	};

	/* Fails when orch-init is gone: then the tree is killed from outside. */
	if (orch_sock_send(t->control, &m, sizeof(m), NULL, 0, 0) < 0)
		orch_process_kill(t->process, signal);
}

/* Log bytes: into the record, and to the sink from where it wants them. */
static int deliver(struct prv_host_task *t, const uint8_t *p, size_t n)
{
	uint64_t at = t->log_bytes;
	size_t skip = 0;
	int r = 0;

	if (t->record.log >= 0)
		r = orch_fd_write_all(t->record.log, p, n);
	if (r < 0)
		return r;
	t->log_bytes += n;
	if (!t->sink || !t->sink->write || t->log_bytes <= t->sink_from)
		return 0;
	if (t->sink_from > at)
		skip = (size_t)(t->sink_from - at);
	return t->sink->write(t->sink->priv, p + skip, n - skip);
}

static int flush_early(struct prv_host_task *t)
{
	int r = t->early.len ? deliver(t, t->early.data, t->early.len) : 0;

	orch_buf_fini(&t->early);
	return r;
}

static int on_output(void *priv, int stream, const void *p, size_t n)
{
	struct prv_host_task *t = priv;
	size_t room;
	int r;

	(void)stream;
	if (!t->said.ready) {
		read_control(t);
		if (t->said.ready) {
			r = flush_early(t);
			if (r < 0)
				return r;
		}
	}
	if (t->said.ready)
		return deliver(t, p, n);
	room = EARLY_MAX_BYTES - t->early.len;
	return orch_buf_add(&t->early, p, n < room ? n : room);
}

static void measure(struct prv_host_task *t, struct prv_result *out)
{
	struct orch_cgroup_usage u;

	if (!t->cgroup)
		return;
	orch_cgroup_measure(t->cgroup, &u);
	out->cpu_ns = u.cpu_ns;
	out->memory_peak_bytes = u.memory_peak_bytes;
	if (u.oom_kills > 0 && out->outcome != PRV_SUCCEEDED) {
		out->outcome = PRV_OUT_OF_MEMORY;
		snprintf(out->message, sizeof(out->message),
		    "the kernel killed %llu process(es) of it for lack of memory",
		    (unsigned long long)u.oom_kills);
	}
}

/* The terminal was the task's: it is ours again. */
static void regain_terminal(void)
{
	sigset_t ttou, old;

	if (!isatty(STDIN_FILENO))
		return;
	sigemptyset(&ttou);
	sigaddset(&ttou, SIGTTOU);
	pthread_sigmask(SIG_BLOCK, &ttou, &old);
	tcsetpgrp(STDIN_FILENO, getpgrp());
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* The first process has ended: everything else of it is ended too, and the result is final. */
static void finish(struct prv_host_task *t)
{
	struct prv_result *r = &t->result;
	int outer = 0;

	orch_process_end(t->process, 0, &outer);
	read_control(t);
	if (t->said.ready && flush_early(t) < 0) {
		/* what came before it was ready is told nowhere else */
	}
	prv_init_report_judge(
	    &t->said, outer, t->command, t->early.data ? (const char *)t->early.data : "", r);
	measure(t, r);
	if (t->interactive)
		regain_terminal();
	r->state = PRV_ENDED;
	r->wall_ended_ns = orch_wall_ns();
	r->log_bytes = t->log_bytes;
	orch_process_free(t->process);
	t->process = NULL;
	orch_cgroup_free(t->cgroup);
	t->cgroup = NULL;
	orch_fd_close(t->control);
	t->control = -1;
	if (prv_record_save_result(&t->record, r, NULL) < 0)
		orch_log(ORCH_LOG_WARN, "provider", "result-not-recorded", "task=%s", t->handle);
}

static int replay(
    struct prv_host_task *t, uint64_t offset, const struct prv_sink *sink, struct orch_err *err)
{
	int64_t n;

	if (offset >= t->log_bytes || !sink || !sink->write)
		return 0;
	if (t->record.dir < 0)
		return orch_err_set(err, ENOTSUP,
		    "the log of %s before byte %llu is gone: nothing is recorded", t->handle,
		    (unsigned long long)t->log_bytes);
	n = prv_record_read_log(&t->record, offset, t->log_bytes - offset, sink);
	return n < 0 ? orch_err_sys(err, (int)-n, "the log of %s", t->handle) : 0;
}

/* Pumps until the end, the deadline or the cancelling; finishes when it is over. */
static int pump(struct prv_host_task *t, const struct prv_sink *sink, uint64_t from,
    uint64_t deadline_ns, int cancel_fd, struct orch_err *err)
{
	int status, r;

	t->sink = sink;
	t->sink_from = from;
	r = orch_process_wait(t->process, deadline_ns, cancel_fd, &status, err);
	/* Any error but these two has ended it. */
	if (r != -ETIMEDOUT && r != -ECANCELED)
		finish(t);
	t->sink = NULL;
	return r;
}

int prv_host_task_attach(struct prv_host_task *t, uint64_t offset, const struct prv_sink *sink,
    uint64_t deadline_ns, int cancel_fd, struct orch_err *err)
{
	uint64_t from = offset > t->log_bytes ? offset : t->log_bytes;
	int r = replay(t, offset, sink, err);

	if (r < 0 || t->result.state == PRV_ENDED)
		return r;
	r = pump(t, sink, from, deadline_ns, cancel_fd, err);
	if (r < 0)
		orch_err_wrap(err, "%s", t->handle);
	return r;
}

int prv_host_task_cancel(
    struct prv_host_task *t, uint64_t grace_ms, const struct prv_sink *sink, struct orch_err *err)
{
	int r = -ETIMEDOUT;

	if (t->result.state == PRV_ENDED)
		return 0;
	if (grace_ms > 0) {
		send_signal(t, SIGTERM);
		r = pump(t, sink, t->log_bytes, orch_deadline_in_ms(grace_ms), -1, err);
	}
	if (r == -ETIMEDOUT) {
		send_signal(t, SIGKILL);
		r = pump(t, sink, t->log_bytes, orch_deadline_in_ms(KILLED_MS), -1, err);
	}
	if (r == -ETIMEDOUT) {
		orch_process_kill(t->process, SIGKILL);
		r = pump(t, sink, t->log_bytes, orch_deadline_in_ms(KILLED_MS), -1, err);
	}
	if (r < 0)
		orch_err_wrap(err, "cannot end %s", t->handle);
	return r;
}

void prv_host_task_poll(struct prv_host_task *t, struct prv_result *out)
{
	*out = t->result;
	out->log_bytes = t->log_bytes;
}

void prv_host_task_free(struct prv_host_task *t)
{
	if (!t)
		return;
	if (t->process)
		prv_host_task_cancel(t, 0, NULL, NULL);
	orch_process_free(t->process);
	orch_cgroup_free(t->cgroup);
	orch_fd_close(t->control);
	orch_buf_fini(&t->early);
	prv_record_close(&t->record);
	free(t->command);
	free(t->handle);
	free(t->run);
	free(t);
}

static int group_make(struct prv_host_task *t, const struct prv_task *task, struct orch_err *err)
{
	struct orch_cgroup_limits limits = {
	    .memory_bytes = task->limits.memory_bytes,
	    .cpu_milli = task->limits.cpu_milli,
	    .pids = task->limits.pids,
	    .measure = true,
	};
	char name[PRV_RUN_NAME_MAX + 32];
	unsigned lacks;
	int r;

	/* unique on the machine: other users may have a run of that name */
	snprintf(name, sizeof(name), "orch.task.%d.%s", (int)getpid(), task->run);
	r = orch_cgroup_new(name, &limits, &t->cgroup, err);
	if (r == -EEXIST || r == -ENOMEM)
		return r;
	lacks = r < 0 ? 0 : orch_cgroup_lacks(t->cgroup);
	if (r < 0 && (limits.memory_bytes || limits.cpu_milli || limits.pids))
		lacks = ORCH_CGROUP_MEMORY | ORCH_CGROUP_CPU | ORCH_CGROUP_PIDS;
	if (lacks)
		orch_log(ORCH_LOG_WARN, "provider", "limits-not-enforced",
		    "task=%s memory=%s cpu=%s pids=%s", t->handle,
		    lacks & ORCH_CGROUP_MEMORY && limits.memory_bytes ? "no" : "yes",
		    lacks & ORCH_CGROUP_CPU && limits.cpu_milli ? "no" : "yes",
		    lacks & ORCH_CGROUP_PIDS && limits.pids ? "no" : "yes");
	return 0;
}

static void command_fini(struct prv_host_command *c)
{
	for (size_t i = 0; i < c->fd_count; i++)
		orch_fd_close(c->fds[i]);
	orch_strv_fini(&c->argv);
}

int prv_host_keep(struct prv_host_command *c, int fd)
{
	if (fd < 0)
		return -errno;
	if (c->fd_count == PRV_HOST_FDS_MAX) {
		close(fd);
		return -E2BIG;
	}
	c->fds[c->fd_count++] = fd;
	return fd;
}

/* bubblewrap and orch-init read from where the descriptor stands: at the start. */
int prv_host_data(struct prv_host_command *c, const void *p, size_t n)
{
	int fd = memfd_create("orch", MFD_CLOEXEC);
	int r = prv_host_keep(c, fd);

	if (r < 0)
		return r;
	r = orch_fd_pwrite_all(fd, p, n, 0);
	return r < 0 ? r : fd;
}

static int environment_fill(
    const struct prv_host *h, const struct prv_task *t, struct orch_strv *env)
{
	const struct passwd *pw = getpwuid(t->uid);
	const char *home = h->home ? h->home : pw ? pw->pw_dir : "/";
	const char *user = pw ? pw->pw_name : "orch";
	int r = orch_strv_add_all(env, t->env);

	if (r == 0 && !orch_strv_get_env(env, "HOME"))
		r = orch_strv_set_env(env, "HOME", home);
	if (r == 0 && !orch_strv_get_env(env, "USER"))
		r = orch_strv_set_env(env, "USER", user);
	if (r == 0 && !orch_strv_get_env(env, "LOGNAME"))
		r = orch_strv_set_env(env, "LOGNAME", user);
	return r;
}

/* The environment goes through a descriptor: in an argv others would read it, and in the environment
 * of a sandbox program that runs as root it could load a library into that. */
static int environment_make(
    const struct prv_host *h, const struct prv_task *t, struct prv_host_command *c)
{
	orch_auto(strv) struct orch_strv env = ORCH_STRV_INIT;
	orch_auto(buf) struct orch_buf text = ORCH_BUF_INIT;
	int r = environment_fill(h, t, &env);

	for (size_t i = 0; r == 0 && i < env.count; i++)
		r = orch_buf_add(&text, env.v[i], strlen(env.v[i]) + 1);
	if (r < 0)
		return r;
	c->env = prv_host_data(c, text.data, text.len);
	return c->env < 0 ? c->env : 0;
}

static int control_make(struct prv_host_task *t, struct prv_host_command *c)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	t->control = ends[0];
	c->control = prv_host_keep(c, ends[1]);
	return c->control < 0 ? c->control : 0;
}

char *prv_host_init_program(struct orch_err *err)
{
	return orch_path_program("orch-init", "orch-init", err);
}

static int add_number(struct orch_strv *argv, const char *option, int n)
{
	int r = orch_strv_add(argv, option);

	return r < 0 ? r : orch_strv_addf(argv, "%d", n);
}

int prv_host_add_init(struct prv_host_command *c, const struct prv_task *t, const char *program,
    const char *cwd, const char *const *options)
{
	if (orch_strv_add(&c->argv, program) < 0 ||
	    add_number(&c->argv, "--control", c->control) < 0 ||
	    add_number(&c->argv, "--env", c->env) < 0 || orch_strv_add_all(&c->argv, options) < 0 ||
	    orch_strv_add(&c->argv, "--cwd") < 0 || orch_strv_add(&c->argv, cwd) < 0)
		return -ENOMEM;
	if (t->interactive && isatty(STDIN_FILENO) && orch_strv_add(&c->argv, "--tty") < 0)
		return -ENOMEM;
	if (orch_strv_add(&c->argv, "--") < 0)
		return -ENOMEM;
	return orch_strv_add_all(&c->argv, t->argv);
}

static int process_start(struct prv_host_task *t, const struct prv_task *task,
    const struct prv_host_command *c, struct orch_err *err)
{
	/* For the sandbox program; the task has its own. */
	static const char *const outer_env[] = {
	    "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", NULL};
	struct orch_process_owner owner = {.uid = task->uid, .gid = task->gid};
	struct orch_process_spec spec = {
	    .argv = (const char *const *)orch_strv_argv(&c->argv),
	    .envp = outer_env,
	    .cwd = "/",
	    .stdin_fd = task->interactive ? STDIN_FILENO : -1,
	    .stdout_fd = task->interactive ? STDOUT_FILENO : -1,
	    .stderr_fd = task->interactive ? STDERR_FILENO : -1,
	    .pipe_owner = &owner,
	    .merge_stderr = !task->interactive,
	    .keep_fds = c->fds,
	    .keep_fd_count = c->fd_count,
	    .cgroup = t->cgroup,
	    .on_output = on_output,
	    .priv = t,
	};

	return orch_process_start(&spec, &t->process, err);
}

static int launch(struct prv_host_task *t, const struct prv_task *task, struct orch_err *err)
{
	struct prv_host_command c = {.argv = ORCH_STRV_INIT, .control = -1, .env = -1};
	int r = control_make(t, &c);

	if (r == 0)
		r = environment_make(t->host, task, &c);
	if (r < 0)
		orch_err_sys(err, -r, "cannot prepare the task %s", task->run);
	else
		r = t->host->build(t->host, task, &c, err);
	if (r == 0)
		r = process_start(t, task, &c, err);
	command_fini(&c);
	return r;
}

/* What a later process needs to end the task, before and after its start. */
static int record_update(struct prv_host_task *t, struct orch_err *err)
{
	struct orch_proc_id id;
	bool started = t->process && orch_proc_id_get(orch_process_pid(t->process), &id) == 0;

	return prv_record_save_task(
	    &t->record, t->host->base.ops->name, started ? &id : NULL, t->cgroup, err);
}

static int record_make(struct prv_host_task *t, struct orch_err *err)
{
	int r;

	if (!t->host->state_dir)
		return 0;
	r = prv_record_create(t->host->state_dir, t->run, &t->record, err);
	return r < 0 ? r : record_update(t, err);
}

static int groups_tell(struct prv_host_task *t, const struct prv_task *task, struct orch_err *err)
{
	const char *folders[ORCH_CGROUP_JOIN_MAX];
	int r;

	if (!t->cgroup || !task->on_groups)
		return 0;
	r = task->on_groups(task->priv, folders, orch_cgroup_paths(t->cgroup, folders));
	return r < 0 ? orch_err_sys(err, -r, "the groups of the task %s", task->run) : 0;
}

int prv_host_task_start(struct prv_host *h, const struct prv_task *task, const char *handle,
    struct prv_host_task **out, struct orch_err *err)
{
	struct prv_host_task *t = calloc(1, sizeof(*t));
	bool recorded = false;
	int r = 0;

	if (!t)
		return orch_err_sys(err, ENOMEM, "cannot start the task %s", task->run);
	t->host = h;
	t->control = -1;
	t->record = (struct prv_record)PRV_RECORD_NONE;
	t->interactive = task->interactive;
	orch_buf_init(&t->early, EARLY_MAX_BYTES);
	t->result = (struct prv_result){
	    .state = PRV_RUNNING, .exit_code = -1, .wall_started_ns = orch_wall_ns()};
	t->handle = strdup(handle);
	t->run = strdup(task->run);
	t->command = strdup(task->argv[0]);
	if (!t->handle || !t->run || !t->command)
		r = orch_err_sys(err, ENOMEM, "cannot start the task %s", task->run);
	if (r == 0)
		r = record_make(t, err);
	recorded = t->record.dir >= 0;
	if (r == 0)
		r = group_make(t, task, err);
	if (r == 0)
		r = record_update(t, err);
	if (r == 0)
		r = groups_tell(t, task, err);
	if (r == 0)
		r = launch(t, task, err);
	if (r == 0)
		r = record_update(t, err);
	if (r < 0) {
		prv_host_task_free(t);
		if (recorded && prv_record_remove(h->state_dir, task->run, NULL) < 0) {
			/* gc finds it */
		}
		return r;
	}
	*out = t;
	return 0;
}
