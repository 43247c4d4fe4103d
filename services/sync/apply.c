/* Three-way application: the merge of names; see apply.h and docs/sync.md. */
#include "sync/apply_priv.h"

#include <stdlib.h>
#include <string.h>
#include "sync/place.h"

#define PATH_BYTES (SYNC_DEPTH_MAX * (FMT_NAME_MAX + 1) + 1)

struct trio { /* what one name is on each side; NULL or -1: absent */
	const struct fmt_entry *base, *incoming;
	const struct fmt_stamp *base_stamp, *incoming_stamp;
	int64_t mine; /* index */
};

static int merge_folder(struct apply *a, struct sync_folder *f, const struct apply_side *base,
    const struct apply_side *incoming, unsigned depth, bool *names);

int apply_open(
    struct apply *a, const struct fmt_entry *e, const struct fmt_stamp *s, struct apply_side *out)
{
	int r = view_packset_tree(a->spec->packs, &e->digest, &out->tree, a->err);

	if (r == 0)
		r = view_packset_stamps(a->spec->packs, &s->stamps, &out->stamps, a->err);
	if (r == 0 && out->tree.count != out->stamps.count)
		r = orch_err_set(a->err, ORCH_ECORRUPT, "tree and stamps differ in length");
	return r;
}

static bool same_attributes(const struct fmt_entry *a, const struct fmt_entry *b)
{
	return a->mode == b->mode && a->uid == b->uid && a->gid == b->gid &&
	       a->xattrs.len == b->xattrs.len &&
	       (!a->xattrs.len || memcmp(a->xattrs.p, b->xattrs.p, a->xattrs.len) == 0);
}

/* Content and attributes; not stamps. NULL: absent. */
static bool same(const struct fmt_entry *a, const struct fmt_entry *b)
{
	if (!a || !b)
		return a == b;
	if (a->type != b->type || !same_attributes(a, b))
		return false;
	if (a->type == FMT_SYMLINK)
		return a->target_len == b->target_len &&
		       memcmp(a->target, b->target, a->target_len) == 0;
	return a->size == b->size && orch_digest_eq(&a->digest, &b->digest);
}

static bool is_dir(const struct fmt_entry *e)
{
	return e && e->type == FMT_DIR;
}

static void tell_conflict(struct apply *a, const struct fmt_entry *base,
    const struct fmt_entry *incoming, const struct fmt_entry *mine)
{
	struct sync_conflict c = {.path = sync_place_text(&a->path),
	    .base = base ? base->type : (enum fmt_type)0,
	    .incoming = incoming ? incoming->type : (enum fmt_type)0,
	    .mine = mine ? mine->type : (enum fmt_type)0};

	a->conflicts++;
	if (a->spec->on_conflict)
		a->spec->on_conflict(a->spec->priv, &c);
}

/* Who wins where both changed. */
static bool incoming_wins(const struct apply *a)
{
	return a->spec->how == SYNC_CONFLICT_REPLACE || a->spec->how == SYNC_CONFLICT_SOURCE;
}

/* Whether incoming also wins where only mine changed. */
static bool resets(const struct apply *a)
{
	return a->spec->how == SYNC_CONFLICT_SOURCE;
}

/* The folder's own mode, owner and xattrs. */
static void merge_attributes(struct apply *a, const struct fmt_entry *base,
    const struct fmt_entry *incoming, struct fmt_entry *mine, bool *dirty)
{
	bool came = !is_dir(base) || !same_attributes(incoming, base);
	bool take = is_dir(base) && same_attributes(mine, base);

	if (same_attributes(incoming, mine) || (!came && !resets(a)))
		return;
	if (came && !take) {
		tell_conflict(a, base, incoming, mine);
		if (!incoming_wins(a))
			return;
	}
	mine->mode = incoming->mode;
	mine->uid = incoming->uid;
	mine->gid = incoming->gid;
	mine->xattrs = incoming->xattrs;
	*dirty = true;
	*(came ? &a->changed : &a->reset) += 1;
}

static int merge_below(struct apply *a, struct sync_node *n, const struct fmt_entry *base,
    const struct fmt_stamp *base_stamp, const struct fmt_entry *incoming,
    const struct fmt_stamp *incoming_stamp, unsigned depth, bool *names)
{
	struct apply_side b = {0}, i = {0};
	struct sync_folder *f;
	int r = 0;

	if (depth == SYNC_DEPTH_MAX)
		return orch_err_set(a->err, ENAMETOOLONG, "folders are too deep");
	if (is_dir(base))
		r = apply_open(a, base, base_stamp, &b);
	if (r == 0 && is_dir(incoming))
		r = apply_open(a, incoming, incoming_stamp, &i);
	if (r < 0)
		return r;
	f = sync_edit_load(&a->edit, n, a->err);
	return f ? merge_folder(a, f, &b, &i, depth + 1, names) : -EIO;
}

/* A folder in incoming and in mine. */
static int merge_dirs(
    struct apply *a, struct sync_node *n, const struct trio *t, unsigned depth, bool *dirty)
{
	bool names = false;
	int r;

