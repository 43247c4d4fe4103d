/*
 * A damaged database made anew. What RocksDB can still read of the old one is taken over; snapshots come
 * back from the packs, refs from their copy, and everything else as verify with repair makes it. The
 * new one lies in quarantine/ until it is whole, then the two change places in one step: the old one
 * is kept, and a run that was cut off changed nothing.
 */
#ifndef ORCH_CACHE_REPAIR_H
#define ORCH_CACHE_REPAIR_H

#include "cache/store.h"

struct cas_repair_spec {
	/* One sentence about what came back or is lost. */
	void (*tell)(void *priv, const char *line);
	void *priv;
};

/* Opens the store with its new database, which holds what could be found by this room: the caller adds
 * its own records. Nobody else has the store. -EBUSY, and as cas_store_open. */
int cas_repair_begin(const char *path, const struct cas_repair_spec *spec, struct cas_store **out,
    struct orch_err *err) ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* The new database becomes the store's. Closes s, whatever it returns. */
int cas_repair_end(struct cas_store *s, const struct cas_repair_spec *spec, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
