/*
 * XXH3 for one width of vectors; private to hash*.c. The library decides the width when it is
 * compiled, so its code is compiled once for what every processor has and once for AVX2 (twice the
 * speed and more, while the data is in the caches), and hash.c takes what this processor can.
 * Results and the layout of the state are the same for all.
 */
#ifndef ORCH_CORE_HASH_XXH_H
#define ORCH_CORE_HASH_XXH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_XXH_STATE_BYTES 640
#define HASH_XXH_ALIGN	     64

struct hash_xxh_state {
	_Alignas(HASH_XXH_ALIGN) uint8_t opaque[HASH_XXH_STATE_BYTES];
};

struct orch_fingerprint;

struct hash_xxh_ops {
	uint64_t (*hash64)(const void *p, size_t n, uint64_t seed);
	void (*reset)(struct hash_xxh_state *s, uint64_t seed);
	void (*add)(struct hash_xxh_state *s, const void *p, size_t n);
	void (*end)(const struct hash_xxh_state *s, struct orch_fingerprint *out);
};

extern const struct hash_xxh_ops orch_hash_xxh_base;
#ifdef __x86_64__
extern const struct hash_xxh_ops orch_hash_xxh_avx2; /* only where the processor has AVX2 */
#endif

#endif
