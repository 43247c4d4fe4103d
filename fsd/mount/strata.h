/*
 * The strata of a chain put together in another way, with the same meaning: two or more become one, so
 * that a look-up does not grow with the number of forks; one becomes two, where a commit needs the
 * border of a layer. Sealed strata never change, so the work is done without the name space's lock,
 * which is only needed to swap. All by the control thread: no other changes the list of strata.
 */
#ifndef ORCH_FSD_MOUNT_STRATA_H
#define ORCH_FSD_MOUNT_STRATA_H

#include "fsd/mount/chain.h"

struct mnt_restrata { /* strata [at, at + count) are to be these */
	size_t at, count;
	struct fmt_overlay *with[2];
	size_t end[2]; /* as mnt_chain.strata_end */
	size_t with_count;
};

/* Adds what `upper` says to `to`, which is below it: the later one wins. What only says again what `to`
 * says keeps its place in the change sequence. */
int mnt_strata_add(struct fmt_overlay *to, const struct fmt_overlay *upper)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* One record of a node, as above. */
int mnt_strata_add_node(struct fmt_overlay *to, const struct fmt_node *n)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* The entries recorded below `parent`, as above. */
int mnt_strata_add_links(struct fmt_overlay *to, const struct fmt_overlay *upper, uint64_t parent)
    ORCH_NONNULL(1, 2) ORCH_WUR;

/* Whether there are so many sealed strata that some should be merged, and which: the uppermost ones, as
 * many as are not much smaller than those above them, so that a record is copied O(log n) times. */
bool mnt_strata_many(const struct mnt_chain *c, struct mnt_restrata *out) ORCH_NONNULL(1, 2);
/* Makes the merged one. */
int mnt_strata_merge(const struct mnt_chain *c, struct mnt_restrata *m) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Makes two of the stratum that holds layer number `layers` - 1 and the one above it, by reading their
 * logs again. count 0: there is a border already. */
int mnt_strata_split(const struct mnt_chain *c, size_t layers, struct mnt_restrata *out,
    struct orch_err *err) ORCH_NONNULL(1, 3) ORCH_WUR;

/* With the lock. -ENOMEM: nothing has changed. */
int mnt_strata_swap(struct mnt_chain *c, struct mnt_restrata *m) ORCH_NONNULL(1, 2) ORCH_WUR;
/* Frees what was not swapped in, or what was swapped out; without the lock. */
void mnt_restrata_fini(struct mnt_restrata *m) ORCH_NONNULL(1);

#endif
