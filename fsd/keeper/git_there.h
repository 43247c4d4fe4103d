/*
 * Whether the commit that is asked for is what the ref points to already: one look into the store, no
 * worker, no network, no mirror.
 */
#ifndef FSD_KEEPER_GIT_THERE_H
#define FSD_KEEPER_GIT_THERE_H

#include "git_fetch.h"

/* 1: *out is the answer of an import that finds nothing to do. 0: that is not known so simply: no full
 * id, no ref, a part of the commit, another lineage, something to record. */
int fsd_git_there(struct fsd_request *r, const struct fsd_git_spec *spec, const char *ref,
    struct orch_json **out, struct orch_err *err) ORCH_NONNULL(1, 2, 4) ORCH_WUR;

#endif
