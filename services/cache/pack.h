/*
 * The packs of the store: numbering, adopting one, merging many small ones into one. What an old
 * pack held stays valid for whoever has it mapped: the merged one is in place before the old ones
 * are unlinked. Thread-safe.
 */
#ifndef ORCH_CACHE_PACK_H
#define ORCH_CACHE_PACK_H

#include <stddef.h>
#include "cache/store.h"

#define CAS_PACKS_MAX 64 /* above it publishing merges */

/* Numbers of the packs, ascending; malloc'd. */
int cas_pack_list(struct cas_store *s, uint64_t **out, size_t *out_count, struct orch_err *err)
    ORCH_NONNULL(1, 2, 3) ORCH_WUR;
/* Merges the smallest packs until at most `keep` are left. A damaged pack is left alone.
 * *out_merged (may be NULL): how many were replaced. */
int cas_pack_merge(struct cas_store *s, size_t keep, size_t *out_merged, struct orch_err *err)
    ORCH_NONNULL(1) ORCH_WUR;

#endif
