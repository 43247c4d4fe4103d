/*
 * orch-init: the first process of a sandbox or container, or the subreaper above a plain process.
 *
 *   orch-init [--control FD] [--env FD] [--freeze MOUNT]... [--uid UID --gid GID] [--own DIR]...
 *             [--drop-capabilities] [--cwd DIR] [--tty] -- COMMAND [ARG...]
 *
 * It runs the command as its child, forwards signals to it, reaps whatever becomes an orphan, ends
 * all others when the command has ended, and reports the raw wait status through --control
 * (providers/init_protocol.h); a shell as process 1 would swallow signals and turn signal 9 into 137.
 * When the other end of --control is closed, whoever started it is gone: it kills everything.
 * Static, nothing but libc, one thread. Its exit code is the command's, or 128 + the signal.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "providers/init_protocol.h"
#include "shim/init_parse.h"

#define USAGE_CODE  125
#define ENV_MAX	    ((size_t)16 << 20)
#define END_WAIT_MS 5000 /* for killed processes to be gone */
#define TTY_LOOK_MS 300	 /* between two looks for stopped processes */
#define CAPS_MAX    64

struct init {
	struct shim_init_options o;
	pid_t child;
	bool ended;
	int status;  /* raw, of the child */
	int signals; /* signalfd */
};

static void report(const struct init *in, enum prv_init_kind kind, int value, int step)
{
	struct prv_init_message m = {
	    .magic = PRV_INIT_MAGIC,
	    .version = PRV_INIT_VERSION,
	    .kind = (uint16_t)kind,
	    .value = value,
	    .step = step,
	};

	if (in->o.control >= 0 && write(in->o.control, &m, sizeof(m)) < 0) {
		/* nobody is left to be told */
	}
}

static void __attribute__((noreturn)) fail_setup(const struct init *in, int step, const char *what)
{
	int code = errno;

	fprintf(stderr, "orch-init: %s: %s\n", what, strerrordesc_np(code));
	report(in, PRV_INIT_SETUP_FAILED, code, step);
	_exit(USAGE_CODE);
}

static void __attribute__((noreturn)) usage(const char *what)
{
	fprintf(stderr,
	    "orch-init: %s\n"
	    "usage: orch-init [--control FD] [--env FD] [--freeze MOUNT]... [--uid UID --gid GID]\n"
	    "                 [--own DIR]... [--drop-capabilities] [--cwd DIR] [--tty] -- COMMAND "
	    "[ARG...]\n",
	    what);
	_exit(USAGE_CODE);
}

/* NAME=VALUE strings, each ended by a NUL, up to the end of the descriptor. */
static char **environment_read(int fd)
{
	char *text = NULL;
	size_t len = 0, cap = 0;
	ssize_t n;

	do {
		if (cap - len < 4096) {
			cap = cap ? cap * 2 : 65536;
			text = cap > ENV_MAX ? NULL : realloc(text, cap);
			if (!text) {
				errno = ENOMEM;
				return NULL;
			}
		}
		n = read(fd, text + len, cap - len - 1);
		if (n < 0 && errno != EINTR)
			return NULL;
		len += n > 0 ? (size_t)n : 0;
	} while (n != 0);
	text[len] = '\0';
	return shim_init_environment_parse(text, len);
}

/* Becomes the owner of the workspace, for good. */
static void become_owner(const struct init *in)
{
	const struct shim_init_options *o = &in->o;

	for (size_t i = 0; i < o->own_count; i++)
		if (chown(o->own[i], (uid_t)o->uid, (gid_t)o->gid) < 0)
			fail_setup(in, PRV_INIT_STEP_OWNER, o->own[i]);
	/* Root of a user namespace for which groups can't be set is the owner already. */
	if ((setgroups(0, NULL) < 0 &&
		!(errno == EPERM && geteuid() == (uid_t)o->uid && getegid() == (gid_t)o->gid)) ||
	    setresgid((gid_t)o->gid, (gid_t)o->gid, (gid_t)o->gid) < 0 ||
	    setresuid((uid_t)o->uid, (uid_t)o->uid, (uid_t)o->uid) < 0)
		fail_setup(in, PRV_INIT_STEP_OWNER, "cannot become the owner of the workspace");
}

/* Bounding set first, it needs CAP_SETPCAP. */
static void drop_bounding(const struct init *in)
{
	for (unsigned long cap = 0; cap < CAPS_MAX; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) <= 0)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
			fail_setup(in, PRV_INIT_STEP_CAPABILITIES, "cannot drop a capability");
	}
}

static void drop_all(const struct init *in)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL) ||
	    syscall(SYS_capset, &head, none) < 0)
		fail_setup(in, PRV_INIT_STEP_CAPABILITIES, "cannot drop the capabilities");
}

