/* Strata merged and split. See strata.h. */
#include <string.h>
#include "view/layer_log.h"
#include "fsd/mount/strata.h"

#define SEALED_MAX 16 /* sealed strata before any are merged */
#define RATIO	   2  /* one that is this many times larger than all above it is left alone */

/* ---- adding one to another */

static bool same_xattrs(const struct fmt_node *a, const struct fmt_node *b)
{
	return a->xattrs.len == b->xattrs.len &&
	       (a->xattrs.len == 0 || memcmp(a->xattrs.p, b->xattrs.p, a->xattrs.len) == 0);
}

static bool same_place(const struct fmt_node *a, const struct fmt_node *b)
{
	if (a->content != b->content)
		return false;
	if (a->content == FMT_CONTENT_SPOOL)
		return a->spool_layer == b->spool_layer && a->spool_id == b->spool_id;
	return a->content != FMT_CONTENT_OBJECT || orch_digest_eq(&a->digest, &b->digest);
}

/* Recorded again, for the sake of something below it, and not changed. A folder's times say that its
 * entries changed, which is told of these. */
static bool same_node(const struct fmt_node *a, const struct fmt_node *b)
{
	return a->type == b->type && a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->written_seq == b->written_seq && same_xattrs(a, b) &&
	       (a->type == FMT_DIR || (a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns &&
					  a->nlink == b->nlink && same_place(a, b)));
}

int mnt_strata_add_node(struct fmt_overlay *to, const struct fmt_node *n)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_NODE, .node = *n};
	const struct fmt_node *old = fmt_overlay_node(to, n->ino);

	if (old && same_node(old, n))
		rec.node.seq = old->seq;
	return fmt_overlay_apply(to, &rec, rec.node.seq);
}

int mnt_strata_add_links(struct fmt_overlay *to, const struct fmt_overlay *upper, uint64_t parent)
{
	const struct fmt_link *l;
	uint64_t cookie = 0;
	int r = 0;

	while (r == 0 && (l = fmt_overlay_links(upper, parent, &cookie))) {
		struct fmt_layer_record rec = {.kind = FMT_LAYER_LINK, .link = *l};
		const struct fmt_link *old = fmt_overlay_link(to, parent, l->name, l->name_len);

		if (old && old->ino == l->ino)
			rec.link.seq = old->seq;
		r = fmt_overlay_apply(to, &rec, rec.link.seq);
	}
	return r;
}

static int add_counters(struct fmt_overlay *to, const struct fmt_overlay *upper)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_COUNTERS,
	    .counters = {fmt_overlay_next_ino(upper), fmt_overlay_next_spool(upper)}};

	return fmt_overlay_apply(to, &rec, fmt_overlay_seq(upper));
}

int mnt_strata_add(struct fmt_overlay *to, const struct fmt_overlay *upper)
{
	const struct fmt_node *n;
	uint64_t cookie = 0;
	int r = add_counters(to, upper);

	while (r == 0 && (n = fmt_overlay_nodes(upper, &cookie))) {
		r = mnt_strata_add_node(to, n);
		if (r == 0 && n->type == FMT_DIR)
			r = mnt_strata_add_links(to, upper, n->ino);
	}
	return r;
}

/* ---- merging */

bool mnt_strata_many(const struct mnt_chain *c, struct mnt_restrata *out)
{
	size_t sealed = c->strata_count - 1, first = sealed, above = 0;

	if (sealed <= SEALED_MAX)
		return false;
	/* at least half of what is allowed goes, so that this is not needed again at once */
	while (first > 0) {
		size_t n = fmt_overlay_node_count(c->strata[first - 1]);

		if (sealed - first > SEALED_MAX / 2 && n > above * RATIO)
			break;
		above += n;
		first--;
	}
	*out = (struct mnt_restrata){.at = first,
	    .count = sealed - first,
	    .with_count = 1,
	    .end = {c->strata_end[sealed - 1]}};
	return true;
}

int mnt_strata_merge(const struct mnt_chain *c, struct mnt_restrata *m)
{
	int r = 0;

	m->with[0] = fmt_overlay_new();
	if (!m->with[0])
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < m->count; i++)
		r = mnt_strata_add(m->with[0], c->strata[m->at + i]);
	return r;
}

/* ---- splitting */

static int replay(const struct mnt_chain *c, size_t from, size_t end, struct fmt_overlay **out,
    struct orch_err *err)
{
	int r = 0;

	*out = fmt_overlay_new();
	if (!*out)
		return orch_err_set(err, ENOMEM, "no memory");
	for (size_t i = from; r == 0 && i < end; i++) {
		struct view_log ignored;

		r = view_log_replay(c->layers[i].dirfd, *out, &ignored, err);
		if (r < 0)
			orch_err_wrap(err, "layer %llu", (unsigned long long)c->layers[i].id);
	}
	return r;
}

int mnt_strata_split(
    const struct mnt_chain *c, size_t layers, struct mnt_restrata *out, struct orch_err *err)
{
	size_t k = 0, from;
	int r;

	while (c->strata_end[k] < layers)
		k++;
	*out = (struct mnt_restrata){.at = k};
	if (c->strata_end[k] == layers)
		return 0;
	from = k > 0 ? c->strata_end[k - 1] : 0;
	out->count = 1;
	out->with_count = 2;
	out->end[0] = layers;
	out->end[1] = c->strata_end[k];
	r = replay(c, from, layers, &out->with[0], err);
	return r < 0 ? r : replay(c, layers, c->strata_end[k], &out->with[1], err);
}

/* ---- swapping */

int mnt_strata_swap(struct mnt_chain *c, struct mnt_restrata *m)
{
	size_t behind = m->at + m->count, tail = c->strata_count - behind;
	struct fmt_overlay *first = c->strata[m->at];
	int r = m->with_count > m->count ? mnt_chain_room(c) : 0;

	if (r < 0)
		return r;
	/* a merge takes many out: the others are freed here, under the lock, which is memory only */
	for (size_t i = m->at + 1; i < behind; i++)
		fmt_overlay_free(c->strata[i]);
	memmove(c->strata + m->at + m->with_count, c->strata + behind, tail * sizeof(*c->strata));
	memmove(c->strata_end + m->at + m->with_count, c->strata_end + behind,
	    tail * sizeof(*c->strata_end));
	for (size_t i = 0; i < m->with_count; i++) {
		c->strata[m->at + i] = m->with[i];
		c->strata_end[m->at + i] = m->end[i];
	}
	c->strata_count = m->at + m->with_count + tail;
	*m = (struct mnt_restrata){.with = {first}};
	return 0;
}

void mnt_restrata_fini(struct mnt_restrata *m)
{
	for (size_t i = 0; i < ORCH_ARRAY_LEN(m->with); i++)
		fmt_overlay_free(m->with[i]);
	*m = (struct mnt_restrata){0};
}
