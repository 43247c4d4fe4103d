/*
 * A command that runs in a workspace is a job of it: the daemon is told its control groups, so that a
 * fork or commit of the workspace can let it stand still for a moment. Nothing depends on it: without,
 * the files that it writes just then are named in the answer.
 */
#ifndef ORCH_SHIM_JOB_H
#define ORCH_SHIM_JOB_H

#include <stddef.h>
#include "shim/cli.h"

struct shim_job {
	struct shim_cli *cli;
	const char *workspace, *name;
	bool known; /* to the daemon */
};

/* on_groups of a task, whose priv is (or leads to) a struct shim_job. Always 0. */
int shim_job_begin(struct shim_job *job, const char *const *folders, size_t count)
    ORCH_NONNULL(1, 2);
/* The command has ended. (The daemon forgets a job itself when this process has gone.) */
void shim_job_end(struct shim_job *job) ORCH_NONNULL(1);

#endif
