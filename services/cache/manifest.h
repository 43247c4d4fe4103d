/*
 * The list of new objects in a quarantine, written by a worker and read by the keeper, which does
 * not trust it. Pure. The bytes are in docs/format.md.
 */
#ifndef ORCH_CACHE_MANIFEST_H
#define ORCH_CACHE_MANIFEST_H

#include "core/buf.h"
#include "core/hash.h"

struct cas_object { /* an object, as publishing records it */
	struct orch_digest digest;
	struct orch_fingerprint fingerprint; /* XXH3-128 keyed with the store's seed */
	uint64_t size;
};

#define CAS_MANIFEST_OBJECTS_MAX (64u << 20)

/* Sorts objects by digest; two of one digest are a bug. */
int cas_manifest_format(struct cas_object *objects, size_t count, struct orch_buf *out)
    ORCH_NONNULL(3) ORCH_WUR;

struct cas_manifest {
	const uint8_t *p; /* borrowed */
	uint64_t count;
};
/* Checks length, checksum, strictly rising digests, sizes below 2^63. */
int cas_manifest_open(const void *p, size_t len, struct cas_manifest *out, struct orch_err *err)
    ORCH_NONNULL(3) ORCH_WUR;
void cas_manifest_at(const struct cas_manifest *m, uint64_t i, struct cas_object *out)
    ORCH_NONNULL(1, 3);
/* -ENOENT */
int cas_manifest_find(const struct cas_manifest *m, const struct orch_digest *digest,
    struct cas_object *out) ORCH_NONNULL(1, 2, 3) ORCH_WUR;

#endif
