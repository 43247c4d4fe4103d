/* Slab and index, see overlay_mem.h. Not thread-safe. */
#include "format/overlay_mem.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Items of the first `chunks` chunks together. */
static uint32_t class_room(uint32_t chunks)
{
	if (chunks <= SLAB_SMALL)
		return chunks == 0 ? 0 : 4u << chunks;
	return (chunks - SLAB_SMALL + 1) * SLAB_CHUNK;
}

static int class_grow(struct slab *s, struct slab_class *c, size_t item)
{
	uint32_t count = class_room(c->chunk_count + 1) - class_room(c->chunk_count);
	size_t bytes = item * count + SLAB_SLACK;
	uint8_t **v, *chunk;
	uint32_t cap;

	if (c->chunk_count == c->chunk_cap) {
		cap = c->chunk_cap == 0 ? 8 : c->chunk_cap * 2;
		v = reallocarray(c->chunks, cap, sizeof(*v));
		if (v == NULL)
			return -ENOMEM;
		s->bytes += (cap - c->chunk_cap) * sizeof(*v);
		c->chunks = v;
		c->chunk_cap = cap;
	}
	chunk = malloc(bytes);
	if (chunk == NULL)
		return -ENOMEM;
	memset(chunk + item * count, 0, SLAB_SLACK);
	c->chunks[c->chunk_count++] = chunk;
	s->bytes += bytes;
	return 0;
}

uint32_t slab_alloc(struct slab *s, size_t bytes)
{
	size_t class = slab_class_of(bytes);
	struct slab_class *c = &s->c[class];
	uint32_t h = c->free;

	ORCH_BUG_ON(class == 0 || class >= SLAB_CLASSES);
	if (h != 0) {
		memcpy(&c->free, slab_at(s, h), sizeof(c->free));
		return h;
	}
	if (c->used == SLAB_COUNT_MAX)
		return 0;
	if (c->used == class_room(c->chunk_count) && class_grow(s, c, class * SLAB_STEP) < 0)
		return 0;
	return (uint32_t) class << SLAB_NUMBER | c->used++;
}

void slab_free(struct slab *s, uint32_t handle)
{
	struct slab_class *c = &s->c[handle >> SLAB_NUMBER];

	if (handle == 0)
		return;
	memcpy(slab_at(s, handle), &c->free, sizeof(c->free));
	c->free = handle;
}

void slab_fini(struct slab *s)
{
	for (size_t i = 0; i < SLAB_CLASSES; i++) {
		for (uint32_t k = 0; k < s->c[i].chunk_count; k++)
			free(s->c[i].chunks[k]);
		free(s->c[i].chunks);
	}
	memset(s, 0, sizeof(*s));
}

static void index_insert(struct index_slot *slots, size_t mask, struct index_slot v)
{
	size_t i = v.hash & mask;

	while (slots[i].handle != 0)
		i = (i + 1) & mask;
	slots[i] = v;
}

/* Full at 4/5. */
int index_reserve(struct index *x)
{
	size_t size = x->slots == NULL ? 0 : x->mask + 1, grown = size == 0 ? 16 : size * 2;
	struct index_slot *slots;

	if ((x->count + 1) * 5 <= size * 4)
		return 0;
	slots = calloc(grown, sizeof(*slots));
	if (slots == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < size; i++) {
		if (x->slots[i].handle != 0)
			index_insert(slots, grown - 1, x->slots[i]);
	}
	free(x->slots);
	x->slots = slots;
	x->mask = grown - 1;
	return 0;
}

void index_put(struct index *x, uint32_t hash, uint32_t handle)
{
	index_insert(x->slots, x->mask, (struct index_slot){hash, handle});
	x->count++;
}

/* Moves what follows back, so that no chain of probes is broken. */
void index_remove(struct index *x, size_t slot)
{
	size_t hole = slot, i = slot;

	for (;;) {
		size_t home;

		i = (i + 1) & x->mask;
		if (x->slots[i].handle == 0)
			break;
		home = x->slots[i].hash & x->mask;
		if (((i - home) & x->mask) >= ((i - hole) & x->mask)) {
			x->slots[hole] = x->slots[i];
			hole = i;
		}
	}
	x->slots[hole] = (struct index_slot){0};
	x->count--;
}

void index_fini(struct index *x)
{
	free(x->slots);
	memset(x, 0, sizeof(*x));
}
