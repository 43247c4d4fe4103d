/*
 * The layers of one workspace, bottom first, and the state that their logs make up.
 *
 * The state is a stack of overlays ("strata"): the lowest holds all layers that were sealed when the
 * workspace was mounted, the top one holds the layer that is written; a seal pushes an empty one, so
 * that it costs the same whatever was changed. When there are many, sealed ones are merged (strata.h).
 * A name or node is what the uppermost stratum says that records it, else what the base says.
 *
 * Threads: none of its own; every call is made with the name space's lock held, but loading.
 */
#ifndef ORCH_FSD_MOUNT_CHAIN_H
#define ORCH_FSD_MOUNT_CHAIN_H

#include <sys/types.h>
#include "format/overlay.h"
#include "fsd/mount/log.h"

#define MNT_LAYERS_MAX 4096 /* far more than a keeper lets come together (newtop.h) */
#define MNT_STRATA_MAX 1000

struct mnt_layer {
	uint64_t id;
	int dirfd, spool_fd;
};

struct mnt_chain {
	int layers_fd; /* borrowed */
	struct mnt_layer *layers;
	size_t layer_count; /* the last one is written */
	struct fmt_overlay **strata;
	size_t *strata_end; /* the layers below that index are in this stratum and those below it */
	size_t strata_count;
	struct mnt_layer *retired; /* no longer in the chain; somebody may still use a descriptor */
	size_t retired_count;
	size_t spool_users; /* descriptors that mnt_chain_spool_take lent */
	struct fmt_layer_head
	    head;	     /* of the top layer; counters and seq as of the last transaction */
	struct mnt_log *log; /* NULL: read-only */
};

/* Reads the logs of `layer` and its parents. Follows a sealed layer to its successor, so that a
 * workspace whose keeper died between a seal and its own record goes on where it was. */
int mnt_chain_load(int layers_fd, uint64_t layer, bool read_only, struct mnt_chain *out,
    struct orch_err *err) ORCH_NONNULL(4) ORCH_WUR;
void mnt_chain_fini(struct mnt_chain *c) ORCH_NONNULL(1);

struct fmt_overlay *mnt_chain_top(const struct mnt_chain *c) ORCH_NONNULL(1);
uint64_t mnt_chain_top_layer(const struct mnt_chain *c) ORCH_NONNULL(1);
/* Descriptor of layers/<id>/spool; -ENOENT: that layer is not in the chain. Good until the lock is
 * given up. */
int mnt_chain_spool(const struct mnt_chain *c, uint64_t layer) ORCH_NONNULL(1);
/* The same for use without the lock: it stays open, also when the layer leaves the chain, until
 * _give, which follows whatever was returned. */
int mnt_chain_spool_take(struct mnt_chain *c, uint64_t layer) ORCH_NONNULL(1) ORCH_WUR;
void mnt_chain_spool_give(struct mnt_chain *c) ORCH_NONNULL(1);
/* Index of a layer; -ENOENT. */
ssize_t mnt_chain_index(const struct mnt_chain *c, uint64_t layer) ORCH_NONNULL(1);

/* What the uppermost stratum says; NULL: ask the base. Borrowed until the next change. */
const struct fmt_node *mnt_chain_node(const struct mnt_chain *c, uint64_t ino) ORCH_NONNULL(1);
const struct fmt_link *mnt_chain_link(
    const struct mnt_chain *c, uint64_t parent, const char *name, size_t len) ORCH_NONNULL(1, 3);
/* The same, of the strata below `under` only. */
const struct fmt_link *mnt_chain_link_below(const struct mnt_chain *c, size_t under,
    uint64_t parent, const char *name, size_t len) ORCH_NONNULL(1, 4);

/* A new top layer, made but not yet in the chain. */
struct mnt_chain_next {
	struct mnt_layer layer;
	struct fmt_layer_head head;
	size_t room;
	struct mnt_log *log;
	struct fmt_overlay *stratum;
};
/* Makes layers/<id>/, spool/ and a log above the layer that *head describes, durable: there whole, or
 * not at all. The log has `room` bytes for its first records. Needs no lock: what was counted since is in
 * the layers below. */
int mnt_chain_prepare(int layers_fd, const struct fmt_layer_head *head, uint64_t layer, size_t room,
    struct mnt_chain_next *out, struct orch_err *err) ORCH_NONNULL(2, 5) ORCH_WUR;
/* Memory for one more stratum; for a push. */
int mnt_chain_room(struct mnt_chain *c) ORCH_NONNULL(1) ORCH_WUR;
int mnt_chain_reserve(struct mnt_chain *c) ORCH_NONNULL(1) ORCH_WUR;
/* It is the top now; nothing can fail. The log of the layer below is the caller's: close it. */
struct mnt_log *mnt_chain_push(struct mnt_chain *c, struct mnt_chain_next *next)
    ORCH_NONNULL(1, 2) ORCH_WUR;
/* It is not used: removes what was made. */
void mnt_chain_abandon(int layers_fd, struct mnt_chain_next *next) ORCH_NONNULL(2);
/* `top` (taken over) says now what the strata from index `keep` on said, so the layers that are in
 * none of those below leave the chain, but for the top one, whose head is *head now. What those below
 * said counts no more when head->parent is 0: then they go too. */
void mnt_chain_cut(struct mnt_chain *c, size_t keep, struct fmt_overlay *top,
    const struct fmt_layer_head *head) ORCH_NONNULL(1, 3, 4);

void mnt_layer_close(struct mnt_layer *l) ORCH_NONNULL(1);

#endif
