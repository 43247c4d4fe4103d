/* Three-way application: changes of mine, one path at a time. */
#include "sync/apply_priv.h"

#include <stdlib.h>
#include <string.h>
#include "core/clock.h"
#include "core/grow.h"
#include "sync/place.h"

static int no_memory(struct apply *a)
{
	return orch_err_sys(a->err, ENOMEM, "apply");
}

static int latest_in(struct apply *a, const struct orch_digest *id, unsigned depth, int64_t *latest)
{
	struct fmt_stamps stamps;
	int r = view_packset_stamps(a->spec->packs, id, &stamps, a->err);

	if (r == 0 && depth > SYNC_DEPTH_MAX)
		r = orch_err_set(a->err, ORCH_ECORRUPT, "folders are too deep");
	for (uint32_t i = 0; r == 0 && i < stamps.count; i++) {
		struct fmt_stamp s;

		r = fmt_stamps_get(&stamps, i, &s, a->err);
		if (r < 0)
			break;
		if (s.mtime_ns > *latest)
			*latest = s.mtime_ns;
		if (!orch_digest_is_null(&s.stamps))
			r = latest_in(a, &s.stamps, depth + 1, latest);
	}
	return r;
}

int apply_mtime(struct apply *a, int64_t *out)
{
	struct fmt_snapshot mine;
	int64_t latest;
	int r;

	if (!a->has_mtime) {
		r = view_packset_snapshot(a->spec->packs, a->spec->mine, &mine, a->err);
		if (r < 0)
			return r;
		latest = mine.root_mtime_ns;
		r = latest_in(a, &mine.stamps, 0, &latest);
		if (r < 0)
			return r;
		a->mtime_ns = a->spec->wall_ns;
		if (a->mtime_ns <= latest)
			a->mtime_ns = latest > INT64_MAX - (int64_t)ORCH_NS_PER_MS
					  ? INT64_MAX
					  : latest + (int64_t)ORCH_NS_PER_MS;
		a->has_mtime = true;
	}
	*out = a->mtime_ns;
	return 0;
}

static int touch_number(struct apply *a, const struct fmt_stamp *s)
{
	if (s->nlink <= 1)
		return 0;
	return sync_inomap_put(&a->touched, 0, s->ino) ? 0 : no_memory(a);
}

static int touch_numbers_below(struct apply *a, const struct orch_digest *id, unsigned depth)
{
	struct fmt_stamps stamps;
	int r = view_packset_stamps(a->spec->packs, id, &stamps, a->err);

	if (r == 0 && depth > SYNC_DEPTH_MAX)
		r = orch_err_set(a->err, ORCH_ECORRUPT, "folders are too deep");
	for (uint32_t i = 0; r == 0 && i < stamps.count; i++) {
		struct fmt_stamp s;

		r = fmt_stamps_get(&stamps, i, &s, a->err);
		if (r == 0)
			r = touch_number(a, &s);
		if (r == 0 && !orch_digest_is_null(&s.stamps))
			r = touch_numbers_below(a, &s.stamps, depth + 1);
	}
	return r;
}

int apply_remove(struct apply *a, struct sync_folder *f, uint32_t node)
{
	struct sync_node *n = &f->nodes[node];
	int r = touch_number(a, &n->s);

	a->changed++;
	if (r == 0 && n->e.type == FMT_DIR && !n->folder) {
		a->changed += n->e.count;
		r = touch_numbers_below(a, &n->s.stamps, 0);
	}
	sync_folder_remove(f, n);
	return r;
}

static int remember_link(struct apply *a, struct sync_folder *f, uint32_t index,
    const struct fmt_stamp *incoming, const struct fmt_stamp *old)
{
	if (orch_grow(&a->links, &a->link_cap, a->link_count + 1, sizeof(*a->links)) < 0)
		return no_memory(a);
	a->links[a->link_count] = (struct apply_link){.incoming = incoming->ino,
	    .order = a->link_count,
	    .folder = f,
	    .index = index,
	    .old = old ? old->ino : 0,
	    .old_nlink = old ? old->nlink : 0};
	a->link_count++;
	return 0;
}

static bool same_bytes(const struct fmt_entry *a, const struct fmt_entry *b)
{
	if (a->type != b->type)
		return false;
	if (a->type == FMT_SYMLINK)
		return a->target_len == b->target_len &&
		       memcmp(a->target, b->target, a->target_len) == 0;
	return orch_digest_eq(&a->digest, &b->digest);
}

