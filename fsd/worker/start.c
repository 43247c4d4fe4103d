/* Signals, descriptors, ids; see start.h. */
#include "fsd/worker/start.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/fd.h"

/* The one writable global: a signal handler has no other place. */
static atomic_bool cancelled;

/* Read by all threads as what it is: a flag that goes up once (core/fd.h asks for no more). */
__attribute__((no_sanitize("thread"))) static void on_cancel(int sig)
{
	cancelled = true;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static void show(void)
{
	prctl(PR_SET_DUMPABLE, 1);
}
#endif

/* Nobody with the same uid may read our memory or trace us. */
static void hide(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	(void)atexit(show); /* before they look at the process by ptrace */
#endif
	prctl(PR_SET_DUMPABLE, 0);
}

atomic_bool *worker_start_signals(void)
{
	struct sigaction cancel = {.sa_handler = on_cancel, .sa_flags = SA_RESTART};
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	sigset_t none;

	sigemptyset(&cancel.sa_mask);
	sigemptyset(&ignore.sa_mask);
	sigemptyset(&none);
	sigaction(SIGTERM, &cancel, NULL);
	sigaction(SIGINT, &cancel, NULL);
	sigaction(SIGPIPE, &ignore, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	umask(0077);
	hide();
	return &cancelled;
}

int worker_start_read(struct orch_buf *out, struct orch_err *err)
{
	int r;

	orch_buf_init(out, WORKER_TASK_MAX);
	r = orch_fd_slurp(STDIN_FILENO, out);
	if (r == -EOVERFLOW)
		return orch_err_set(err, EINVAL, "the task is larger than 1 MiB");
	if (r < 0)
		return orch_err_sys(err, -r, "read the task");
	if (!out->len)
		return orch_err_set(
		    err, EINVAL, "no task on standard input: orch-worker is started by orch-fsd");
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void close_between(int first, int last)
{
	if (first <= last && close_range((unsigned)first, (unsigned)last, 0) < 0)
		for (int fd = first; fd <= last && fd < 1024; fd++)
			close(fd);
}

int worker_start_fds(const struct worker_request *q, struct orch_err *err)
{
	int fds[WORKER_FDS], first = 3;
	struct stat st;

	for (size_t i = 0; i < WORKER_FDS; i++) {
		int fd = fds[i] = q->fds[i];

		if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) ||
				   fcntl(fd, F_SETFD, FD_CLOEXEC) < 0))
			return orch_err_set(err, EINVAL, "task: descriptor %d is no folder", fd);
	}
	qsort(fds, WORKER_FDS, sizeof(int), by_number);
	for (size_t i = 0; i < WORKER_FDS; i++) {
		if (fds[i] < first)
			continue;
		close_between(first, fds[i] - 1);
		first = fds[i] + 1;
	}
	close_between(first, INT32_MAX);
	return 0;
}

static bool has_ids(const struct worker_ids *u)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	return getresuid(&ru, &eu, &su) == 0 && getresgid(&rg, &eg, &sg) == 0 && ru == u->uid &&
	       eu == u->uid && su == u->uid && rg == u->gid && eg == u->gid && sg == u->gid;
}

static int take_ids(const struct worker_ids *u, struct orch_err *err)
{
	/* Root of a user namespace for which groups can't be set has what it needs already. */
	bool stays = has_ids(u) && u->uid == 0;

	if ((setgroups(u->group_count, u->groups) < 0 && !(stays && errno == EPERM)) ||
	    setresgid(u->gid, u->gid, u->gid) < 0 || setresuid(u->uid, u->uid, u->uid) < 0)
		return orch_err_sys(
		    err, errno, "take on the ids %u:%u", (unsigned)u->uid, (unsigned)u->gid);
	if (!has_ids(u) || (u->uid != 0 && setuid(0) == 0))
		return orch_err_set(err, EPERM, "the ids could not be dropped");
	return 0;
}

/* As many open files as this process may have. */
static void raise_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = l.rlim_max;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

int worker_start_place(const struct worker_request *q, struct orch_err *err)
{
	const unsigned long quiet = MS_BIND | MS_REMOUNT | MS_NOSUID | MS_NODEV;
	const char *place = q->git.place;
	orch_auto(fd) int tree = -1;

	if (!place)
		return 0;
	/* of the namespace that the descriptor is from, so before that is left */
	tree = open_tree(
	    q->fds[WORKER_FD_QUARANTINE], "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	if (tree < 0)
		return orch_err_sys(err, errno, "mount of the quarantine");
	if (unshare(CLONE_NEWNS) < 0)
		return orch_err_sys(err, errno, "mount namespace");
	/* nothing of ours gets out; what is unmounted outside goes here, too */
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0 ||
	    move_mount(tree, "", AT_FDCWD, place, MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
	    mount(NULL, place, NULL, quiet, NULL) < 0)
		return orch_err_sys(err, errno, "mount of the quarantine on %s", place);
	return 0;
}

int worker_start_ids(const struct worker_request *q, pid_t parent, struct orch_err *err)
{
	int r = 0;

	raise_limit();
	if (q->user.set && !(has_ids(&q->user) && geteuid() != 0))
		r = take_ids(&q->user, err);
	if (r < 0)
		return r;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* A change of ids resets both. */
	hide();
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return orch_err_set(err, ORCH_ECANCELLED, "the keeper has gone");
	return 0;
}
