/*
 * A new top stratum: one that says what several said, the top one included, and that stands on less
 * below. A commit makes one so that what was sealed since (by forks) lies in the top layer and nothing
 * stands between that and the new base; a workspace with a long chain of layers makes one to have a
 * short chain again.
 *
 * Private files of layers that leave the chain get a second name in the top layer's spool. Those layers
 * are sealed and may be another workspace's too, so nobody writes such a file: as long as it has two
 * names it is copied up first (mnt_file_is_shared).
 *
 * Only the control thread seals, rebases and merges, so the list of strata and the top layer stay what
 * they are between the calls here.
 */
#ifndef ORCH_FSD_MOUNT_NEWTOP_H
#define ORCH_FSD_MOUNT_NEWTOP_H

#include "fsd/mount/ns_priv.h"

struct mnt_newtop_file {
	uint64_t ino, layer, id; /* where it is */
	uint64_t new_id;	 /* in the top layer's spool */
	bool used;		 /* by the new top */
};

struct mnt_newtop {
	struct mnt_ns *ns;
	size_t from;	   /* the strata from here on are put together */
	size_t first, end; /* layers [first, end) leave the chain; the one at `end` is the top */
	/* what else becomes of a node, or NULL */
	void (*convert)(void *arg, struct fmt_node *n);
	void *arg;
	struct fmt_overlay *state; /* the result */
	struct mnt_newtop_file *files;
	size_t count, cap;
	uint64_t *left; /* numbers of the layers that leave */
	size_t sorted;	/* by number; behind these: what was found with the lock held */
	size_t links;	/* recorded entries, at least */
};

/* Puts the sealed strata together and gives their private files second names, durably. Set ns, from,
 * first, end, convert and arg before. Without the lock; takes it. Undo it when it fails. */
int mnt_newtop_prepare(struct mnt_newtop *t) ORCH_NONNULL(1) ORCH_WUR;
/* With the lock held: adds the top stratum, and drops what nothing leads to any more. */
int mnt_newtop_finish(struct mnt_newtop *t) ORCH_NONNULL(1) ORCH_WUR;
/* With the lock held: adds one more node, as finish does. */
int mnt_newtop_add(struct mnt_newtop *t, const struct fmt_node *n) ORCH_NONNULL(1, 2) ORCH_WUR;
/* With the lock held, when t->state is the top stratum: open files have their new place. */
void mnt_newtop_rekey(struct mnt_newtop *t) ORCH_NONNULL(1);
/* Without the lock: removes the names that are not used (all, when there was no success) and frees. */
void mnt_newtop_fini(struct mnt_newtop *t, bool success) ORCH_NONNULL(1);

#endif
