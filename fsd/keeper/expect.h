/* "expect" of a request: what a ref must be for a change to happen. Pure. */
#ifndef FSD_KEEPER_EXPECT_H
#define FSD_KEEPER_EXPECT_H

#include "cache/ref.h"

/* NULL: anything; "": the ref must not exist; 64 hex digits: that snapshot. */
int fsd_expect_parse(const char *s, struct cas_expect *out, struct orch_err *err)
    ORCH_NONNULL(2) ORCH_WUR;
/* ORCH_ECONFLICT when it does not hold now: spares work that would be in vain. ref NULL: 0. */
int fsd_expect_check(struct cas_store *s, const char *ref, const struct cas_expect *expect,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

#endif
