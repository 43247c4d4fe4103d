/*
 * Runs git: an environment of our own making, no shell, no terminal, what it says kept and scrubbed,
 * cancelled and ended when it makes no progress. One thread.
 */
#ifndef ORCH_SYNC_GITRUN_H
#define ORCH_SYNC_GITRUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/buf.h"
#include "core/err.h"
#include "core/strv.h"
#include "sync/gitsay.h"
#include "sync/task.h"

#define SYNC_GITRUN_SAID 16384 /* bytes of standard error that are kept */

struct sync_gitrun {
	struct sync_task *task;
	const struct orch_strv *env; /* whole: nothing is inherited */
	const int *fds;		     /* inherited under their numbers */
	size_t fd_count;
	int stdin_fd;	      /* -1: none */
	uint64_t stall_ms;    /* without a byte of output it is ended then; 0: never */
	struct orch_buf *out; /* its standard output; NULL: dropped */
	bool progress;	      /* told to the task's listener */
	const char *secret;   /* kept out of messages; NULL: none */
	/* set by sync_gitrun */
	const struct sync_gitsay_cause *cause; /* of a failure of git itself; else NULL */
};

/* argv[0] is "git". 0: it ended with 0. On failure err holds what git said and what it means, the
 * code is that of the cause; a caller puts the repository in front. */
int sync_gitrun(struct sync_gitrun *run, const char *const *argv, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* The environment of every git: PATH, C as language, no terminal, no configuration of the system's.
 * git_dir: the repository. */
int sync_gitrun_env(struct orch_strv *env, const char *git_dir) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Adds key=value to the configuration of the command; *n counts (GIT_CONFIG_COUNT is set by it). */
int sync_gitrun_config(struct orch_strv *env, unsigned *n, const char *key, const char *value)
    ORCH_NONNULL(1, 2, 3, 4) ORCH_WUR;
/* A file in memory with these bytes, to be read from its begin. fd or -errno. */
int sync_gitrun_input(const void *p, size_t n) ORCH_WUR;

#endif
