/*
 * Fetching: git, under the asking user's ids, into the repository of a quarantine (cache/mirror.h
 * seeds it). Nothing of the mirror can be written from here; what comes is taken over by gitadopt.h.
 */
#ifndef ORCH_SYNC_GITFETCH_H
#define ORCH_SYNC_GITFETCH_H

#include <stdbool.h>
#include <stdint.h>
#include "core/err.h"
#include "core/strv.h"
#include "sync/giturl.h"
#include "sync/task.h"

#define SYNC_GITFETCH_REFS  "refs" /* in the quarantine: what the repository's refs are now */
#define SYNC_GITFETCH_TRIES 3

enum sync_gitfetch_auth {
	SYNC_GITFETCH_HELPER, /* our credential helper answers for the repository's own host */
	SYNC_GITFETCH_HEADER  /* an Authorization header with each request; redirects are refused */
};

enum sync_gitfetch_what {
	SYNC_GITFETCH_DEFAULT, /* the default branch, `depth` commits further back */
	SYNC_GITFETCH_ALL,     /* every branch and tag, and `name` */
	SYNC_GITFETCH_ID       /* the commit `name`, by its id */
};

struct sync_gitfetch_spec {
	int quarantine_fd;
	const char *place; /* where it can be reached by its path; NULL: it can as it is */
	const struct sync_giturl *url;
	enum sync_gitfetch_what what;
	const char *name; /* a full name (or "HEAD"), or an id; NULL: none */
	const struct orch_strv
	    *env; /* of the user, NAME=VALUE; names were checked. Tokens in it go no
				      * further than to the helper */
	enum sync_gitfetch_auth auth;
	const char *helper; /* the program that is our credential helper: an absolute path */
	uint64_t stall_ms;
	uint64_t
	    depth; /* DEFAULT: so many commits further back than what is there; 0: all of them */
};

struct sync_gitfetched {
	bool empty;	 /* DEFAULT: HEAD names nothing that is there */
	char name[1024]; /* DEFAULT: the full name of the branch */
};

/* Whether a user may give that variable. */
bool sync_gitfetch_env_allowed(const char *name) ORCH_NONNULL(1);

/* Leaves packs in repo.git/objects/pack and the file SYNC_GITFETCH_REFS. Tries again when the
 * connection breaks. -ENOENT: no such ref, no such commit, no such repository; others: gitsay.h. */
int sync_gitfetch(struct sync_task *t, const struct sync_gitfetch_spec *spec,
    struct sync_gitfetched *out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
