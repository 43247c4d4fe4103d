/*
 * The process runner. The child is made by vfork, which costs the same however large this process
 * is, and does nothing but system calls until it executes; what fails there comes back through a
 * pipe that exec closes. The first process is not reaped before _end or _free, so that its number,
 * and the process group of that number, stay its own while the tree is signalled.
 *
 * Left-behind descendants are ended through the control group if the caller named one and it could
 * be made, else by process group, ancestry and a mark in the environment (proctree.h). This process
 * never becomes a subreaper: other children of it may daemonise on purpose. A program that has to
 * hold descendants together without a control group runs them under orch-init.
 */
#include "core/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/cgroup.h"
#include "core/clock.h"
#include "core/fault.h"
#include "core/fd.h"
#include "core/path.h"
#include "core/proctree.h"

#define READ_BYTES    ((size_t)64 << 10)
#define PIPE_BYTES    (1 << 20)
#define LINGER_MS     100  /* for pipes that descendants hold open after the end */
#define KILLED_MS     5000 /* until a killed process must be gone */
#define STOP_GRACE_MS 2000 /* after a callback has stopped a process */
#define KILL_ROUNDS   50
#define STDERR_KEEP   4096
#define FIRST_FREE_FD 3
#define MARK_NAME     "ORCH_TREE"

struct orch_process {
	pid_t pid;
	int pidfd;
	int out_fd[2]; /* read ends of stdout and stderr; -1: closed or not ours */
	int (*on_output)(void *priv, int stream, const void *p, size_t n);
	void *priv;
	struct orch_cgroup *cgroup; /* NULL: none */
	bool cgroup_borrowed;
	bool detach;
	bool ended; /* the first process; status is valid */
	bool reaped;
	int status;
	uint64_t linger_ns; /* deadline of the pipes after the end */
	bool lingered;	    /* who held the pipes has been killed */
	int stopped;	    /* -errno of on_output: nothing more is delivered */
	char mark[64];	    /* "" when there is a control group */
	uint8_t block[READ_BYTES];
};

/* Everything the child needs, made before it exists. */
struct launch {
	const char *path;
	char *const *argv;
	char *const *envp;
	const char *cwd;
	int std[3];
	const int *keep_fds;
	size_t keep_fd_count;
	int join[ORCH_CGROUP_JOIN_MAX];
	size_t join_count;
	bool new_session;
	bool die_with_parent;
	pid_t parent;
	int report; /* write end of the exec-error pipe */
};

enum step { STEP_SETUP, STEP_CWD, STEP_EXEC };

struct launch_failure {
	enum step step;
	int code;
};

/* In the child of vfork: async-signal-safe calls only, no memory but its own stack. */
static ORCH_NORETURN void child_fail(const struct launch *l, enum step step)
{
	struct launch_failure f = {.step = step, .code = errno};

	(void)!write(l->report, &f, sizeof(f));
	_exit(127);
}

