/*
 * A control group of our own, to limit, measure and end a tree of processes: version 2, version 1 or
 * both, wherever this process may make one. Its lack is never an error of what runs: the callers go
 * on without. One thread at a time, but for orch_cgroup_kill.
 */
#ifndef ORCH_CORE_CGROUP_H
#define ORCH_CORE_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"
#include "core/err.h"

struct orch_cgroup;

/* 0 in a field: no such limit. */
struct orch_cgroup_limits {
	uint64_t memory_bytes; /* with its swap, where swap is accounted */
	uint64_t cpu_milli;    /* thousandths of a CPU: 1500 is one and a half */
	uint64_t pids;
	bool measure; /* memory and CPU are to be counted, also where they are not limited */
};

#define ORCH_CGROUP_MEMORY 1u
#define ORCH_CGROUP_CPU	   2u
#define ORCH_CGROUP_PIDS   4u

#define ORCH_CGROUP_JOIN_MAX 8

/*
 * Makes an empty group `name` (one component) below the group of this process, or below the nearest
 * one upwards that hands on the controllers which `limits` (may be NULL: only to hold processes
 * together) ask for. A left-over empty group of that name is replaced.
 * -ENOTSUP: this process can make none; -EEXIST: one with processes in it is there.
 */
int orch_cgroup_new(const char *name, const struct orch_cgroup_limits *limits,
    struct orch_cgroup **out, struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
/* Kills what is in it, removes it. Waits up to 2 s for the processes to be gone. */
void orch_cgroup_free(struct orch_cgroup *g);

/* Forgets the group and leaves it, and what runs in it, as it is. */
void orch_cgroup_leave(struct orch_cgroup *g);

/* The limits that were asked for and could not be set: ORCH_CGROUP_* bits. */
unsigned orch_cgroup_lacks(const struct orch_cgroup *g) ORCH_NONNULL(1);

/* Descriptors of "cgroup.procs": a process that writes "0" to each has joined. Borrowed. */
size_t orch_cgroup_join_fds(const struct orch_cgroup *g, int out[ORCH_CGROUP_JOIN_MAX])
    ORCH_NONNULL(1, 2);

/* Sends the signal to every process in it, also in groups below. SIGKILL leaves none behind, however
 * they fork. Returns how many were found, or -errno. */
int orch_cgroup_kill(const struct orch_cgroup *g, int signal) ORCH_NONNULL(1);
bool orch_cgroup_populated(const struct orch_cgroup *g) ORCH_NONNULL(1);

/* The folders that it consists of, to be written down by who may be killed. Borrowed. */
size_t orch_cgroup_paths(const struct orch_cgroup *g, const char *out[ORCH_CGROUP_JOIN_MAX])
    ORCH_NONNULL(1, 2);
/* One folder of a group whose maker is gone: kills what is in it, removes it. Does nothing with what
 * is no control group or has a name that does not begin with "orch.". */
void orch_cgroup_remove_left(const char *path) ORCH_NONNULL(1);

struct orch_cgroup_usage {
	uint64_t cpu_ns;	    /* 0: not measured here */
	uint64_t memory_peak_bytes; /* 0: not measured here */
	uint64_t oom_kills;
};
void orch_cgroup_measure(const struct orch_cgroup *g, struct orch_cgroup_usage *out)
    ORCH_NONNULL(1, 2);

/* What limits could be set for new groups, as ORCH_CGROUP_* bits; -ENOTSUP when no group can be
 * made. Makes and removes one to find out. */
int orch_cgroup_probe(void);

#endif
