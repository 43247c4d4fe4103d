/*
 * Our credential helper (gitcredentials(7)). The user's token is in a file in memory that git and all
 * that it starts inherit; the helper hands it out for the host that it is for, and for no other.
 */
#ifndef ORCH_SYNC_GITCRED_H
#define ORCH_SYNC_GITCRED_H

#include "core/buf.h"
#include "core/err.h"

#define SYNC_GITCRED_FD	  "ORCH_GIT_TOKEN_FD" /* variable: the number of the descriptor */
#define SYNC_GITCRED_WORD "git-credential"    /* argument of the program that is the helper */

/* The file: origin, user, secret, a line each. fd or -errno (-EINVAL: a line break in one). */
int sync_gitcred_file(const char *origin, const char *user, const char *secret)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* What to answer to git's `asked` (lines key=value) by the text of that file. Pure. Empty when another
 * host is asked for. -EINVAL: the file is not one. */
int sync_gitcred_answer(const char *file, const char *asked, struct orch_buf *out)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

/* The helper: argument "get" answers from standard input to standard output; others do nothing.
 * Returns the exit status. */
int sync_gitcred_main(const char *action);

/* "Authorization: Basic ..." */
int sync_gitcred_header(const char *user, const char *secret, struct orch_buf *out)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
