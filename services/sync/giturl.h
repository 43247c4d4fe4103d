/*
 * Where a Git repository is: the text that somebody gave, taken apart and checked before git sees it.
 * Pure. Secrets (a password in the URL) are kept apart: `url`, which goes to git's arguments, and
 * `canonical`, by which the mirror is named, hold none.
 */
#ifndef ORCH_SYNC_GITURL_H
#define ORCH_SYNC_GITURL_H

#include <stdbool.h>
#include "core/err.h"
#include "core/hash.h"

#define SYNC_GITURL_MAX 2048 /* bytes */

enum sync_giturl_scheme {
	SYNC_GITURL_FILE,
	SYNC_GITURL_GIT,
	SYNC_GITURL_HTTP,
	SYNC_GITURL_HTTPS,
	SYNC_GITURL_SSH
};

struct sync_giturl {
	enum sync_giturl_scheme scheme;
	char *url;	 /* for git: without a password (http: without any user). A path for FILE */
	char *canonical; /* the same repository has the same; FILE: see sync_giturl_place */
	char *origin;	 /* "https://host[:port]", lower case; NULL for FILE */
	char *user;	 /* NULL: none */
	char *password;	 /* NULL: none; decoded */
};

/*
 * https://, http://, ssh://, git://, file:///, user@host:path, /path. What is refused (-EINVAL, with
 * the reason): other transports (ext::, fd::, ...), a leading '-', control bytes, a relative path, an
 * empty host or path, a password for ssh. On failure *out needs no _fini.
 */
int sync_giturl_parse(const char *text, struct sync_giturl *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
void sync_giturl_fini(struct sync_giturl *u) ORCH_NONNULL(1);

/* FILE only: the real path in place of the one that was given, for url and canonical. */
int sync_giturl_place(struct sync_giturl *u, const char *real_path, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* The mirror's name: SHA-256 of canonical. */
void sync_giturl_key(const struct sync_giturl *u, struct orch_digest *out) ORCH_NONNULL(1, 2);

/* For messages: `text` with the user info of every URL in it, and every occurrence of secret (NULL:
 * none), replaced by "***", and control bytes by blanks. malloc'd; NULL: no memory. */
char *sync_giturl_scrub(const char *text, const char *secret) ORCH_NONNULL(1) ORCH_WUR;

#endif
