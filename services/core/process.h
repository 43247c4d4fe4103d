/*
 * The process runner: argv, never a shell string; own process group, and own cgroup where one can
 * be made; pidfd; output delivered as it comes with bounded memory; deadline; kill of the whole
 * tree (cgroup, or group + session + descendants + a mark in the environment that those carry who
 * have left these). One thread drives one process; PR_SET_PDEATHSIG is that thread's end.
 */
#ifndef ORCH_CORE_PROCESS_H
#define ORCH_CORE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/err.h"
#include "core/buf.h"
#include "core/strv.h"

struct orch_cgroup;

struct orch_process_owner {
	uid_t uid;
	gid_t gid;
};

struct orch_process_spec {
	const char *const *argv;  /* argv[0] is searched in PATH unless it holds '/' */
	const char *const *envp;  /* NULL: this process's environment */
	const char *cwd;	  /* NULL: this one's */
	int stdin_fd;		  /* -1: /dev/null; borrowed */
	int stdout_fd, stderr_fd; /* -1: captured through on_output; borrowed otherwise */
	/* Whom the pipes of captured output belong to, so that a program which has become that user can
	 * open them again by /dev/stdout. NULL: this process's user. */
	const struct orch_process_owner *pipe_owner;
	bool merge_stderr;   /* one pipe for both, order kept; on_output stream is 1 */
	const int *keep_fds; /* inherited by the child under the same numbers */
	size_t keep_fd_count;
	bool new_session;     /* setsid instead of setpgid */
	bool detach;	      /* child outlives us: no subreaper, not killed on _free */
	bool die_with_parent; /* PR_SET_PDEATHSIG SIGKILL */
	const char
	    *cgroup_name; /* NULL: none; else a child cgroup of ours of that name if possible */
	/* NULL: as cgroup_name says; else the child joins this one (of the caller, with its limits),
	 * and all that is in it is the tree that is signalled. */
	struct orch_cgroup *cgroup;
	/* Called in the driving thread with what was read (never NUL-terminated); stream is 1 or 2.
	 * A negative return cancels the process and becomes the result of _wait. */
	int (*on_output)(void *priv, int stream, const void *p, size_t n);
	void *priv;
};

struct orch_process;

/* Starts it. -ENOENT / -EACCES of exec are reported here, not as an exit code. Handlers and the mask
 * of signals are the defaults in the child (an ignored SIGHUP stays ignored). */
int orch_process_start(const struct orch_process_spec *spec, struct orch_process **out,
    struct orch_err *err) ORCH_NONNULL(1, 2) ORCH_WUR;
pid_t orch_process_pid(const struct orch_process *p) ORCH_NONNULL(1);
int orch_process_pidfd(const struct orch_process *p) ORCH_NONNULL(1); /* borrowed */
/* Borrowed; NULL when there is none. */
struct orch_cgroup *orch_process_cgroup(const struct orch_process *p) ORCH_NONNULL(1);

/*
 * Pumps output until the process ended AND its pipes are at EOF (pipes held open by left-behind
 * descendants are given 100 ms after the end, then the tree is killed), the deadline passed, or
 * cancel_fd (eventfd/pipe; -1: none) became readable.
 * 0: ended, *out_status is the raw wait status. -ETIMEDOUT / -ECANCELED: still running, nothing was
 * sent to it; call _kill, then _wait again.
 */
int orch_process_wait(struct orch_process *p, uint64_t deadline_ns, int cancel_fd, int *out_status,
    struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

/* Signals the whole tree. */
int orch_process_kill(struct orch_process *p, int signal) ORCH_NONNULL(1);
/* SIGTERM, up to grace_ms, then SIGKILL of the tree; reaps. Output goes on being delivered. */
int orch_process_end(struct orch_process *p, uint64_t grace_ms, int *out_status) ORCH_NONNULL(1);
/* Kills what is left (unless detached), reaps, frees. */
void orch_process_free(struct orch_process *p);

/* The usual case: run to the end, capture stdout (and stderr's last 4 KiB into err on failure).
 * 0 when it exited with 0; -ECHILD otherwise, err says how it ended. */
int orch_process_run(const char *const *argv, struct orch_buf *out_stdout, uint64_t deadline_ns,
    struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

#endif
