/*
 * From a repository's URL and a revision to a mirror that holds the commit, complete. What an import
 * of a commit calls first.
 */
#ifndef FSD_KEEPER_GIT_FETCH_H
#define FSD_KEEPER_GIT_FETCH_H

#include <stdbool.h>
#include <stdint.h>
#include "core/hash.h"
#include "request.h"
#include "sync/gitrev.h"

struct fsd_git_spec {
	const char *url, *rev;	     /* as the client gave them */
	const char *auth_mode;	     /* "url", "header"; NULL: "url" */
	const struct orch_json *env; /* variables of the client; NULL: none */
	uint64_t stall_s;	     /* 0: the default */
	uint64_t step_commits;	     /* how deep a step of a first fetch goes; 0: the default */
};

struct fsd_git_fetched {
	int mirror_fd; /* its folder (cache/mirror.h; the repository is repo.git in it): the caller's to close */
	char commit[SYNC_GITREV_HEX + 1];
	struct orch_digest key;
	char *url;    /* canonical, without secrets; the caller's to free */
	bool fetched; /* the network was asked */
	unsigned steps;
	uint64_t packs, pack_bytes, refs_changed; /* that are new */
};

/* The members of a body: url, rev, auth_mode, env, stall_s, step_commits. Borrowed from it. */
int fsd_git_spec_get(struct fsd_request *r, struct fsd_git_spec *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/*
 * A full id that the mirror has costs no network, nor does an abbreviation that is one commit there.
 * Everything else fetches every branch and tag, and the ref that was asked for. Waits for others who
 * fetch the same repository. Progress goes to r->events. Codes: docs/git.md. On failure *out needs
 * nothing.
 */
int fsd_git_fetch(struct fsd_request *r, const struct fsd_git_spec *spec,
    struct fsd_git_fetched *out, struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