/* Who started us gave its own /dev/null, on a mount where root could change the node's mode. */
static void replace_null(void)
{
	struct stat own, given;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd >= 0 && fstat(fd, &own) == 0 && fstat(STDIN_FILENO, &given) == 0 &&
	    S_ISCHR(given.st_mode) && own.st_rdev == given.st_rdev)
		dup2(fd, STDIN_FILENO);
	if (fd >= 0)
		close(fd);
}

static void set_up(struct init *in)
{
	struct shim_init_options *o = &in->o;

	if (o->control >= 0 && fcntl(o->control, F_SETFD, FD_CLOEXEC) < 0)
		fail_setup(in, PRV_INIT_STEP_PROCESS, "cannot use the control descriptor");
	if (o->env >= 0) {
		char **env = environment_read(o->env);

		if (!env)
			fail_setup(in, PRV_INIT_STEP_ENVIRONMENT, "cannot read the environment");
		close(o->env);
		environ = env;
	}
	if (getpid() != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
		fail_setup(in, PRV_INIT_STEP_PROCESS, "cannot become the subreaper");
	for (size_t i = 0; i < o->freeze_count; i++)
		if (mount(NULL, o->freeze[i], NULL,
			MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NOEXEC, NULL) < 0)
			fail_setup(in, PRV_INIT_STEP_PROCESS, o->freeze[i]);
	/* After the mounts are what they stay. */
	replace_null();
	if (o->drop_capabilities)
		drop_bounding(in);
	if (o->uid >= 0)
		become_owner(in);
	if (o->drop_capabilities)
		drop_all(in);
	/* The command has the same user: it must not trace us or look into us. */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

static void set_action(int sig, void (*handler)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = handler;
	sigaction(sig, &sa, NULL);
}

/* The child's half; its errors go through the pipe, which exec closes. */
static void __attribute__((noreturn)) child_run(const struct shim_init_options *o, int report_fd)
{
	struct prv_init_message m = {.step = PRV_INIT_STEP_NONE};
	sigset_t none;

	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	for (int sig = 1; sig < NSIG; sig++)
		if (sig != SIGHUP)
			set_action(sig, SIG_DFL);
	if (o->tty) {
		set_action(SIGTTOU, SIG_IGN);
		setpgid(0, 0);
		tcsetpgrp(STDIN_FILENO, getpgrp());
		set_action(SIGTTOU, SIG_DFL);
	} else {
		setsid();
	}
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	syscall(SYS_close_range, 3, UINT_MAX, 4u /* CLOSE_RANGE_CLOEXEC */);
	if (o->cwd && chdir(o->cwd) < 0)
		m.step = PRV_INIT_STEP_FOLDER;
	else
		execvp(o->command[0], o->command);
	m.value = errno;
	if (write(report_fd, &m, sizeof(m)) < 0) {
		/* the parent then sees exit 127 */
	}
	_exit(m.value == ENOENT ? 127 : 126);
}

/* Starts the command; what exec says is reported. */
static void start(struct init *in)
{
	struct prv_init_message m;
	int ends[2];
	ssize_t n;

	if (pipe2(ends, O_CLOEXEC) < 0)
		fail_setup(in, PRV_INIT_STEP_PROCESS, "cannot make a pipe");
	report(in, PRV_INIT_READY, (int)getpid(), 0);
	in->child = fork();
	if (in->child < 0)
		fail_setup(in, PRV_INIT_STEP_PROCESS, "cannot make a process");
	if (in->child == 0)
		child_run(&in->o, ends[1]);
	close(ends[1]);
	do
		n = read(ends[0], &m, sizeof(m));
	while (n < 0 && errno == EINTR);
	close(ends[0]);
	if (n == (ssize_t)sizeof(m))
		report(in, PRV_INIT_EXEC_FAILED, m.value, m.step);
}

/* False when the process is gone. */
static bool stat_read(pid_t pid, struct shim_init_stat *out)
{
	char path[64], text[512];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = '\0';
	return shim_init_stat_parse(text, out);
}

static pid_t parent_of(pid_t pid)
{
	struct shim_init_stat s;

	return stat_read(pid, &s) ? s.parent : 0;
}

/* Ctrl-Z on a terminal stops the command's group, and nobody above could start it again: it goes on.
 * What a shell has stopped for itself is in another group. */
static void continue_stopped(const struct init *in)
{
	DIR *proc = opendir("/proc");
	struct dirent *d;
	bool stopped = false;

	while (proc && !stopped && (d = readdir(proc))) {
		pid_t pid = shim_init_pid_parse(d->d_name);
		struct shim_init_stat s;

		stopped = pid > 0 && stat_read(pid, &s) && s.group == in->child && s.state == 'T';
	}
	if (proc)
		closedir(proc);
	if (stopped)
		kill(-in->child, SIGCONT);
}

#define TREE_MAX 65536

struct tree {
	pid_t pid[TREE_MAX], parent[TREE_MAX];
	bool ours[TREE_MAX];
	size_t count;
};

static bool is_ours(const struct tree *t, pid_t pid)
{
	for (size_t i = 0; i < t->count; i++)
		if (t->pid[i] == pid)
			return t->ours[i];
	return false;
}

static void tree_read(struct tree *t, DIR *proc)
{
	struct dirent *d;

	t->count = 0;
	while (t->count < TREE_MAX && (d = readdir(proc))) {
		pid_t pid = shim_init_pid_parse(d->d_name);

		if (pid == 0)
			continue;
		t->pid[t->count] = pid;
		t->parent[t->count] = parent_of(pid);
		t->ours[t->count] = t->parent[t->count] == getpid();
		t->count++;
	}
}

/* As subreaper: all descendants, and since orphans come to us, these are all there are. */
static void signal_descendants(int sig)
{
	static struct tree t;
	DIR *proc = opendir("/proc");
	bool again = true;

	if (!proc)
		return;
	tree_read(&t, proc);
	closedir(proc);
	while (again) {
		again = false;
		for (size_t i = 0; i < t.count; i++)
			if (!t.ours[i] && is_ours(&t, t.parent[i]))
				again = t.ours[i] = true;
	}
	for (size_t i = 0; i < t.count; i++)
		if (t.ours[i])
			kill(t.pid[i], sig);
}

static void signal_all(int sig)
{
	if (getpid() == 1)
		kill(-1, sig);
	else
		signal_descendants(sig);
	if (sig == SIGTERM) {
		/* a stopped process takes no SIGTERM */
		if (getpid() == 1)
			kill(-1, SIGCONT);
		else
			signal_descendants(SIGCONT);
	}
}

/* False when there is no child any more. */
static bool reap(struct init *in)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid == 0)
			return true;
		if (pid < 0)
			return errno != ECHILD;
		if (pid == in->child) {
			in->ended = true;
			in->status = status;
		}
	}
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Kills everything until nothing is left, or the time is over (a process that hangs in the kernel). */
static void end_others(struct init *in)
{
	long until = now_ms() + END_WAIT_MS;

	while (reap(in) && now_ms() < until) {
		struct pollfd p = {.fd = in->signals, .events = POLLIN};
		struct signalfd_siginfo si;

		signal_all(SIGKILL);
		if (!reap(in))
			return;
		if (poll(&p, 1, 10) > 0 && read(in->signals, &si, sizeof(si)) < 0)
			continue;
	}
}

