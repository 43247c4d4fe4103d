/*
 * THE interface to what runs a task: a sandbox or plain process on this host, a container engine, a
 * cluster, a cloud. Everything above speaks to `struct prv` only; a provider sees nothing of what is
 * above it. An in-memory twin for tests is in fake.h; tests/unit/providers/conformance.c is the suite
 * that every provider passes.
 *
 * The life of a task:  submit -> attach (log) ... -> [cancel] -> poll -> fetch -> cleanup
 * A task is named by a handle: text, without blanks, that another process or a later one can use.
 *
 * One thread at a time uses a `struct prv`; different ones are independent. Every call that may wait
 * has a deadline (absolute orch_clock_ns, ORCH_FOREVER for none) or a bound that is told here.
 */
#ifndef ORCH_PROVIDERS_PROVIDER_H
#define ORCH_PROVIDERS_PROVIDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/err.h"
#include "core/strv.h"

/* Where a workspace is inside of every sandbox and container, unless the task says otherwise. */
#define PRV_WORKSPACE_INSIDE "/github/workspace"
#define PRV_RUN_NAME_MAX     60

/* How a task ended: a closed set, result.json and exit codes are made from it. */
enum prv_outcome {
	PRV_SUCCEEDED,	   /* it exited with 0 */
	PRV_FAILED,	   /* exit_code; also a command that could not be executed: 126, 127 */
	PRV_KILLED,	   /* signal */
	PRV_OUT_OF_MEMORY, /* the kernel killed (some of) it for lack of memory, and it failed */
	PRV_TIMED_OUT,	   /* the caller's deadline passed and it was ended */
	PRV_CANCELLED,	   /* the caller ended it */
	PRV_EVICTED,	   /* the backend took its place away: spot, preemption, node drain */
	PRV_LOST,	   /* it ended and nobody can say how */
	PRV_INFRASTRUCTURE_ERROR, /* it never ran, or the backend failed under it; worth a retry */
	PRV_OUTCOMES
};

/* "succeeded", "failed", "killed", "out-of-memory", "timed-out", "cancelled", "evicted", "lost",
 * "infrastructure-error": the values of `state` in result.json. */
const char *prv_outcome_name(enum prv_outcome o);
int prv_outcome_parse(const char *name, enum prv_outcome *out) ORCH_NONNULL(1, 2) ORCH_WUR;

enum prv_state { PRV_PENDING, PRV_RUNNING, PRV_ENDED };

struct prv_result {
	enum prv_state state;
	/* The rest is valid once state is PRV_ENDED. */
	enum prv_outcome outcome;
	int exit_code; /* -1: it did not exit */
	int signal;    /* 0: none */
	bool core_dumped;
	int64_t wall_started_ns, wall_ended_ns;
	uint64_t cpu_ns, memory_peak_bytes; /* 0: not measured */
	uint64_t log_bytes;
	char message[512]; /* for people: why, when the numbers do not say it; "" otherwise */
};

/* Where the log goes: stdout and stderr of the task in their order, as bytes, as they come. A
 * negative return ends the task and is what attach returns. */
struct prv_sink {
	int (*write)(void *priv, const void *p, size_t n);
	void *priv;
};

/* Something of the host besides the workspace, for example a toolchain below /opt. */
struct prv_mount {
	const char *host;   /* absolute; one that does not exist is an error */
	const char *inside; /* absolute */
	bool read_only;
};

struct prv_limits {
	uint64_t memory_bytes; /* 0: none */
	uint64_t cpu_milli;    /* thousandths of a CPU; 0: none */
	uint64_t pids;	       /* 0: none */
};

struct prv_task {
	/* Unique among the tasks of this host and user; prv_run_name_valid. The handle is made of it. */
	const char *run;
	const char *const *argv; /* argv[0] is searched in the PATH of env */
	/* The whole environment, NAME=VALUE (see environment.h for the allow-list); the provider sets
	 * HOME, USER and LOGNAME when they are not in it. May hold secrets: never in an argv, a log or a
	 * file that others read. */
	const char *const *env;
	const char *image; /* of container engines; NULL where there are none */

	const char *workspace; /* absolute host path */
	const char
	    *workspace_inside; /* NULL: PRV_WORKSPACE_INSIDE. `local` runs in `workspace` itself */
	const char *cwd;       /* relative to the workspace; NULL: the workspace */
	const struct prv_mount *mounts;
	size_t mount_count;

	bool network;
	bool interactive; /* descriptors 0, 1, 2 of this process are the task's; there is no log */
	uid_t uid;	  /* who the task is: the owner of the workspace */
	gid_t gid;
	struct prv_limits limits;

	/* Used by prv_run, not by submit. */
	struct prv_sink sink;
	uint64_t deadline_ns; /* ORCH_FOREVER: none */
	int cancel_fd;	      /* readable: cancel; -1: none */
	uint64_t grace_ms;    /* between SIGTERM and SIGKILL */

	/* Called with the handle before anything is created, so that a crash can be cleaned up after; a
	 * negative return ends the submission. NULL: no journal. */
	int (*on_handle)(void *priv, const char *handle);
	/* Called with the folders of the control groups of this host that everything of the task will be
	 * in, when they are there and nothing of it runs yet; not at all where there are none. They are
	 * gone when the task has ended. A negative return ends the submission. NULL: nobody asks. */
	int (*on_groups)(void *priv, const char *const *folders, size_t count);
	void *priv; /* of both */
};

bool prv_run_name_valid(const char *run) ORCH_NONNULL(1);

