/* Chains of layers as the keeper makes, walks and removes them. */
#ifndef FSD_KEEPER_LAYERS_H
#define FSD_KEEPER_LAYERS_H

#include "cache/store.h"
#include "ws_record.h"

#define FSD_CHAIN_MAX 4096 /* as fsd/mount/chain.h has it */

/* A fresh layer on the snapshot (parent 0) or on a sealed one, for the workspace of the record.
 * next_ino 0: as the snapshot says. */
struct fsd_layer_spec {
	const struct fsd_ws_record *ws; /* name, owner, snapshot */
	uint64_t parent;
	uint64_t next_ino;
	uint64_t seq; /* of its head: larger than every one below */
};
int fsd_layer_make(struct cas_store *s, const struct fsd_layer_spec *spec, uint64_t *out_id,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

struct fsd_chain {
	uint64_t *v; /* from the top one down to the one on the base; malloc'd */
	size_t count;
	struct orch_digest base; /* as the lowest one says */
};
/* free(out->v) after success. */
int fsd_layer_chain(struct cas_store *s, uint64_t top, struct fsd_chain *out, struct orch_err *err)
    ORCH_NONNULL(1, 3) ORCH_WUR;
/* What the layer stands on; 0: the base, or it can't be read. */
uint64_t fsd_layer_parent(struct cas_store *s, uint64_t layer) ORCH_NONNULL(1);
/* Removes top and the layers below it as far as nothing else names them, and what killed mount
 * processes were making. What is kept for another's sake is logged; failures are logged: the
 * next start sweeps. top 0: nothing. */
void fsd_layer_remove_chain(struct cas_store *s, uint64_t top) ORCH_NONNULL(1);
/* The top layer as of now: a keeper may have died after a seal. Updates r->layer and r->snapshot.
 * 1: changed, 0: not, -errno: the layer can't be read. */
int fsd_layer_find_top(struct cas_store *s, struct fsd_ws_record *r, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
