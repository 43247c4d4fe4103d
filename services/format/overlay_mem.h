/*
 * The memory of an overlay: items of many sizes named by 32-bit handles (slab), and a hash table of
 * such handles (index). Room-internal; knows nothing of nodes and names.
 */
#ifndef ORCH_FORMAT_OVERLAY_MEM_H
#define ORCH_FORMAT_OVERLAY_MEM_H

#include <stddef.h>
#include <stdint.h>
#include "core/compiler.h"

/* ---- slab: a handle is 6 bits of size class (8 bytes a step) and 26 bits of number; 0 is none ---- */

#define SLAB_STEP      8
#define SLAB_CLASSES   64
#define SLAB_ITEM_MAX  ((SLAB_CLASSES - 1) * SLAB_STEP)
#define SLAB_CHUNK     128u /* items of a chunk; the first 128 lie in chunks of 8, 8, 16, 32, 64 */
#define SLAB_SMALL     5u   /* how many of these smaller ones */
#define SLAB_NUMBER    26
#define SLAB_COUNT_MAX (UINT32_C(1) << SLAB_NUMBER)
/* Readable bytes behind the last item of a chunk, so that a struct may be copied whole from an item
 * that holds only its first part. */
#define SLAB_SLACK 96

struct slab_class {
	uint8_t **chunks; /* never move: pointers to items last as long as the items */
	uint32_t chunk_count, chunk_cap;
	uint32_t used; /* numbers handed out so far */
	uint32_t free; /* handle of the first free item; its first 4 bytes name the next */
};

struct slab {
	struct slab_class c[SLAB_CLASSES];
	size_t bytes;
};

/* 0: no memory, or more than SLAB_COUNT_MAX items of that size. bytes: 8..SLAB_ITEM_MAX. */
uint32_t slab_alloc(struct slab *s, size_t bytes);
void slab_free(struct slab *s, uint32_t handle); /* 0 is taken */
void slab_fini(struct slab *s);

static inline size_t slab_class_of(size_t bytes)
{
	return (bytes + SLAB_STEP - 1) / SLAB_STEP;
}

static inline size_t slab_size(uint32_t handle)
{
	return (size_t)(handle >> SLAB_NUMBER) * SLAB_STEP;
}

/* The item of a handle that slab_alloc gave. */
static inline void *slab_at(const struct slab *s, uint32_t handle)
{
	uint32_t n = handle & (SLAB_COUNT_MAX - 1), chunk, at;

	if (__builtin_expect(n >= SLAB_CHUNK, 1)) {
		chunk = SLAB_SMALL - 1 + n / SLAB_CHUNK;
		at = n % SLAB_CHUNK;
	} else {
		chunk = n < 8 ? 0 : 29 - (uint32_t)__builtin_clz(n);
		at = n < 8 ? n : n - (4u << chunk);
	}
	return s->c[handle >> SLAB_NUMBER].chunks[chunk] + (size_t)at * slab_size(handle);
}

/* ---- index: open addressing, linear probing, no tombstones ---- */

struct index_slot {
	uint32_t hash;
	uint32_t handle; /* 0: free */
};

struct index {
	struct index_slot *slots;
	size_t mask; /* slots - 1; 0 while there are none */
	size_t count;
};

/* Makes room for one more; -ENOMEM. */
int index_reserve(struct index *x) ORCH_WUR;
void index_put(struct index *x, uint32_t hash, uint32_t handle); /* after index_reserve */
void index_remove(struct index *x, size_t slot);
void index_fini(struct index *x);

/* Visits the handles with that hash: *slot begins as index_first(x, hash); 0 at the end. After a
 * hit, *slot - 1 (wrapped by mask) is its place: see index_place. */
static inline size_t index_first(const struct index *x, uint32_t hash)
{
	return hash & x->mask;
}

static inline uint32_t index_next(const struct index *x, uint32_t hash, size_t *slot)
{
	if (x->slots == NULL)
		return 0;
	for (;;) {
		const struct index_slot *s = &x->slots[*slot];

		*slot = (*slot + 1) & x->mask;
		if (s->handle == 0)
			return 0;
		if (s->hash == hash)
			return s->handle;
	}
}

static inline size_t index_place(const struct index *x, size_t slot)
{
	return (slot - 1) & x->mask;
}

#endif
