/*
 * Running one command in a workspace by a provider: a build's command, workspace exec and shell. This
 * is where the command line meets providers/provider.h, and the only place.
 */
#ifndef ORCH_SHIM_TASK_H
#define ORCH_SHIM_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/err.h"
#include "output/result.h"

struct shim_task {
	const char *provider;  /* "sandbox", "local" */
	const char *run;       /* its name, unique */
	const char *state_dir; /* where tasks are recorded, for whoever comes after a crash */
	uint32_t uid, gid;     /* who it is: the workspace's owner */
	const char *tree;      /* where the workspace is mounted */
	const char *inside;    /* where the command sees it */
	const char *folder;    /* below it: where the command begins; "." */
	const char *const *argv;
	const char *const *env;
	bool network;
	bool
	    terminal; /* our standard input, output and error are its own; on_output is not called */
	uint64_t timeout_ms; /* 0: none */
	int cancel_fd;	     /* -1: none */
	/* What it writes, both streams in order. A negative return ends it. */
	int (*on_output)(void *priv, const void *p, size_t n);
	/* The name for shim_task_undo, before anything of the task is made. A negative return ends it. */
	int (*on_name)(void *priv, const char *name);
	/* The folders of its control groups, before anything of it runs; not called where there are
	 * none. A negative return ends it. */
	int (*on_groups)(void *priv, const char *const *folders, size_t count);
	void *priv;
};

struct shim_task_end {
	enum out_state state;
	int exit_code, signal; /* -1 and 0 when it did not end by itself */
	char reason[256];      /* "": succeeded */
	bool started;	       /* the command itself ran */
	struct out_resources resources;
};

/* 0: the command was run, or could not be: *end says. -errno: the task is wrong. Nothing of the task is
 * left in either case. */
int shim_task_run(const struct shim_task *task, struct shim_task_end *end, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Ends what a killed run left, by the name that is in its journal; what is gone already is fine. */
int shim_task_undo(const char *name, const char *state_dir, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Removes what processes that are gone have left of tasks, of every provider that works here; `tell`
 * hears of each thing. */
void shim_task_gc(const char *state_dir, bool dry_run,
    void (*tell)(void *priv, const char *kind, const char *name), void *priv) ORCH_NONNULL(1, 3);

#endif
