/*
 * What orch-init is told: its command line, an environment, requests of who started it; and what the
 * kernel tells it of a process. Pure but for memory. For orch-init and its tests; nothing but libc.
 */
#ifndef ORCH_SHIM_INIT_PARSE_H
#define ORCH_SHIM_INIT_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include "core/compiler.h"

#define SHIM_INIT_OWN_MAX    8
#define SHIM_INIT_FREEZE_MAX 16

struct shim_init_options {
	int control;			    /* -1: none */
	int env;			    /* -1: the environment as it is */
	long uid, gid;			    /* -1: as it is; never only one of them */
	const char *own[SHIM_INIT_OWN_MAX]; /* folders that become the user's */
	size_t own_count;
	const char *freeze[SHIM_INIT_FREEZE_MAX]; /* mounts that become read-only */
	size_t freeze_count;
	const char *cwd;
	bool drop_capabilities;
	bool tty;
	char **command; /* not empty */
};

/* argv: as main has it; *out borrows from it. -EINVAL: *out_why is a constant text. */
int shim_init_options_parse(char **argv, struct shim_init_options *out, const char **out_why)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* The strings in text, each ended by a NUL; text[len] is one, too. A list that ends with NULL and
 * borrows from text; free() it. NULL: no memory. */
char **shim_init_environment_parse(char *text, size_t len) ORCH_NONNULL(1) ORCH_WUR;

struct shim_init_stat {
	char state;
	pid_t parent, group;
};

/* The line of /proc/<pid>/stat. False: it is none. */
bool shim_init_stat_parse(const char *text, struct shim_init_stat *out) ORCH_NONNULL(1, 2) ORCH_WUR;

/* The name of a folder in /proc as a process; 0: it is something else. */
pid_t shim_init_pid_parse(const char *name) ORCH_NONNULL(1) ORCH_WUR;

/* A message of who started us: the signal for all processes; 0: nothing that we know. */
int shim_init_request_parse(const void *message, size_t len) ORCH_NONNULL(1) ORCH_WUR;

#endif
