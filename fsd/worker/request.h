/*
 * The task that the keeper gives, parsed and checked (docs/worker.md). Parsing opens nothing: the
 * descriptors are numbers here.
 */
#ifndef ORCH_WORKER_REQUEST_H
#define ORCH_WORKER_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "core/err.h"
#include "core/glob.h"
#include "core/hash.h"
#include "sync/gitfetch.h"

#define WORKER_TASK_MAX	  ((size_t)1 << 20)
#define WORKER_GROUPS_MAX 65536
#define WORKER_LAYERS_MAX 4096
#define WORKER_SOURCE_MAX 4096
#define WORKER_REV_MAX	  1000

enum worker_job {
	WORKER_IMPORT,
	WORKER_EXPORT,
	WORKER_APPLY,
	WORKER_COMMIT,
	WORKER_GIT_IMPORT,
	WORKER_GIT_FIND,
	WORKER_GIT_FETCH,
	WORKER_GIT_ADOPT,
	WORKER_GIT_VERIFY,
	WORKER_JOBS
};
enum worker_fd {
	WORKER_FD_OBJECTS,
	WORKER_FD_PACKS,
	WORKER_FD_QUARANTINE,
	WORKER_FD_SCAN,
	WORKER_FD_LAYERS,
	WORKER_FD_MIRROR,
	WORKER_FDS
};
enum worker_conflict {
	WORKER_CONFLICT_FAIL,
	WORKER_CONFLICT_KEEP,
	WORKER_CONFLICT_REPLACE,
	WORKER_CONFLICT_SOURCE
};

struct worker_ids {
	bool set;
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* malloc'd */
	size_t group_count;
};

/* Members of the jobs about Git; strings are malloc'd, NULL: not given. */
struct worker_git {
	char *url, *rev, *name, *place;
	enum sync_gitfetch_what what;
	enum sync_gitfetch_auth auth;
	struct orch_strv env;
	uint64_t stall_ms, depth;
	bool all, part;
};

struct worker_request {
	enum worker_job job;
	int fds[WORKER_FDS]; /* -1: not given */
	struct worker_ids user, owner;
	uint64_t seed;
	unsigned threads;
	char *dir;
	struct orch_globs *include, *exclude;
	char *sparse;			/* both as text; NULL: neither was given */
	uint64_t entries_max, blob_max; /* 0: the default */
	char *ignore_file;		/* NULL: none */
	char *source;			/* NULL: not given */
	bool has_parent;
	struct orch_digest parent, snapshot, base, incoming, mine;
	uint64_t store_dev, store_ino;
	enum worker_conflict conflict;
	bool has_wall;
	int64_t wall_ns;
	uint64_t *layers; /* malloc'd */
	size_t layer_count;
	struct worker_git git;
};

/* -EINVAL: err says which member is wrong. On failure *out needs no _fini. */
int worker_request_parse(const char *text, size_t len, struct worker_request *out,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;
void worker_request_fini(struct worker_request *q) ORCH_NONNULL(1);

#endif
