/* The table of nodes. See node.h. */
#include <stdlib.h>
#include <string.h>
#include "fsd/mount/listing.h"
#include "fsd/mount/node.h"

#define BUCKETS_FIRST 1024
#define BUCKETS_MAX   ((size_t)1 << 24)

static size_t bucket_of(const struct mnt_nodes *t, uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9E3779B97F4A7C15)) >> 20) & (t->buckets - 1);
}

/* On failure t is empty: who ends it all the same, as a half-made name space does, frees nothing twice. */
int mnt_nodes_init(struct mnt_nodes *t)
{
	*t = (struct mnt_nodes){.buckets = BUCKETS_FIRST, .next_id = MNT_ROOT_ID};
	t->by_id = calloc(t->buckets, sizeof(*t->by_id));
	t->by_ino = calloc(t->buckets, sizeof(*t->by_ino));
	if (!t->by_id || !t->by_ino) {
		free(t->by_id);
		free(t->by_ino);
		*t = (struct mnt_nodes){0}; /* _fini may follow */
		return -ENOMEM;
	}
	return 0;
}

static void node_free(struct mnt_node *n)
{
	while (n->names) {
		struct mnt_name *name = n->names;

		n->names = name->next;
		free(name);
	}
	free(n->own_memory);
	mnt_kept_free(n->kept);
	free(n);
}

void mnt_nodes_fini(struct mnt_nodes *t)
{
	for (size_t i = 0; t->by_id && i < t->buckets; i++) {
		while (t->by_id[i]) {
			struct mnt_node *n = t->by_id[i];

			t->by_id[i] = n->next_id;
			node_free(n);
		}
	}
	free(t->by_id);
	free(t->by_ino);
	*t = (struct mnt_nodes){0};
}

struct mnt_node *mnt_nodes_by_id(const struct mnt_nodes *t, uint64_t id)
{
	struct mnt_node *n = t->by_id[bucket_of(t, id)];

	while (n && n->id != id)
		n = n->next_id;
	return n;
}

struct mnt_node *mnt_nodes_by_ino(const struct mnt_nodes *t, uint64_t ino)
{
	struct mnt_node *n = t->by_ino[bucket_of(t, ino)];

	while (n && n->own.ino != ino)
		n = n->next_ino;
	return n;
}

static void link_id(struct mnt_nodes *t, struct mnt_node *n)
{
	size_t b = bucket_of(t, n->id);

	n->next_id = t->by_id[b];
	t->by_id[b] = n;
}

static void link_ino(struct mnt_nodes *t, struct mnt_node *n)
{
	size_t b = bucket_of(t, n->own.ino);

	n->next_ino = t->by_ino[b];
	t->by_ino[b] = n;
}

/* Twice the buckets; with no memory the chains just get longer. */
static void grow(struct mnt_nodes *t)
{
	struct mnt_nodes old = *t;
	struct mnt_node **by_id = calloc(t->buckets * 2, sizeof(*by_id));
	struct mnt_node **by_ino = calloc(t->buckets * 2, sizeof(*by_ino));

	if (!by_id || !by_ino) {
		free(by_id);
		free(by_ino);
		return;
	}
	t->by_id = by_id;
	t->by_ino = by_ino;
	t->buckets *= 2;
	for (size_t i = 0; i < old.buckets; i++) {
		for (struct mnt_node *n = old.by_id[i], *next; n; n = next) {
			next = n->next_id;
			link_id(t, n);
		}
		for (struct mnt_node *n = old.by_ino[i], *next; n; n = next) {
			next = n->next_ino;
			link_ino(t, n);
		}
	}
	free(old.by_id);
	free(old.by_ino);
}

struct mnt_node *mnt_nodes_add(struct mnt_nodes *t, uint64_t ino)
{
	struct mnt_node *n = calloc(1, sizeof(*n));

	if (!n)
		return NULL;
	if (t->count >= t->buckets && t->buckets < BUCKETS_MAX)
		grow(t);
	n->id = t->next_id++;
	n->own.ino = ino;
	n->dir.subdirs = -1;
	link_id(t, n);
	link_ino(t, n);
	t->count++;
	return n;
}

void mnt_nodes_supersede(struct mnt_nodes *t, struct mnt_node *n)
{
	struct mnt_node **p = &t->by_ino[bucket_of(t, n->own.ino)];

	while (*p && *p != n)
		p = &(*p)->next_ino;
	if (*p)
		*p = n->next_ino;
	n->next_ino = NULL;
	n->superseded = true;
}

void mnt_nodes_remove(struct mnt_nodes *t, struct mnt_node *n)
{
	struct mnt_node **p = &t->by_id[bucket_of(t, n->id)];

	ORCH_BUG_ON(!mnt_node_idle(n));
	while (*p && *p != n)
		p = &(*p)->next_id;
	ORCH_BUG_ON(!*p);
	*p = n->next_id;
	if (!n->superseded)
		mnt_nodes_supersede(t, n);
	t->count--;
	node_free(n);
}

bool mnt_node_idle(const struct mnt_node *n)
{
	return n->lookups == 0 && n->children == 0 && n->pins == 0 && n->opens == 0 &&
	       n->id != MNT_ROOT_ID;
}

struct mnt_node *mnt_nodes_next(const struct mnt_nodes *t, size_t *bucket, struct mnt_node *prev)
{
	struct mnt_node *n = prev ? prev->next_id : t->by_id[*bucket];

	while (!n && ++*bucket < t->buckets)
		n = t->by_id[*bucket];
	return n;
}

static struct mnt_name **name_find(
    struct mnt_node *n, const struct mnt_node *parent, const char *name, size_t len)
{
	struct mnt_name **p = &n->names;

	while (*p &&
	       ((*p)->parent != parent || (*p)->len != len || memcmp((*p)->name, name, len) != 0))
		p = &(*p)->next;
	return p;
}

int mnt_node_name_add(struct mnt_node *n, struct mnt_node *parent, const char *name, size_t len)
{
	struct mnt_name **p = name_find(n, parent, name, len);
	struct mnt_name *new_name;

	if (*p)
		return 0;
	new_name = malloc(sizeof(*new_name) + len + 1);
	if (!new_name)
		return -ENOMEM;
	*new_name = (struct mnt_name){.parent = parent, .len = len};
	memcpy(new_name->name, name, len);
	new_name->name[len] = 0;
	*p = new_name;
	parent->children++;
	return 0;
}

void mnt_node_name_remove(struct mnt_node *n, struct mnt_node *parent, const char *name, size_t len)
{
	struct mnt_name **p = name_find(n, parent, name, len);
	struct mnt_name *old = *p;

	if (!old)
		return;
	*p = old->next;
	parent->children--;
	free(old);
}

struct mnt_node *mnt_node_name_pop(struct mnt_node *n)
{
	struct mnt_name *old = n->names;
	struct mnt_node *parent;

	if (!old)
		return NULL;
	parent = old->parent;
	n->names = old->next;
	parent->children--;
	free(old);
	return parent;
}
