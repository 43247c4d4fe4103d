/* Stamps for trees; see restamp.h. One thread. */
#include "sync/restamp.h"

#include <stdlib.h>
#include <string.h>
#include "core/clock.h"
#include "sync/inomap.h"
#include "sync/maker.h"
#include "sync/place.h"

struct restamp {
	const struct sync_restamp_spec *spec;
	struct sync_task *task;
	bool has_parent;
	bool has_links; /* the parent has hard links: no folder's stamps can be taken as they are */
	struct sync_inomap claimed; /* numbers of the parent that had several names -> 1 */
	int64_t new_ns;		    /* mtime of what is new */
	uint64_t next_ino;
	struct orch_buf buf;
	struct orch_err *err;
};

struct folder { /* of the parent snapshot */
	struct fmt_tree tree;
	struct fmt_stamps stamps;
	struct orch_digest tree_id, stamps_id;
};

static int open_tree(struct restamp *a, const struct orch_digest *id, struct fmt_tree *out)
{
	int r = a->spec->tree(a->spec->priv, id, out, a->err);

	return r == -ENOENT ? view_packset_tree(a->spec->packs, id, out, a->err) : r;
}

static int open_folder(struct restamp *a, const struct orch_digest *tree,
    const struct orch_digest *stamps, struct folder *out)
{
	int r = view_packset_tree(a->spec->packs, tree, &out->tree, a->err);

	if (r == 0)
		r = view_packset_stamps(a->spec->packs, stamps, &out->stamps, a->err);
	if (r == 0 && out->tree.count != out->stamps.count)
		r = orch_err_set(a->err, ORCH_ECORRUPT, "tree and stamps differ in length");
	out->tree_id = *tree;
	out->stamps_id = *stamps;
	return r;
}

/* ---- the parent as a whole ---- */

static int look_at_parent(
    struct restamp *a, const struct orch_digest *stamps, unsigned depth, int64_t *latest)
{
	struct fmt_stamps s;
	struct fmt_stamp x;
	int r = view_packset_stamps(a->spec->packs, stamps, &s, a->err);

	if (r == 0 && depth > SYNC_DEPTH_MAX)
		r = orch_err_set(a->err, ORCH_ECORRUPT, "folders are too deep");
	for (uint32_t i = 0; r == 0 && i < s.count; i++) {
		r = fmt_stamps_get(&s, i, &x, a->err);
		if (r < 0)
			break;
		*latest = x.mtime_ns > *latest ? x.mtime_ns : *latest;
		a->has_links |= x.nlink > 1;
		if (!orch_digest_is_null(&x.stamps))
			r = look_at_parent(a, &x.stamps, depth + 1, latest);
	}
	return r;
}

static int64_t later_than(int64_t latest, int64_t wall_ns)
{
	if (wall_ns > latest)
		return wall_ns;
	return latest > INT64_MAX - (int64_t)ORCH_NS_PER_MS ? INT64_MAX
							    : latest + (int64_t)ORCH_NS_PER_MS;
}

/* ---- one folder ---- */

static int stamp_folder(struct restamp *a, const struct orch_digest *tree, const struct folder *was,
    unsigned depth, struct orch_digest *out, bool *out_moved);

/* A number is of one file: of hard links the first name keeps it. */
static int claim(struct restamp *a, const struct fmt_stamp *was, uint64_t *out)
{
	uint64_t *taken;

	if (was->nlink > 1) {
		taken = sync_inomap_put(&a->claimed, 0, was->ino);
		if (!taken)
			return -ENOMEM;
		if (*taken)
			return 0;
		*taken = 1;
	}
	*out = was->ino;
	return 0;
}

static bool same_content(const struct fmt_entry *a, const struct fmt_entry *b)
{
	switch (a->type) {
	case FMT_REG:
		return orch_digest_eq(&a->digest, &b->digest);
	case FMT_SYMLINK:
		return a->target_len == b->target_len &&
		       memcmp(a->target, b->target, a->target_len) == 0;
	default:
		return true;
	}
}

