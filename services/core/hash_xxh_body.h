/* The text of hash_xxh_base.c and hash_xxh_avx2.c: each defines HASH_XXH_OPS, then includes this. */
#ifndef ORCH_CORE_HASH_XXH_BODY_H
#define ORCH_CORE_HASH_XXH_BODY_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/hash.h"
#include "core/hash_xxh.h"

#ifndef HASH_XXH_OPS
#define HASH_XXH_OPS orch_hash_xxh_base
#endif

_Static_assert(sizeof(XXH3_state_t) <= HASH_XXH_STATE_BYTES, "room for the state");
_Static_assert(_Alignof(XXH3_state_t) <= HASH_XXH_ALIGN, "alignment of the state");

static uint64_t body_hash64(const void *p, size_t n, uint64_t seed)
{
	return XXH3_64bits_withSeed(p, n, seed);
}

static void body_reset(struct hash_xxh_state *s, uint64_t seed)
{
	XXH3_state_t *state = (XXH3_state_t *)(void *)s;

	/* 0.8.1 compares the seed with the one that the state held before: give it a defined one. */
	XXH3_INITSTATE(state);
	XXH3_128bits_reset_withSeed(state, seed);
}

static void body_add(struct hash_xxh_state *s, const void *p, size_t n)
{
	XXH3_128bits_update((XXH3_state_t *)(void *)s, p, n);
}

static void body_end(const struct hash_xxh_state *s, struct orch_fingerprint *out)
{
	XXH128_hash_t h = XXH3_128bits_digest((const XXH3_state_t *)(const void *)s);

	*out = (struct orch_fingerprint){.lo = h.low64, .hi = h.high64};
}

const struct hash_xxh_ops HASH_XXH_OPS = {
    .hash64 = body_hash64,
    .reset = body_reset,
    .add = body_add,
    .end = body_end,
};

#endif