static void on_signal(struct init *in)
{
	struct signalfd_siginfo si;

	if (read(in->signals, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	if (si.ssi_signo == SIGCHLD)
		reap(in);
	else if (!in->ended) /* its group: as a terminal would */
		kill(-in->child, (int)si.ssi_signo);
}

/* A request, or the end of who started us. */
static void on_control(struct init *in)
{
	struct prv_init_message m;
	ssize_t n = read(in->o.control, &m, sizeof(m));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(in->o.control);
		in->o.control = -1;
		signal_all(SIGKILL);
	} else if (shim_init_request_parse(&m, (size_t)n) > 0) {
		signal_all(shim_init_request_parse(&m, (size_t)n));
	}
}

static void run(struct init *in)
{
	while (!in->ended) {
		struct pollfd p[2] = {
		    {.fd = in->signals, .events = POLLIN},
		    {.fd = in->o.control, .events = POLLIN},
		};

		if (poll(p, 2, in->o.tty ? TTY_LOOK_MS : -1) < 0)
			continue;
		if (in->o.tty)
			continue_stopped(in);
		if (p[0].revents)
			on_signal(in);
		if (p[1].revents)
			on_control(in);
	}
}

int main(int argc, char **argv)
{
	struct init in = {.ended = false};
	const char *wrong = "";
	sigset_t all;

	(void)argc;
	if (shim_init_options_parse(argv, &in.o, &wrong) < 0)
		usage(wrong);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	set_action(SIGPIPE, SIG_IGN); /* who started us may be gone: no signal of the command's */
	in.signals = signalfd(-1, &all, SFD_CLOEXEC);
	if (in.signals < 0)
		fail_setup(&in, PRV_INIT_STEP_PROCESS, "cannot wait for signals");
	set_up(&in);
	start(&in);
	run(&in);
	end_others(&in);
	report(&in, PRV_INIT_ENDED, in.status, 0);
	return WIFSIGNALED(in.status) ? 128 + WTERMSIG(in.status) : WEXITSTATUS(in.status);
}