	merge_attributes(a, t->base, t->incoming, &n->e, dirty);
	if (orch_digest_eq(&t->incoming->digest, &n->e.digest) ||
	    (!resets(a) && is_dir(t->base) &&
		orch_digest_eq(&t->incoming->digest, &t->base->digest)))
		return 0;
	r = merge_below(
	    a, n, t->base, t->base_stamp, t->incoming, t->incoming_stamp, depth, &names);
	if (r < 0 || !names)
		return r;
	*dirty = true;
	return apply_mtime(a, &n->s.mtime_ns);
}

/* Removed in incoming, changed in mine: what base had goes, what mine added keeps the folder. */
static int remove_dir(
    struct apply *a, struct sync_folder *f, const struct trio *t, unsigned depth, bool *names)
{
	struct sync_node *n = &f->nodes[t->mine];
	bool below = false;
	int r = merge_below(a, n, t->base, t->base_stamp, NULL, NULL, depth, &below);

	if (r < 0)
		return r;
	if (sync_folder_count(n->folder) == 0) {
		*names = true;
		return apply_remove(a, f, (uint32_t)t->mine);
	}
	f->dirty |= below;
	return below ? apply_mtime(a, &n->s.mtime_ns) : 0;
}

/* Removed in mine, changed in incoming: it comes back if something in it does, or if it is reset. */
static int add_dir_again(
    struct apply *a, struct sync_folder *f, const struct trio *t, unsigned depth, bool *names)
{
	struct fmt_stamp stamp = {.nlink = 1};
	struct sync_node *n = sync_folder_add(f, t->incoming, &stamp);
	bool below = false;
	int r;

	if (!n || !sync_edit_new_folder(&a->edit, n))
		return orch_err_sys(a->err, ENOMEM, "apply");
	r = merge_below(
	    a, n, t->base, t->base_stamp, t->incoming, t->incoming_stamp, depth, &below);
	if (r < 0)
		return r;
	if (sync_folder_count(n->folder) == 0 && !resets(a)) {
		n->gone = true;
		return 0;
	}
	*names = true;
	a->changed++;
	n->s.ino = a->edit.next_ino++;
	return apply_mtime(a, &n->s.mtime_ns);
}

/* As in base in incoming, and not in mine. Counted as what incoming has there. */
static int put_back(struct apply *a, struct sync_folder *f, const struct trio *t, bool *names)
{
	const uint64_t changed = a->changed;
	int r = apply_take(a, f, t->mine, t->incoming, t->incoming_stamp, names);

	a->changed = changed;
	a->reset += 1 + (is_dir(t->incoming) ? t->incoming->count : 0);
	return r;
}

static int merge_name(
    struct apply *a, struct sync_folder *f, const struct trio *t, unsigned depth, bool *names)
{
	struct fmt_entry *mine = t->mine >= 0 ? &f->nodes[t->mine].e : NULL;
	const bool came = !same(t->incoming, t->base);

	if (same(t->incoming, mine) || (!came && !(resets(a) && t->incoming)))
		return 0;
	if (is_dir(t->incoming) && is_dir(mine))
		return merge_dirs(a, &f->nodes[t->mine], t, depth, &f->dirty);
	if (!came)
		return put_back(a, f, t, names);
	if (same(mine, t->base))
		return apply_take(a, f, t->mine, t->incoming, t->incoming_stamp, names);
	if (is_dir(t->base) && !t->incoming && is_dir(mine))
		return remove_dir(a, f, t, depth, names);
	if (is_dir(t->base) && is_dir(t->incoming) && !mine)
		return add_dir_again(a, f, t, depth, names);
	tell_conflict(a, t->base, t->incoming, mine);
	if (!incoming_wins(a))
		return 0;
	return apply_take(a, f, t->mine, t->incoming, t->incoming_stamp, names);
}

static int merge_named(
    struct apply *a, struct sync_folder *f, const struct trio *t, unsigned depth, bool *names)
{
	const struct fmt_entry *e = t->incoming ? t->incoming
				    : t->base	? t->base
						: &f->nodes[t->mine].e;
	size_t before = a->path.len;
	int r = before ? orch_buf_add_u8(&a->path, '/') : 0;

	if (r == 0)
		r = orch_buf_add(&a->path, e->name, e->name_len);
	if (r < 0)
		return orch_err_sys(a->err, -r, "apply");
	if (*a->task->cancel)
		return orch_err_set(a->err, ORCH_ECANCELLED, "cancelled");
	r = merge_name(a, f, t, depth, names);
	a->path.len = before;
	if (a->path.data)
		a->path.data[before] = '\0';
	atomic_store(&a->task->files, a->changed + a->reset);
	sync_task_tick(a->task);
	return r;
}