/* What a provider can do here; probe tells about each. */
enum prv_feature {
	PRV_FEATURE_RUN,	  /* it can run a task at all */
	PRV_FEATURE_ISOLATION,	  /* a task sees and writes its workspace only */
	PRV_FEATURE_NETWORK_OFF,  /* the network can be taken away */
	PRV_FEATURE_LIMIT_MEMORY, /* and out of memory is told from a kill */
	PRV_FEATURE_LIMIT_CPU,
	PRV_FEATURE_LIMIT_PIDS,
	PRV_FEATURE_TREE_KILL, /* nothing that a task started outlives it, whatever it does */
	PRV_FEATURE_REATTACH,  /* another process can attach, poll and cancel */
	PRV_FEATURES
};
const char *prv_feature_name(enum prv_feature f); /* "run", "isolation", "network-off", ... */

struct prv_probe {
	bool have[PRV_FEATURES];
	char reason[PRV_FEATURES][160]; /* why not, and what it costs; "" when have */
};

struct prv;

struct prv_gc {
	int64_t older_than_s; /* only what ended (or was left) longer ago than this */
	bool dry_run;
	/* Told of each thing that is (dry run: would be) removed: its kind and name. May be NULL. */
	void (*on_item)(void *priv, const char *kind, const char *name);
	void *priv;
};

/* A NULL callback is a bug: every provider has all of them. */
struct prv_ops {
	const char *name;
	const char *const *aliases; /* NULL-terminated */

	/* Fills what can be done here and why not. Never changes anything, takes at most 5 s.
	 * 0 even when nothing can be done; negative only when it could not be found out. */
	int (*probe)(struct prv *p, struct prv_probe *out, struct orch_err *err);

	/* Makes what all tasks share (networks, volumes, stacks). May be called again: then it checks.
	 * -ENOPKG and the name of the package when something must be installed. */
	int (*setup)(struct prv *p, struct orch_err *err);

	/* Starts the task: on_handle first, then whatever must be created. Returns as soon as the
	 * backend has it. Everything in *t is borrowed until submit returns. *out_handle is malloc'd,
	 * the caller's. After a failure nothing of the task is left.
	 * -EEXIST: a task of that run is there; -ENOTSUP: the task asks for what can't be done here. */
	int (*submit)(
	    struct prv *p, const struct prv_task *t, char **out_handle, struct orch_err *err);

	/* Delivers the log from byte `offset` on and waits for the end. 0: it has ended and all of its
	 * log was delivered. -ETIMEDOUT, -ECANCELED (cancel_fd, -1: none): it runs on, and attach may be
	 * called again, with offset + what was delivered. -ENOENT: no such task. A sink without `write`
	 * drops the log. */
	int (*attach)(struct prv *p, const char *handle, uint64_t offset,
	    const struct prv_sink *sink, uint64_t deadline_ns, int cancel_fd, struct orch_err *err);

	/* The state now; does not wait. -ENOENT: no such task. */
	int (*poll)(
	    struct prv *p, const char *handle, struct prv_result *out, struct orch_err *err);

	/* SIGTERM to everything in it, up to grace_ms, then SIGKILL; returns when it has ended, at most
	 * 10 s after the grace. Its last words go to the sink (may be NULL) when this process submitted
	 * it. 0 also when it had ended before. */
	int (*cancel)(struct prv *p, const char *handle, uint64_t grace_ms,
	    const struct prv_sink *sink, struct orch_err *err);

	/* Brings what the task left in its workspace to the host path of the workspace, where the two
	 * are not the same folder. */
	int (*fetch)(struct prv *p, const char *handle, struct orch_err *err);

	/* Ends the task if it runs, removes everything made for it but its workspace. 0 also when there
	 * is nothing; afterwards the handle is unknown. */
	int (*cleanup)(struct prv *p, const char *handle, struct orch_err *err);

	/* Removes what processes that are gone have left behind, and nothing that a live one uses. */
	int (*gc)(struct prv *p, const struct prv_gc *how, struct orch_err *err);

	/* Calls fn for each task that is known here, also of other processes, until it returns non-zero;
	 * returns that. */
	int (*list)(struct prv *p,
	    int (*fn)(void *priv, const char *handle, const struct prv_result *r), void *priv,
	    struct orch_err *err);

	/* Cancels what this object submitted and is still running (no grace), frees. */
	void (*close)(struct prv *p);
};

/* The head of every provider's own struct. */
struct prv {
	const struct prv_ops *ops;
};

struct prv_config {
	/* A private folder (0700, made on demand) where tasks of this user are recorded and their logs
	 * kept, so that other processes can attach. NULL: nothing is recorded. */
	const char *state_dir;
};

/* By name or alias. -EINVAL for an unknown one, with the nearest match in err. *out is for prv_close. */
int prv_open(const char *name, const struct prv_config *config, struct prv **out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
void prv_close(struct prv *p);
/* The name behind a name or alias; NULL when unknown. */
const char *prv_resolve(const char *name) ORCH_NONNULL(1);
/* Every provider in turn: NULL at the end. */
const char *prv_name_at(size_t i);

/*
 * The usual case, from submit to cleanup, by t->sink, t->deadline_ns, t->cancel_fd and t->grace_ms.
 * 0: *out says how it ended, also when the provider failed (PRV_INFRASTRUCTURE_ERROR with the reason
 * in message). Negative: the task is wrong (-EINVAL) or the sink failed (its error); nothing runs.
 */
int prv_run(struct prv *p, const struct prv_task *t, struct prv_result *out, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* What wait(2) said, as a result. */
void prv_result_from_wait(int wait_status, struct prv_result *out) ORCH_NONNULL(2);

#endif
