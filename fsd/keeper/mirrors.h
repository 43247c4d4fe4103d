/*
 * Turns on the mirrors of Git repositories: one fetch of a repository at a time. Who waited while a
 * fetch of the same user was begun and went well after he had come needs none of his own: what he would
 * find is there. Of another user's not: that one's configuration may name another place by that URL.
 */
#ifndef FSD_KEEPER_MIRRORS_H
#define FSD_KEEPER_MIRRORS_H

#include <stdbool.h>
#include <stdint.h>
#include "core/hash.h"
#include "request.h"

struct fsd_mirrors;
struct fsd_mirror_turn; /* one mirror's, while somebody waits for it or has it */

struct fsd_mirrors *fsd_mirrors_new(void) ORCH_WUR; /* NULL: no memory */
void fsd_mirrors_free(struct fsd_mirrors *m);	    /* nobody waits any more */

/* Waits for the turn; -ECANCELED when the client goes. *out_fresh: every branch and tag were fetched by
 * another request of this user, beginning after this call. */
int fsd_mirrors_enter(struct fsd_mirrors *m, struct fsd_request *r, const struct orch_digest *key,
    struct fsd_mirror_turn **out, bool *out_fresh, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3, 4, 5) ORCH_WUR;
/* A fetch of every branch and tag begins; it was good. */
void fsd_mirrors_begin(struct fsd_mirrors *m, struct fsd_mirror_turn *t) ORCH_NONNULL(1, 2);
void fsd_mirrors_done(struct fsd_mirrors *m, struct fsd_mirror_turn *t, uid_t uid)
    ORCH_NONNULL(1, 2);
/* NULL is allowed. */
void fsd_mirrors_leave(struct fsd_mirrors *m, struct fsd_mirror_turn *t) ORCH_NONNULL(1);

#endif