struct match { /* an entry, and what the parent has at its path: NULL, or of the same type */
	const struct fmt_entry *entry;
	const struct fmt_entry *was;
	struct fmt_stamp was_stamp;
};

static int stamp_subfolder(
    struct restamp *a, const struct match *m, unsigned depth, struct fmt_stamp *s)
{
	struct folder sub;
	bool moved = false;
	int r = 0;

	if (m->was)
		r = open_folder(a, &m->was->digest, &m->was_stamp.stamps, &sub);
	if (r == 0)
		r = stamp_folder(
		    a, &m->entry->digest, m->was ? &sub : NULL, depth + 1, &s->stamps, &moved);
	if (r == 0 && m->was && !moved)
		s->mtime_ns = m->was_stamp.mtime_ns;
	return r;
}

static int stamp_entry(
    struct restamp *a, const struct match *m, unsigned depth, struct fmt_stamp *out)
{
	struct fmt_stamp s = {.mtime_ns = a->new_ns, .nlink = 1};
	bool same = m->was && same_content(m->entry, m->was);
	int r = 0;

	if (same)
		r = claim(a, &m->was_stamp, &s.ino);
	if (r == 0 && same && m->entry->type != FMT_DIR)
		s.mtime_ns = m->was_stamp.mtime_ns;
	if (!s.ino)
		s.ino = a->next_ino++;
	if (r == 0 && m->entry->type == FMT_DIR)
		r = stamp_subfolder(a, m, depth, &s);
	if (r == 0)
		*out = s;
	return r;
}

