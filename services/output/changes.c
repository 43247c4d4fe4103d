/* The set of paths that a change journal named (collect.h). Not thread-safe while it is filled. */
#include <stdlib.h>
#include <string.h>
#include "core/hash.h"
#include "output/collect.h"

struct change {
	char *path; /* NULL: free */
	size_t len;
	bool whole;
};

struct out_changes {
	struct change *v; /* open addressing, a power of two */
	size_t size, count;
	size_t whole_count;
	uint64_t seed;
};

struct out_changes *out_changes_new(void)
{
	struct out_changes *c = calloc(1, sizeof(*c));

	if (c != NULL) /* paths come from a build: it can't foresee where they go */
		c->seed = (uint64_t)(uintptr_t)c * UINT64_C(0x9e3779b97f4a7c15);
	return c;
}

void out_changes_free(struct out_changes *c)
{
	if (c == NULL)
		return;
	for (size_t i = 0; i < c->size; i++)
		free(c->v[i].path);
	free(c->v);
	free(c);
}

size_t out_changes_count(const struct out_changes *c)
{
	return c->count;
}

static struct change *place(
    const struct out_changes *c, struct change *v, size_t size, const char *path, size_t len)
{
	size_t i = (size_t)orch_xxh64(path, len, c->seed);

	for (;; i++) {
		struct change *s = &v[i & (size - 1)];

		if (s->path == NULL || (s->len == len && memcmp(s->path, path, len) == 0))
			return s;
	}
}

static int grow(struct out_changes *c)
{
	size_t size = c->size == 0 ? 64 : c->size * 2;
	struct change *v;

	if (c->count * 4 < c->size * 3)
		return 0;
	v = calloc(size, sizeof(*v));
	if (v == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < c->size; i++) {
		if (c->v[i].path != NULL)
			*place(c, v, size, c->v[i].path, c->v[i].len) = c->v[i];
	}
	free(c->v);
	c->v = v;
	c->size = size;
	return 0;
}

int out_changes_add(struct out_changes *c, const char *path, size_t len, bool whole)
{
	struct change *s;

	if (grow(c) < 0)
		return -ENOMEM;
	s = place(c, c->v, c->size, path, len);
	if (s->path == NULL) {
		s->path = malloc(len + 1);
		if (s->path == NULL)
			return -ENOMEM;
		memcpy(s->path, path, len);
		s->path[len] = '\0';
		s->len = len;
		c->count++;
	}
	c->whole_count += whole && !s->whole;
	s->whole |= whole;
	return 0;
}

bool out_changes_has(const struct out_changes *c, const char *path, size_t len)
{
	if (c->size == 0)
		return false;
	if (place(c, c->v, c->size, path, len)->path != NULL)
		return true;
	for (size_t n = len; c->whole_count > 0 && n-- > 0;) {
		const struct change *s;

		if (path[n] != '/')
			continue;
		s = place(c, c->v, c->size, path, n);
		if (s->path != NULL && s->whole)
			return true;
	}
	return false;
}
