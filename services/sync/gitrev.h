/*
 * Which commit is meant, and lists of refs. Pure.
 *
 * A list of refs is the text of a packed-refs file: lines "<40 hex digits> <full name>", peeled lines
 * ("^...") and comments are passed over. It may come from whoever fetched it: every name and number
 * is checked.
 */
#ifndef ORCH_SYNC_GITREV_H
#define ORCH_SYNC_GITREV_H

#include <stdbool.h>
#include <stddef.h>
#include "core/buf.h"
#include "core/err.h"

#define SYNC_GITREV_HEX	    40
#define SYNC_GITREV_SHORT   7	    /* the fewest digits of an abbreviated id */
#define SYNC_GITREFS_MAX    2000000 /* refs in a list */
#define SYNC_GITREFS_BYTES  ((size_t)256 << 20)
#define SYNC_GITREF_OWN	    "refs/orch/"	 /* names of the mirror's own */
#define SYNC_GITREF_HEAD    "refs/orch/head"	 /* what HEAD of the repository was */
#define SYNC_GITREF_COMMITS "refs/orch/commits/" /* commits that were asked for, by id */

enum sync_gitrev_kind {
	SYNC_GITREV_ID,	    /* 40 hex digits */
	SYNC_GITREV_ABBREV, /* 7 to 39 hex digits; may be a name, too */
	SYNC_GITREV_HEAD_REF,
	SYNC_GITREV_REF, /* refs/... */
	SYNC_GITREV_NAME /* a branch or a tag */
};

struct sync_gitrev {
	enum sync_gitrev_kind kind;
	char text[1024]; /* ids in lower case; a name without refs/heads/ or refs/tags/ */
};

/* -EINVAL: no name that Git allows, or one below refs/orch/. -EOPNOTSUPP: 64 hex digits, an id of
 * a SHA-256 repository. */
int sync_gitrev_parse(const char *text, struct sync_gitrev *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

struct sync_gitref {
	char id[SYNC_GITREV_HEX + 1];
	const char *name; /* in the list's memory */
};
struct sync_gitrefs {
	char *text;	       /* malloc'd */
	struct sync_gitref *v; /* by name, each once */
	size_t count;
};

/* -EBADMSG: not such a list, a name twice, or more than SYNC_GITREFS_MAX. *out is _fini'd by the
 * caller on success only. */
int sync_gitrefs_parse(const char *text, size_t len, struct sync_gitrefs *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
void sync_gitrefs_fini(struct sync_gitrefs *r) ORCH_NONNULL(1);
/* NULL: it is not there. */
const struct sync_gitref *sync_gitrefs_find(const struct sync_gitrefs *r, const char *name)
    ORCH_NONNULL(1, 2);
/* Whether some ref has that id. */
bool sync_gitrefs_has_id(const struct sync_gitrefs *r, const char *id) ORCH_NONNULL(1, 2);

/* The text of git's file `shallow`: ids, a line each. How many; -EBADMSG: it is none. Pure. */
int sync_gitshallow_parse(const char *text, size_t len, size_t *out_count, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;

/* What a fetch may have changed. */
struct sync_gitrefs_scope {
	bool all;	  /* every branch and tag: those that were not brought are gone */
	const char *name; /* one full name besides; NULL: none */
	const char *id;	  /* a commit to be named under SYNC_GITREF_COMMITS; NULL: none */
};
/*
 * The mirror's list after a fetch: of `brought` only what scope allows is taken (branches, tags, the
 * one name), the mirror's own names and what lies outside of scope stay. *out is a packed-refs file.
 * *out_changed: how many refs are new, moved or gone.
 */
int sync_gitrefs_merge(const struct sync_gitrefs *mirror, const struct sync_gitrefs *brought,
    const struct sync_gitrefs_scope *scope, struct orch_buf *out, size_t *out_changed,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3, 4, 5) ORCH_WUR;

#endif