static int compare(const struct fmt_entry *a, const struct fmt_entry *b)
{
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
	int c = memcmp(a->name, b->name, n);

	return c ? c : (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

/* The parent's entry with e's name, of what is left from *k on; *moved: one that has gone, or become
 * something else, was seen on the way. */
static int find_was(struct restamp *a, const struct folder *was, uint32_t *k,
    const struct fmt_entry *e, struct fmt_entry *space, struct match *m, bool *moved)
{
	m->entry = e;
	m->was = NULL;
	while (was && *k < was->tree.count) {
		int c, r = fmt_tree_entry(&was->tree, *k, space, a->err);

		if (r < 0)
			return r;
		c = compare(space, e);
		if (c > 0)
			break;
		++*k;
		if (c < 0 || space->type != e->type) {
			*moved = true;
			if (c == 0)
				return 0;
			continue;
		}
		m->was = space;
		return fmt_stamps_get(&was->stamps, *k - 1, &m->was_stamp, a->err);
	}
	*moved = true;
	return 0;
}

static int add_stamps(struct restamp *a, const struct fmt_tree *tree, const struct folder *was,
    unsigned depth, struct fmt_stamps_builder *b, bool *moved)
{
	struct fmt_entry e, space;
	struct fmt_stamp s;
	struct match m;
	uint32_t k = 0;
	int r = 0;

	for (uint32_t i = 0; i < tree->count && r == 0; i++) {
		r = fmt_tree_entry(tree, i, &e, a->err);
		if (r == 0)
			r = find_was(a, was, &k, &e, &space, &m, moved);
		if (r == 0)
			r = stamp_entry(a, &m, depth, &s);
		if (r == 0)
			r = fmt_stamps_builder_add(b, &s);
	}
	if (was && k < was->tree.count)
		*moved = true;
	return r;
}

static int save_stamps(struct restamp *a, struct fmt_stamps_builder *b, struct orch_digest *out)
{
	int r;

	orch_buf_reset(&a->buf);
	r = fmt_stamps_builder_end(b, &a->buf);
	if (r < 0)
		return r;
	return cas_quarantine_add_record(
	    a->spec->quarantine, FMT_PACK_STAMPS, a->buf.data, a->buf.len, out, a->err);
}

static int stamp_folder(struct restamp *a, const struct orch_digest *id, const struct folder *was,
    unsigned depth, struct orch_digest *out, bool *out_moved)
{
	struct fmt_stamps_builder *b;
	struct fmt_tree tree;
	int r;

	if (was && !a->has_links && orch_digest_eq(id, &was->tree_id)) {
		*out = was->stamps_id;
		return 0;
	}
	if (depth > SYNC_DEPTH_MAX)
		return orch_err_set(a->err, ORCH_ECORRUPT, "folders are too deep");
	if (*a->task->cancel)
		return orch_err_set(a->err, ORCH_ECANCELLED, "cancelled");
	b = fmt_stamps_builder_new();
	r = b ? open_tree(a, id, &tree) : -ENOMEM;
	if (r == 0)
		r = add_stamps(a, &tree, was, depth, b, out_moved);
	if (r == 0)
		r = save_stamps(a, b, out);
	fmt_stamps_builder_free(b);
	return r;
}

/* ---- the snapshot ---- */

static int save_snapshot(
    struct restamp *a, const struct fmt_snapshot *snap, struct orch_digest *out)
{
	struct sync_maker *m = NULL;
	int r = sync_maker_new(a->spec->quarantine, &m, a->err);

	if (r == 0)
		r = sync_maker_snapshot(m, snap, out, a->err);
	sync_maker_free(m);
	return r;
}

static int run(struct restamp *a, const struct fmt_snapshot *parent, const struct folder *was,
    struct orch_digest *out)
{
	struct fmt_snapshot snap = {
	    .root = *a->spec->root, .source = a->spec->source, .source_len = a->spec->source_len};
	bool moved = false;
	int r = stamp_folder(a, &snap.root.digest, was, 0, &snap.stamps, &moved);

	if (r < 0)
		return r;
	snap.root_mtime_ns = parent && !moved ? parent->root_mtime_ns : a->new_ns;
	snap.next_ino = a->next_ino;
	return save_snapshot(a, &snap, out);
}

static int run_alone(struct restamp *a, struct orch_digest *out)
{
	a->new_ns = a->spec->first_ns;
	a->next_ino = FMT_ROOT_INO + 1;
	a->has_links = false;
	return run(a, NULL, NULL, out);
}

static int run_with_parent(struct restamp *a, struct orch_digest *out)
{
	struct fmt_snapshot parent;
	struct folder was;
	int64_t latest;
	int r = view_packset_snapshot(a->spec->packs, a->spec->parent, &parent, a->err);

	if (r == 0)
		r = open_folder(a, &parent.root.digest, &parent.stamps, &was);
	if (r < 0)
		return r;
	latest = parent.root_mtime_ns;
	/* nothing at all has changed: then nothing needs to be known of it */
	if (!orch_digest_eq(&parent.root.digest, &a->spec->root->digest))
		r = look_at_parent(a, &parent.stamps, 0, &latest);
	if (r < 0)
		return r;
	a->new_ns = later_than(latest, a->spec->wall_ns);
	a->next_ino = parent.next_ino;
	return run(a, &parent, &was, out);
}

int sync_restamp(struct sync_task *t, const struct sync_restamp_spec *spec,
    struct orch_digest *out_snapshot, struct orch_err *err)
{
	struct orch_err why = ORCH_ERR_INIT;
	struct restamp a = {.spec = spec, .task = t, .claimed = SYNC_INOMAP_INIT, .err = &why};
	int r = -ENOENT;

	orch_buf_init(&a.buf, FMT_PACK_RECORD_MAX);
	if (spec->parent)
		r = run_with_parent(&a, out_snapshot);
	if (spec->parent && (r == -ORCH_ECORRUPT || r == -ENOENT))
		sync_task_warn(t,
		    "all files get new inode numbers: the parent snapshot is damaged: %s", why.msg);
	if (r == -ORCH_ECORRUPT || r == -ENOENT) {
		why = (struct orch_err)ORCH_ERR_INIT;
		r = run_alone(&a, out_snapshot);
	}
	sync_inomap_fini(&a.claimed);
	orch_buf_fini(&a.buf);
	if (r < 0 && why.code)
		return orch_err_set(err, -r, "%s", why.msg);
	return r < 0 ? orch_err_sys(err, -r, "stamps") : 0;
}
