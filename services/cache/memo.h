/*
 * The memo of a Git repository beside its mirror: git/<key>/memo/<uid>.<n>, tables of format/memo.h. A
 * table stands for having unpacked what it names, so each user has tables of his own and reads no others.
 * Losing one costs reading the repository again. Thread-safe.
 */
#ifndef ORCH_CACHE_MEMO_H
#define ORCH_CACHE_MEMO_H

#include <stdbool.h>
#include <sys/types.h>
#include "cache/store.h"

#define CAS_MEMO_TABLES_MAX 8 /* of one user; above it they become one */

struct cas_memo_place {
	int mirror_fd; /* git/<key>, borrowed */
	uid_t uid;     /* the worker ran as */
};

/* Whether that user has a table of the repository. While he has, nothing that a table may name was found
 * to be lost (cas_memo_forget). */
bool cas_memo_is_there(struct cas_store *s, const struct orch_digest *key, uid_t uid)
    ORCH_NONNULL(1, 2);

/*
 * Removes all tables of all repositories: something that they may name is not in the store any more. A
 * table names folders as wholes, so it can't be asked for what is missing inside.
 */
int cas_memo_forget(struct cas_store *s, struct orch_err *err) ORCH_NONNULL(1) ORCH_WUR;

#endif
