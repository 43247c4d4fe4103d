/*
 * A map from an inode (device and number; device 0 for numbers of a lineage) to 64 bits, for the
 * few files that have several names. Not thread-safe.
 */
#ifndef ORCH_SYNC_INOMAP_H
#define ORCH_SYNC_INOMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

struct sync_inomap {
	struct sync_inomap_slot *slots; /* NULL while empty */
	size_t count, cap;
};
struct sync_inomap_slot {
	uint64_t dev, ino; /* ino 0: free */
	uint64_t value;
};

#define SYNC_INOMAP_INIT                            \
	{                                           \
		.slots = NULL, .count = 0, .cap = 0 \
	}

void sync_inomap_fini(struct sync_inomap *m) ORCH_NONNULL(1);
/* The value's place, added with value 0 when absent; NULL: no memory. Valid until the next _put. */
uint64_t *sync_inomap_put(struct sync_inomap *m, uint64_t dev, uint64_t ino)
    ORCH_NONNULL(1) ORCH_WUR;
/* NULL when absent. */
uint64_t *sync_inomap_get(const struct sync_inomap *m, uint64_t dev, uint64_t ino) ORCH_NONNULL(1);
/* Iterates: *pos starts at 0; NULL at the end. Any order. */
const struct sync_inomap_slot *sync_inomap_next(const struct sync_inomap *m, size_t *pos)
    ORCH_NONNULL(1, 2);

#endif
