/*
 * Three-way application: files with several names. Names that were one file in incoming and have
 * been taken become one file here; files of mine that lost a name get their count right, wherever
 * their other names are.
 */
#include "sync/apply_priv.h"

#include <stdlib.h>

static int by_group(const void *pa, const void *pb)
{
	const struct apply_link *a = pa, *b = pb;

	if (a->incoming != b->incoming)
		return a->incoming < b->incoming ? -1 : 1;
	return (a->order > b->order) - (a->order < b->order);
}

/* Whether all names that this number has in mine are in the group. */
static bool is_whole(const struct apply_link *group, size_t count, const struct apply_link *l)
{
	size_t names = 0;

	for (size_t i = 0; i < count; i++)
		names += group[i].old == l->old;
	return names == l->old_nlink;
}

static uint64_t number_for(struct apply *a, const struct apply_link *group, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (group[i].old && is_whole(group, count, &group[i]))
			return group[i].old;
	return a->edit.next_ino++;
}

static void settle_group(struct apply *a, const struct apply_link *group, size_t count)
{
	uint64_t ino = number_for(a, group, count);

	for (size_t i = 0; i < count; i++) {
		struct fmt_stamp *s = &group[i].folder->nodes[group[i].index].s;

		s->ino = ino;
		s->nlink = (uint32_t)count;
		s->mtime_ns = group[0].folder->nodes[group[0].index].s.mtime_ns;
	}
}

static int count_name(void *priv, struct sync_node *n)
{
	struct apply *a = priv;

	++*sync_inomap_get(&a->touched, 0, n->s.ino);
	return 0;
}

static int set_count(void *priv, struct sync_node *n)
{
	struct apply *a = priv;
	uint32_t count = (uint32_t)*sync_inomap_get(&a->touched, 0, n->s.ino);

	if (n->s.nlink == count)
		return 0;
	n->s.nlink = count;
	return 1;
}

int apply_links(struct apply *a)
{
	size_t end;
	int r;

	if (a->link_count)
		qsort(a->links, a->link_count, sizeof(*a->links), by_group);
	for (size_t i = 0; i < a->link_count; i = end) {
		for (end = i + 1; end < a->link_count; end++)
			if (a->links[end].incoming != a->links[i].incoming)
				break;
		settle_group(a, a->links + i, end - i);
	}
	r = sync_edit_links(&a->edit, &a->touched, true, count_name, a, a->err);
	if (r == 0)
		r = sync_edit_links(&a->edit, &a->touched, false, set_count, a, a->err);
	return r;
}