static void child_reset_signals(void)
{
	struct sigaction sa;
	sigset_t none;

	for (int sig = 1; sig < NSIG; sig++) {
		/* An ignored hang-up is nohup's wish; all else is ours and not the child's. */
		if (sig == SIGHUP || sigaction(sig, NULL, &sa) < 0 || sa.sa_handler == SIG_DFL)
			continue;
		memset(&sa, 0, sizeof(sa));
		sa.sa_handler = SIG_DFL;
		sigaction(sig, &sa, NULL);
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_descriptors(const struct launch *l)
{
	int std[3];

	for (int i = 0; i < 3; i++) {
		std[i] = l->std[i];
		/* Out of the way of the numbers that are about to be filled. */
		if (std[i] < FIRST_FREE_FD && std[i] != i)
			std[i] = fcntl(std[i], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
		if (std[i] < 0)
			return -1;
	}
	for (int i = 0; i < 3; i++)
		if (std[i] == i ? fcntl(i, F_SETFD, 0) < 0 : dup2(std[i], i) < 0)
			return -1;
	/* Whatever another thread or a library has left open without the flag. */
	syscall(SYS_close_range, FIRST_FREE_FD, UINT_MAX, 4u /* CLOSE_RANGE_CLOEXEC */);
	for (size_t i = 0; i < l->keep_fd_count; i++)
		if (fcntl(l->keep_fds[i], F_SETFD, 0) < 0)
			return -1;
	return 0;
}

static int child_group(const struct launch *l)
{
	for (size_t i = 0; i < l->join_count; i++)
		if (write(l->join[i], "0", 1) < 0)
			return -1;
	if ((l->new_session ? setsid() : setpgid(0, 0)) < 0)
		return -1;
	if (!l->die_with_parent)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return -1;
	if (getppid() != l->parent)
		_exit(127);
	return 0;
}

static ORCH_NORETURN void child_run(const struct launch *l)
{
	if (child_group(l) < 0 || child_descriptors(l) < 0)
		child_fail(l, STEP_SETUP);
	if (l->cwd && chdir(l->cwd) < 0)
		child_fail(l, STEP_CWD);
	child_reset_signals();
	execve(l->path, l->argv, l->envp);
	child_fail(l, STEP_EXEC);
}

/* The parent's half: the pid or -errno. The stack frame of vfork must outlive the child's use. */
static __attribute__((noinline)) pid_t launch_fork(const struct launch *l)
{
	int fault = orch_fault(ORCH_FAULT_FORK); /* vfork can't be wrapped: it returns twice */
	pid_t pid;

	if (fault)
		return -fault;
	pid = vfork();
	if (pid == 0)
		child_run(l);
	return pid < 0 ? -errno : pid;
}

/* No handler of ours may run in the child while it shares our memory. */
static pid_t launch_start(const struct launch *l)
{
	sigset_t all, old;
	pid_t pid;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = launch_fork(l);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return pid;
}

/* argv[0] as execve wants it; malloc'd. */
static int find_program(const char *name, char **out)
{
	const char *path = getenv("PATH");
	int code = ENOENT;

	if (strchr(name, '/')) {
		*out = strdup(name);
		return *out ? 0 : -ENOMEM;
	}
	for (path = path ? path : "/usr/bin:/bin"; *name;) {
		size_t len = strcspn(path, ":");
		orch_auto(free) char *candidate = NULL;
		struct stat st;

		if (asprintf(&candidate, "%.*s/%s", len ? (int)len : 1, len ? path : ".", name) < 0)
			return -ENOMEM;
		if (stat(candidate, &st) == 0 && S_ISREG(st.st_mode)) {
			if (access(candidate, X_OK) == 0) {
				*out = orch_take(candidate);
				return 0;
			}
			code = EACCES;
		}
		if (path[len] == '\0')
			break;
		path += len + 1;
	}
	return -code;
}

/* A pipe whose ends are not 0, 1 or 2, even when those are closed here. */
static int pipe_make(int out[2])
{
	if (pipe2(out, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		int fd = out[i];

		if (fd >= FIRST_FREE_FD)
			continue;
		out[i] = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
		close(fd);
		if (out[i] < 0) {
			int code = errno;

			orch_fd_close(out[1 - i]);
			return -code;
		}
	}
	return 0;
}

/* One output: where the child writes; *out_read is our end, or -1 when the caller gave its own. */
static int output_make(
    int given, const struct orch_process_owner *owner, int *out_write, int *out_read)
{
	int ends[2];
	int r;

	*out_read = -1;
	if (given >= 0) {
		*out_write = given;
		return 0;
	}
	r = pipe_make(ends);
	if (r < 0)
		return r;
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* fewer switches; refused is fine */
	if (owner && fchown(ends[1], owner->uid, owner->gid) < 0) {
		/* only who opens /dev/stdout again misses it */
	}
	*out_read = ends[0];
	*out_write = ends[1];
	return 0;
}

/* The descriptors of one start that are ours to close when the child has its copies. */
struct plumbing {
	int null_fd;
	int write_end[2];
	int report[2];
};

static void plumbing_close(struct plumbing *b)
{
	orch_fd_close(b->null_fd);
	orch_fd_close(b->write_end[0]);
	orch_fd_close(b->write_end[1]);
	orch_fd_close(b->report[0]);
	orch_fd_close(b->report[1]);
}

static int plumbing_make(struct orch_process *p, const struct orch_process_spec *spec,
    struct plumbing *b, struct launch *l)
{
	int r = 0;

	l->std[0] = spec->stdin_fd;
	if (l->std[0] < 0) {
		b->null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (b->null_fd < 0)
			return -errno;
		l->std[0] = b->null_fd;
	}
	r = output_make(spec->stdout_fd, spec->pipe_owner, &l->std[1], &p->out_fd[0]);
	b->write_end[0] = p->out_fd[0] >= 0 ? l->std[1] : -1;
	if (r < 0)
		return r;
	if (spec->merge_stderr) {
		l->std[2] = l->std[1];
	} else {
		r = output_make(spec->stderr_fd, spec->pipe_owner, &l->std[2], &p->out_fd[1]);
		b->write_end[1] = p->out_fd[1] >= 0 ? l->std[2] : -1;
	}
	if (r == 0)
		r = pipe_make(b->report);
	l->report = b->report[1];
	return r;
}

/* The environment with the mark in front; malloc'd array of borrowed strings. */
static char **environment_marked(char *const *envp, char *mark)
{
	size_t n = 0;
	char **out;

	while (envp[n])
		n++;
	out = calloc(n + 2, sizeof(*out));
	if (!out)
		return NULL;
	out[0] = mark;
	memcpy(out + 1, envp, n * sizeof(*out));
	return out;
}

/* How descendants are held together: a control group, else the mark. */
static int holder_make(struct orch_process *p, const struct orch_process_spec *spec)
{
	static atomic_uint counter;
	int r = -ENOTSUP;

	p->cgroup = spec->cgroup;
	p->cgroup_borrowed = spec->cgroup;
	if (spec->cgroup)
		return 0;
	if (spec->cgroup_name)
		r = orch_cgroup_new(spec->cgroup_name, NULL, &p->cgroup, NULL);
	if (r == -ENOMEM)
		return r;
	if (r < 0 && !spec->detach)
		snprintf(p->mark, sizeof(p->mark), MARK_NAME "=%d.%" PRIx64 ".%u", (int)getpid(),
		    orch_clock_ns(), atomic_fetch_add(&counter, 1));
	return 0;
}

static int report_failure(
    const struct launch *l, const struct launch_failure *f, struct orch_err *err)
{
	switch (f->step) {
	case STEP_CWD:
		return orch_err_sys(
		    err, f->code, "cannot run %s in the folder %s", l->argv[0], l->cwd);
	case STEP_EXEC:
		return orch_err_sys(err, f->code, "cannot run %s", l->argv[0]);
	case STEP_SETUP:
		break;
	}
	return orch_err_sys(err, f->code, "cannot prepare the process of %s", l->argv[0]);
}

/* Each process is sent it once; how many were found, or -errno. */
static int tree_signal(const struct orch_process *p, int signal)
{
	int found;

	if (p->reaped)
		return 0;
	if (p->cgroup)
		found = orch_cgroup_kill(p->cgroup, signal);
	else
		found = orch_proctree_signal(p->pid, p->mark[0] ? p->mark : NULL, signal);
	/* No /proc, no memory: the group at least. */
	if (found < 0 && kill(-p->pid, signal) == 0)
		found = 1;
	return found;
}

/* SIGKILL until nobody is left who could fork. The group by one call of the kernel: a list of processes is not of
 * one instant, and lacks who is forked while it is made. */
static void tree_kill(const struct orch_process *p)
{
	int rounds = p->cgroup ? 1 : KILL_ROUNDS;

	if (!p->cgroup && !p->reaped)
		kill(-p->pid, SIGKILL);
	for (int i = 0; i < rounds && tree_signal(p, SIGKILL) > 0; i++) {
		struct timespec ts = {.tv_nsec = 1000000};

		if (!p->cgroup && orch_proctree_signal(p->pid, p->mark[0] ? p->mark : NULL, 0) <= 0)
			break;
		nanosleep(&ts, NULL);
	}
}

/* It may well execute already, and have children; or be in no group of its own yet. */
static void kill_unwatched(struct orch_process *p, pid_t pid)
{
	p->pid = pid;
	tree_kill(p);
	kill(pid, SIGKILL);
}

/* Starts the child and waits until it executes or says why it can't. */
static int launch_and_confirm(
    struct orch_process *p, struct launch *l, struct plumbing *b, struct orch_err *err)
{
	struct launch_failure failure;
	pid_t pid = launch_start(l);
	int r;

	if (pid < 0)
		return orch_err_sys(err, -pid, "cannot make a process for %s", l->argv[0]);
	orch_fd_close(b->report[1]);
	b->report[1] = -1;
	r = orch_fd_read_all(b->report[0], &failure, sizeof(failure));
	if (r == -ENODATA) {
		p->pid = pid;
		p->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
		if (p->pidfd >= 0)
			return 0;
		r = orch_err_sys(err, errno, "cannot watch the process of %s", l->argv[0]);
		kill_unwatched(p, pid);
	} else if (r < 0) {
		r = orch_err_sys(err, -r, "cannot run %s", l->argv[0]);
		kill_unwatched(p, pid);
	} else {
		r = report_failure(l, &failure, err);
	}
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
	return r;
}

static void process_close(struct orch_process *p)
{
	if (!p->cgroup_borrowed)
		orch_cgroup_free(p->cgroup);
	orch_fd_close(p->pidfd);
	orch_fd_close(p->out_fd[0]);
	orch_fd_close(p->out_fd[1]);
	free(p);
}

static int process_launch(struct orch_process *p, const struct orch_process_spec *spec,
    const char *path, struct orch_err *err)
{
	char *const *envp = spec->envp ? (char *const *)(uintptr_t)spec->envp : environ;
	orch_auto(free) char **marked = NULL;
	struct plumbing b = {.null_fd = -1, .write_end = {-1, -1}, .report = {-1, -1}};
	struct launch l = {
	    .path = path,
	    .argv = (char *const *)(uintptr_t)spec->argv,
	    .cwd = spec->cwd,
	    .keep_fds = spec->keep_fds,
	    .keep_fd_count = spec->keep_fd_count,
	    .new_session = spec->new_session,
	    .die_with_parent = spec->die_with_parent,
	    .parent = getpid(),
	};
	int r = holder_make(p, spec);

	if (r == 0 && p->cgroup)
		l.join_count = orch_cgroup_join_fds(p->cgroup, l.join);
	if (r == 0 && p->mark[0]) {
		marked = environment_marked(envp, p->mark);
		r = marked ? 0 : -ENOMEM;
	}
	l.envp = marked ? marked : envp;
	if (r == 0)
		r = plumbing_make(p, spec, &b, &l);
	if (r < 0)
		orch_err_sys(err, -r, "cannot run %s", l.argv[0]);
	else
		r = launch_and_confirm(p, &l, &b, err);
	plumbing_close(&b);
	return r;
}

int orch_process_start(
    const struct orch_process_spec *spec, struct orch_process **out, struct orch_err *err)
{
	orch_auto(free) char *path = NULL;
	struct orch_process *p;
	int r;

	ORCH_BUG_ON(!spec->argv || !spec->argv[0]);
	r = find_program(spec->argv[0], &path);
	if (r < 0)
		return orch_err_sys(err, -r, "cannot run %s", spec->argv[0]);
	p = calloc(1, sizeof(*p));
	if (!p)
		return orch_err_sys(err, ENOMEM, "cannot run %s", spec->argv[0]);
	p->pidfd = p->out_fd[0] = p->out_fd[1] = -1;
	p->on_output = spec->on_output;
	p->priv = spec->priv;
	p->detach = spec->detach;
	r = process_launch(p, spec, path, err);
	if (r < 0) {
		process_close(p);
		return r;
	}
	*out = p;
	return 0;
}

pid_t orch_process_pid(const struct orch_process *p)
{
	return p->pid;
}

int orch_process_pidfd(const struct orch_process *p)
{
	return p->pidfd;
}

struct orch_cgroup *orch_process_cgroup(const struct orch_process *p)
{
	return p->cgroup;
}

/* As waitpid would give it. */
static int raw_status(const siginfo_t *si)
{
	switch (si->si_code) {
	case CLD_EXITED:
		return (si->si_status & 0xff) << 8;
	case CLD_DUMPED:
		return (si->si_status & 0x7f) | 0x80;
	default:
		return si->si_status & 0x7f;
	}
}

/* Looks whether the first process has ended; leaves it to be reaped. */
static int check_end(struct orch_process *p)
{
	siginfo_t si = {.si_pid = 0};

	if (p->ended)
		return 0;
	if (waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED | WNOHANG | WNOWAIT) < 0)
		return -errno;
	if (si.si_pid == 0)
		return 0;
	p->status = raw_status(&si);
	p->ended = true;
	p->linger_ns = orch_deadline_in_ms(LINGER_MS);
	return 0;
}

/* One read of one stream. */
static void pump_stream(struct orch_process *p, int i)
{
	ssize_t n = read(p->out_fd[i], p->block, sizeof(p->block));
	int r = 0;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		if (n < 0 && p->stopped == 0)
			p->stopped = -errno; /* what is missing is no end of the output */
		orch_fd_close(p->out_fd[i]);
		p->out_fd[i] = -1;
		return;
	}
	if (p->on_output && p->stopped == 0)
		r = p->on_output(p->priv, i + 1, p->block, (size_t)n);
	if (r < 0)
		p->stopped = r;
}

static bool pipes_open(const struct orch_process *p)
{
	return p->out_fd[0] >= 0 || p->out_fd[1] >= 0;
}

/* The first process has ended and somebody still holds its pipes: first they are killed, and when
 * that is no help either (or they may live on), the pipes are given up. */
static void end_linger(struct orch_process *p)
{
	if (p->lingered || p->detach) {
		for (int i = 0; i < 2; i++) {
			orch_fd_close(p->out_fd[i]);
			p->out_fd[i] = -1;
		}
		return;
	}
	tree_kill(p);
	p->lingered = true;
	p->linger_ns = orch_deadline_in_ms(KILLED_MS);
}

/* One round of waiting: moves output, notes the end. >0: go on; 0: all is over; or -errno. */
static int wait_round(struct orch_process *p, uint64_t deadline_ns, int cancel_fd)
{
	uint64_t until = p->ended ? p->linger_ns : deadline_ns;
	struct pollfd fds[4] = {
	    {.fd = p->out_fd[0], .events = POLLIN},
	    {.fd = p->out_fd[1], .events = POLLIN},
	    {.fd = p->ended ? -1 : p->pidfd, .events = POLLIN},
	    {.fd = p->ended ? -1 : cancel_fd, .events = POLLIN},
	};

	if (p->ended && !pipes_open(p))
		return 0;
	if (poll(fds, 4, orch_deadline_poll_ms(until)) < 0)
		return errno == EINTR ? 1 : -errno;
	for (int i = 0; i < 2; i++)
		if (fds[i].revents)
			pump_stream(p, i);
	if (fds[2].revents) {
		int r = check_end(p);

		return r < 0 ? r : 1;
	}
	if (fds[3].revents)
		return -ECANCELED;
	if (orch_deadline_poll_ms(until) != 0)
		return 1;
	if (!p->ended)
		return -ETIMEDOUT;
	end_linger(p);
	return 1;
}

int orch_process_wait(struct orch_process *p, uint64_t deadline_ns, int cancel_fd, int *out_status,
    struct orch_err *err)
{
	int r;

	do {
		r = wait_round(p, deadline_ns, cancel_fd);
		if (p->stopped < 0) {
			orch_process_end(p, STOP_GRACE_MS, NULL);
			return orch_err_set(err, -p->stopped,
			    "process %d was stopped: its output could not be taken", (int)p->pid);
		}
	} while (r > 0);
	if (r == -ETIMEDOUT)
		return orch_err_set(err, ETIMEDOUT, "process %d did not end in time", (int)p->pid);
	if (r == -ECANCELED)
		return orch_err_set(
		    err, ECANCELED, "waiting for process %d was cancelled", (int)p->pid);
	if (r < 0)
		return orch_err_sys(err, -r, "cannot wait for process %d", (int)p->pid);
	if (out_status)
		*out_status = p->status;
	return 0;
}

int orch_process_kill(struct orch_process *p, int signal)
{
	int r;

	if (signal == SIGKILL) {
		tree_kill(p);
		return 0;
	}
	r = tree_signal(p, signal);
	return r < 0 ? r : 0;
}

/* Goes on delivering output (or dropping it) until the end or the deadline. */
static int wait_until(struct orch_process *p, uint64_t deadline_ns)
{
	int r;

	do
		r = wait_round(p, deadline_ns, -1);
	while (r > 0);
	return r;
}

static void process_reap(struct orch_process *p)
{
	siginfo_t si;

	if (p->ended && !p->reaped)
		while (waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED) < 0 && errno == EINTR)
			;
	p->reaped = p->ended;
}

int orch_process_end(struct orch_process *p, uint64_t grace_ms, int *out_status)
{
	int r = check_end(p);

	if (!p->ended) {
		tree_signal(p, SIGTERM);
		tree_signal(p, SIGCONT); /* a stopped process takes no SIGTERM */
		r = wait_until(p, orch_deadline_in_ms(grace_ms));
		if (r == -ETIMEDOUT) {
			tree_kill(p);
			r = wait_until(p, orch_deadline_in_ms(KILLED_MS));
		}
	} else if (pipes_open(p)) {
		r = wait_until(p, ORCH_FOREVER);
	}
	if (!p->ended)
		return r < 0 ? r : -ETIMEDOUT;
	if (!p->detach)
		tree_kill(p);
	process_reap(p);
	if (out_status)
		*out_status = p->status;
	return 0;
}

void orch_process_free(struct orch_process *p)
{
	if (!p)
		return;
	check_end(p);
	p->on_output = NULL;
	if (!p->detach) {
		tree_kill(p);
		if (!p->ended)
			wait_until(p, orch_deadline_in_ms(KILLED_MS));
	}
	process_reap(p);
	if (p->detach && !p->cgroup_borrowed) {
		/* the control group is the child's: it outlives us */
		orch_cgroup_leave(p->cgroup);
		p->cgroup = NULL;
	}
	process_close(p);
}

/* What orch_process_run collects. */
struct capture {
	struct orch_buf *out; /* NULL: dropped */
	char tail[2 * STDERR_KEEP];
	size_t tail_len;
};

static int capture_output(void *priv, int stream, const void *p, size_t n)
{
	struct capture *c = priv;
	const char *bytes = p;

	if (stream == 1)
		return c->out ? orch_buf_add(c->out, p, n) : 0;
	if (n > STDERR_KEEP) {
		bytes += n - STDERR_KEEP;
		n = STDERR_KEEP;
	}
	if (c->tail_len + n > sizeof(c->tail)) {
		memmove(c->tail, c->tail + c->tail_len - STDERR_KEEP, STDERR_KEEP);
		c->tail_len = STDERR_KEEP;
	}
	memcpy(c->tail + c->tail_len, bytes, n);
	c->tail_len += n;
	return 0;
}

/* The end of standard error on one line, as much as a message holds. */
static const char *capture_tail(struct capture *c)
{
	const size_t room = 600;
	char *p = c->tail;

	while (c->tail_len > 0 && c->tail[c->tail_len - 1] == '\n')
		c->tail_len--;
	if (c->tail_len == sizeof(c->tail))
		c->tail_len--;
	c->tail[c->tail_len] = '\0';
	if (c->tail_len > room)
		p += c->tail_len - room;
	for (char *nl = strchr(p, '\n'); nl; nl = strchr(nl, '\n'))
		*nl = ' ';
	return p;
}

static int run_result(const char *name, int status, struct capture *c, struct orch_err *err)
{
	const char *tail = capture_tail(c);
	const char *colon = *tail ? ": " : "";

	if (WIFSIGNALED(status))
		return orch_err_set(err, ECHILD, "%s was killed by signal %d (%s)%s%s", name,
		    WTERMSIG(status), strsignal(WTERMSIG(status)), colon, tail);
	if (WEXITSTATUS(status) != 0)
		return orch_err_set(
		    err, ECHILD, "%s ended with %d%s%s", name, WEXITSTATUS(status), colon, tail);
	return 0;
}

int orch_process_run(const char *const *argv, struct orch_buf *out_stdout, uint64_t deadline_ns,
    struct orch_err *err)
{
	struct capture c = {.out = out_stdout};
	struct orch_process_spec spec = {
	    .argv = argv,
	    .stdin_fd = -1,
	    .stdout_fd = -1,
	    .stderr_fd = -1,
	    .on_output = capture_output,
	    .priv = &c,
	};
	struct orch_process *p = NULL;
	int status = 0;
	int r = orch_process_start(&spec, &p, err);

	if (r < 0)
		return r;
	r = orch_process_wait(p, deadline_ns, -1, &status, err);
	if (r == 0)
		r = run_result(argv[0], status, &c, err);
	else
		orch_err_wrap(err, "%s", argv[0]);
	orch_process_free(p);
	return r;
}
