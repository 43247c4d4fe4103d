/* How much there is in a store. Objects and snapshots are counted as they are published, so no
 * folder of objects is walked. */
#ifndef ORCH_CACHE_STAT_H
#define ORCH_CACHE_STAT_H

#include "cache/store.h"

struct cas_stat {
	uint64_t objects, object_bytes;
	uint64_t packs, pack_bytes;
	uint64_t snapshots, refs, workspaces;
	uint64_t layers, layer_bytes; /* bytes: allocated by logs and spools */
	uint64_t disk_free, disk_total;
	uint64_t reserve, reserve_whole; /* reserve.h; whole 0: there can be none */
};
int cas_stat(struct cas_store *s, struct cas_stat *out, struct orch_err *err)
    ORCH_NONNULL(1, 2) ORCH_WUR;

#endif
