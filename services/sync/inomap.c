/* Open addressing, never more than half full; see inomap.h. */
#include "sync/inomap.h"

#include <stdlib.h>

#define FIRST_CAP 64

void sync_inomap_fini(struct sync_inomap *m)
{
	free(m->slots);
	*m = (struct sync_inomap)SYNC_INOMAP_INIT;
}

static struct sync_inomap_slot *find(
    struct sync_inomap_slot *slots, size_t cap, uint64_t dev, uint64_t ino)
{
	uint64_t h = (ino ^ (dev << 32 | dev >> 32)) * UINT64_C(0x9e3779b97f4a7c15);
	size_t i = (size_t)(h >> 32) & (cap - 1);

	while (slots[i].ino && (slots[i].ino != ino || slots[i].dev != dev))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

static int grow(struct sync_inomap *m)
{
	size_t cap = m->cap ? m->cap * 2 : FIRST_CAP;
	struct sync_inomap_slot *slots = calloc(cap, sizeof(*slots));

	if (!slots)
		return -1;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].ino)
			*find(slots, cap, m->slots[i].dev, m->slots[i].ino) = m->slots[i];
	free(m->slots);
	m->slots = slots;
	m->cap = cap;
	return 0;
}

uint64_t *sync_inomap_put(struct sync_inomap *m, uint64_t dev, uint64_t ino)
{
	struct sync_inomap_slot *s;

	ORCH_BUG_ON(ino == 0);
	if (m->count * 2 >= m->cap && grow(m) < 0)
		return NULL;
	s = find(m->slots, m->cap, dev, ino);
	if (!s->ino) {
		*s = (struct sync_inomap_slot){.dev = dev, .ino = ino};
		m->count++;
	}
	return &s->value;
}

uint64_t *sync_inomap_get(const struct sync_inomap *m, uint64_t dev, uint64_t ino)
{
	struct sync_inomap_slot *s;

	if (!m->count || !ino)
		return NULL;
	s = find(m->slots, m->cap, dev, ino);
	return s->ino ? &s->value : NULL;
}

const struct sync_inomap_slot *sync_inomap_next(const struct sync_inomap *m, size_t *pos)
{
	while (*pos < m->cap)
		if (m->slots[(*pos)++].ino)
			return &m->slots[*pos - 1];
	return NULL;
}