static int compare(const struct fmt_entry *a, const struct fmt_entry *b)
{
	int c;

	if (!a || !b)
		return a ? -1 : b ? 1 : 0;
	c = memcmp(a->name, b->name, a->name_len < b->name_len ? a->name_len : b->name_len);
	return c ? c : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

static int side_at(struct apply *a, const struct apply_side *side, uint32_t i, struct fmt_entry *e,
    struct fmt_stamp *s, const struct fmt_entry **out)
{
	int r = 0;

	*out = NULL;
	if (i >= side->tree.count)
		return 0;
	r = fmt_tree_entry(&side->tree, i, e, a->err);
	if (r == 0)
		r = fmt_stamps_get(&side->stamps, i, s, a->err);
	if (r == 0)
		*out = e;
	return r;
}

/* The three lists side by side, in the order of names. */
static int merge_folder(struct apply *a, struct sync_folder *f, const struct apply_side *base,
    const struct apply_side *incoming, unsigned depth, bool *names)
{
	const uint32_t mine_count = f->sorted;
	uint32_t b = 0, i = 0, m = 0;
	int r = 0;

	while (r == 0) {
		const struct fmt_entry *eb, *ei, *em, *first;
		struct fmt_entry b_entry, i_entry;
		struct fmt_stamp b_stamp, i_stamp;
		struct trio t = {.base_stamp = &b_stamp, .incoming_stamp = &i_stamp};

		r = side_at(a, base, b, &b_entry, &b_stamp, &eb);
		if (r == 0)
			r = side_at(a, incoming, i, &i_entry, &i_stamp, &ei);
		if (r < 0)
			break;
		em = m < mine_count ? &f->nodes[m].e : NULL;
		first = compare(eb, ei) <= 0 ? eb : ei;
		first = compare(first, em) <= 0 ? first : em;
		if (!first)
			break;
		t.base = compare(eb, first) == 0 ? eb : NULL;
		t.incoming = compare(ei, first) == 0 ? ei : NULL;
		t.mine = compare(em, first) == 0 ? (int64_t)m : -1;
		b += t.base != NULL;
		i += t.incoming != NULL;
		m += t.mine >= 0;
		r = merge_named(a, f, &t, depth, names);
	}
	return r;
}

static int merge_roots(
    struct apply *a, const struct fmt_snapshot *base, const struct fmt_snapshot *incoming)
{
	struct fmt_stamp base_stamp = {.stamps = base->stamps};
	struct fmt_stamp incoming_stamp = {.stamps = incoming->stamps};
	struct trio t = {.base = &base->root,
	    .incoming = &incoming->root,
	    .base_stamp = &base_stamp,
	    .incoming_stamp = &incoming_stamp};
	bool dirty = false;

	if ((!resets(a) && same(t.incoming, t.base)) || same(t.incoming, &a->edit.root.e))
		return 0;
	return merge_dirs(a, &a->edit.root, &t, 0, &dirty);
}

static int write_result(
    struct apply *a, const struct fmt_snapshot *incoming, struct sync_applied *out)
{
	struct fmt_snapshot snap = {.root_mtime_ns = a->edit.root.s.mtime_ns,
	    .source = a->spec->source ? a->spec->source : incoming->source,
	    .source_len = a->spec->source ? a->spec->source_len : incoming->source_len};
	int r = apply_links(a);

	if (r == 0)
		r = sync_edit_write(&a->edit, a->spec->quarantine, &snap, &out->snapshot, a->err);
	out->files = snap.root.count;
	out->bytes = snap.root.size;
	return r;
}

static int apply_run(struct apply *a, struct sync_applied *out)
{
	const struct sync_apply_spec *spec = a->spec;
	struct fmt_snapshot base, incoming;
	int r = view_packset_snapshot(spec->packs, spec->base, &base, a->err);

	if (r == 0)
		r = view_packset_snapshot(spec->packs, spec->incoming, &incoming, a->err);
	if (r == 0)
		r = sync_edit_init(&a->edit, spec->packs, spec->mine, NULL, a->err);
	if (r == 0)
		r = merge_roots(a, &base, &incoming);
	out->changed = a->changed;
	out->reset = a->reset;
	out->conflicts = a->conflicts;
	if (r < 0)
		return r;
	if (a->conflicts && spec->how == SYNC_CONFLICT_FAIL)
		return orch_err_set(a->err, ORCH_ECONFLICT, "%llu %s changed on both sides",
		    (unsigned long long)a->conflicts, a->conflicts == 1 ? "path is" : "paths are");
	return write_result(a, &incoming, out);
}

int sync_apply(struct sync_task *t, const struct sync_apply_spec *spec, struct sync_applied *out,
    struct orch_err *err)
{
	struct orch_err own = ORCH_ERR_INIT;
	struct apply a = {.spec = spec,
	    .task = t,
	    .path = {.max = PATH_BYTES},
	    .err = err ? err : &own,
	    .touched = SYNC_INOMAP_INIT};
	struct sync_applied made = {0};
	int r;

	t->phase = "apply";
	r = apply_run(&a, &made);
	sync_edit_fini(&a.edit);
	sync_inomap_fini(&a.touched);
	orch_buf_fini(&a.path);
	free(a.links);
	if (r < 0) {
		out->conflicts = made.conflicts;
		return a.err->code ? -a.err->code : r;
	}
	*out = made;
	return 0;
}