/* The stamp of a taken file; old: what mine has at this path, of the same type, or NULL. */
static int stamp_file(struct apply *a, const struct sync_node *old, const struct fmt_entry *e,
    const struct fmt_stamp *incoming, struct fmt_stamp *out)
{
	*out = (struct fmt_stamp){.nlink = 1};
	if (incoming->nlink > 1)
		out->ino = 0; /* apply_links decides */
	else if (old && old->s.nlink == 1)
		out->ino = old->s.ino;
	else
		out->ino = a->edit.next_ino++;
	if (old && same_bytes(&old->e, e)) {
		out->mtime_ns = old->s.mtime_ns;
		return 0;
	}
	return apply_mtime(a, &out->mtime_ns);
}

static int add_file(
    struct apply *a, struct sync_folder *f, const struct fmt_entry *e, const struct fmt_stamp *s)
{
	struct fmt_stamp stamp;
	int r = stamp_file(a, NULL, e, s, &stamp);

	if (r < 0)
		return r;
	if (!sync_folder_add(f, e, &stamp))
		return no_memory(a);
	a->changed++;
	return s->nlink > 1 ? remember_link(a, f, f->count - 1, s, NULL) : 0;
}

static int replace_file(struct apply *a, struct sync_folder *f, uint32_t node,
    const struct fmt_entry *e, const struct fmt_stamp *s)
{
	struct sync_node *n = &f->nodes[node];
	struct fmt_stamp stamp, old = n->s;
	int r = stamp_file(a, n, e, s, &stamp);

	if (r == 0)
		r = touch_number(a, &old);
	if (r < 0)
		return r;
	n->e = *e;
	n->s = stamp;
	f->dirty = true;
	a->changed++;
	return s->nlink > 1 ? remember_link(a, f, node, s, &old) : 0;
}

static int add_folder(struct apply *a, struct sync_folder *f, const struct fmt_entry *e,
    const struct fmt_stamp *s, unsigned depth);

static int add_entries(
    struct apply *a, struct sync_folder *f, const struct apply_side *side, unsigned depth)
{
	int r = 0;

	for (uint32_t i = 0; i < side->tree.count && r == 0; i++) {
		struct fmt_entry e;
		struct fmt_stamp s;

		r = fmt_tree_entry(&side->tree, i, &e, a->err);
		if (r == 0)
			r = fmt_stamps_get(&side->stamps, i, &s, a->err);
		if (r == 0)
			r = e.type == FMT_DIR ? add_folder(a, f, &e, &s, depth)
					      : add_file(a, f, &e, &s);
	}
	return r;
}

static int add_folder(struct apply *a, struct sync_folder *f, const struct fmt_entry *e,
    const struct fmt_stamp *s, unsigned depth)
{
	struct fmt_stamp stamp = {.ino = a->edit.next_ino++, .nlink = 1};
	struct sync_folder *sub;
	struct sync_node *n;
	struct apply_side side;
	int r = apply_mtime(a, &stamp.mtime_ns);

	if (r == 0 && depth == SYNC_DEPTH_MAX)
		r = orch_err_set(a->err, ENAMETOOLONG, "folders are too deep");
	if (r == 0)
		r = apply_open(a, e, s, &side);
	if (r < 0)
		return r;
	n = sync_folder_add(f, e, &stamp);
	sub = n ? sync_edit_new_folder(&a->edit, n) : NULL;
	if (!sub)
		return no_memory(a);
	a->changed++;
	return add_entries(a, sub, &side, depth + 1);
}

int apply_take(struct apply *a, struct sync_folder *f, int64_t node, const struct fmt_entry *e,
    const struct fmt_stamp *s, bool *names)
{
	bool same_type = e && node >= 0 && f->nodes[node].e.type == e->type;
	int r;

	if (same_type && e->type != FMT_DIR)
		return replace_file(a, f, (uint32_t)node, e, s);
	*names = true;
	r = node >= 0 ? apply_remove(a, f, (uint32_t)node) : 0;
	if (r < 0 || !e)
		return r;
	return e->type == FMT_DIR ? add_folder(a, f, e, s, 0) : add_file(a, f, e, s);
}
