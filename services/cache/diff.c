/* Two snapshots walked side by side, as two sorted lists of names in each folder. */
#include "cache/diff.h"

#include <stdlib.h>
#include <string.h>
#include "core/path.h"

#define DEPTH_MAX 2048

static const struct orch_digest nothing;

struct diff {
	struct view_packset *packs;
	unsigned flags;
	cas_diff_fn *fn;
	void *priv;
	unsigned depth;
	char path[ORCH_PATH_MAX + FMT_NAME_MAX + 2];
	size_t path_len;
};

/* One folder on one side; an absent one has no entries. */
struct side {
	struct fmt_tree tree;
	struct fmt_stamps stamps;
	uint32_t i;
	struct fmt_entry entry;
	struct fmt_stamp stamp;
};

const char *cas_change_name(enum cas_change c)
{
	static const char *const names[] = {
	    [CAS_CHANGE_ADDED] = "added",
	    [CAS_CHANGE_REMOVED] = "removed",
	    [CAS_CHANGE_TYPE] = "type",
	    [CAS_CHANGE_MODIFIED] = "modified",
	    [CAS_CHANGE_MODE] = "mode",
	    [CAS_CHANGE_ATTRIBUTES] = "attributes",
	};

	return (size_t)c < ORCH_ARRAY_LEN(names) ? names[c] : "unknown";
}

static int load(struct side *x, struct orch_err *err)
{
	int r;

	if (x->i >= x->tree.count)
		return 0;
	r = fmt_tree_entry(&x->tree, x->i, &x->entry, err);
	return r < 0 ? r : fmt_stamps_get(&x->stamps, x->i, &x->stamp, err);
}

static int open_side(struct diff *d, const struct orch_digest *tree,
    const struct orch_digest *stamps, struct side *out, struct orch_err *err)
{
	int r;

	memset(out, 0, sizeof(*out));
	if (orch_digest_is_null(tree))
		return 0;
	r = view_packset_tree(d->packs, tree, &out->tree, err);
	if (r == 0)
		r = view_packset_stamps(d->packs, stamps, &out->stamps, err);
	if (r == 0 && out->tree.count != out->stamps.count)
		r = orch_err_set(err, ORCH_ECORRUPT, "a folder's stamps are of another folder");
	return r < 0 ? r : load(out, err);
}

static bool same_xattrs(const struct fmt_entry *a, const struct fmt_entry *b)
{
	return a->xattrs.len == b->xattrs.len &&
	       (a->xattrs.len == 0 || memcmp(a->xattrs.p, b->xattrs.p, a->xattrs.len) == 0);
}

static bool same_content(const struct fmt_entry *a, const struct fmt_entry *b)
{
	if (a->type == FMT_REG)
		return a->size == b->size && orch_digest_eq(&a->digest, &b->digest);
	if (a->type == FMT_SYMLINK)
		return a->target_len == b->target_len &&
		       memcmp(a->target, b->target, a->target_len) == 0;
	return true;
}

static bool same_stamp(const struct fmt_stamp *a, const struct fmt_stamp *b)
{
	return a->ino == b->ino && a->mtime_ns == b->mtime_ns && a->nlink == b->nlink;
}

/* true and what it is, when the entries themselves (not what is below) differ */
static bool compare(const struct diff *d, const struct cas_difference *x, enum cas_change *out)
{
	if (x->a->type != x->b->type)
		*out = CAS_CHANGE_TYPE;
	else if (!same_content(x->a, x->b))
		*out = CAS_CHANGE_MODIFIED;
	else if (x->a->mode != x->b->mode)
		*out = CAS_CHANGE_MODE;
	else if (x->a->uid != x->b->uid || x->a->gid != x->b->gid || !same_xattrs(x->a, x->b))
		*out = CAS_CHANGE_ATTRIBUTES;
	else if ((d->flags & CAS_DIFF_STAMPS) && !same_stamp(x->a_stamp, x->b_stamp))
		*out = CAS_CHANGE_ATTRIBUTES;
	else
		return false;
	return true;
}

static int tell(struct diff *d, enum cas_change change, struct cas_difference *x)
{
	int r;

	x->path = d->path;
	x->path_len = d->path_len;
	x->change = change;
	r = d->fn(d->priv, x);
	return r < 0 ? r : 0;
}

static int diff_folder(struct diff *d, const struct fmt_entry *a, const struct fmt_stamp *as,
    const struct fmt_entry *b, const struct fmt_stamp *bs, struct orch_err *err);

/* What is below: a and b are NULL or no folders where there is nothing to compare. */
static int below(struct diff *d, const struct cas_difference *x, struct orch_err *err)
{
	const struct fmt_entry *a = x->a && x->a->type == FMT_DIR ? x->a : NULL;
	const struct fmt_entry *b = x->b && x->b->type == FMT_DIR ? x->b : NULL;

	if (!a && !b)
		return 0;
	if ((!a || !b) && (d->flags & CAS_DIFF_SHALLOW))
		return 0;
	return diff_folder(d, a, x->a_stamp, b, x->b_stamp, err);
}

static int one(struct diff *d, struct cas_difference *x, struct orch_err *err)
{
	const struct fmt_entry *e = x->a ? x->a : x->b;
	size_t before = d->path_len;
	enum cas_change change;
	int r = 0;

	if (d->path_len + 1 + e->name_len > ORCH_PATH_MAX)
		return orch_err_set(
		    err, ENAMETOOLONG, "a path in it is longer than %d bytes", ORCH_PATH_MAX);
	if (d->path_len)
		d->path[d->path_len++] = '/';
	memcpy(d->path + d->path_len, e->name, e->name_len);
	d->path_len += e->name_len;
	d->path[d->path_len] = '\0';
	if (!x->b)
		r = tell(d, CAS_CHANGE_REMOVED, x);
	else if (!x->a)
		r = tell(d, CAS_CHANGE_ADDED, x);
	else if (compare(d, x, &change))
		r = tell(d, change, x);
	if (r == 0)
		r = below(d, x, err);
	d->path_len = before;
	d->path[before] = '\0';
	return r;
}

/* < 0: the next name is a's alone; > 0: b's alone; 0: both have it. */
static int order(const struct side *a, const struct side *b)
{
	size_t n;
	int c;

	if (a->i >= a->tree.count)
		return 1;
	if (b->i >= b->tree.count)
		return -1;
	n = a->entry.name_len < b->entry.name_len ? a->entry.name_len : b->entry.name_len;
	c = memcmp(a->entry.name, b->entry.name, n);
	if (c != 0)
		return c;
	return (a->entry.name_len > b->entry.name_len) - (a->entry.name_len < b->entry.name_len);
}

static int merge(struct diff *d, struct side *a, struct side *b, struct orch_err *err)
{
	int r = 0;

	while (r == 0 && (a->i < a->tree.count || b->i < b->tree.count)) {
		struct cas_difference x = {0};
		int c = order(a, b);

		if (c <= 0) {
			x.a = &a->entry;
			x.a_stamp = &a->stamp;
		}
		if (c >= 0) {
			x.b = &b->entry;
			x.b_stamp = &b->stamp;
		}
		r = one(d, &x, err);
		if (r == 0 && c <= 0) {
			a->i++;
			r = load(a, err);
		}
		if (r == 0 && c >= 0) {
			b->i++;
			r = load(b, err);
		}
	}
	return r;
}

static int diff_trees(struct diff *d, const struct orch_digest *at, const struct orch_digest *as,
    const struct orch_digest *bt, const struct orch_digest *bs, struct orch_err *err)
{
	struct side *sides;
	int r;

	if (orch_digest_eq(at, bt) && (!(d->flags & CAS_DIFF_STAMPS) || orch_digest_eq(as, bs)))
		return 0;
	if (d->depth == DEPTH_MAX)
		return orch_err_set(err, ORCH_ECORRUPT, "folders are nested too deep");
	sides = calloc(2, sizeof(*sides));
	if (!sides)
		return orch_err_set(err, ENOMEM, "out of memory");
	d->depth++;
	r = open_side(d, at, as, &sides[0], err);
	if (r == 0)
		r = open_side(d, bt, bs, &sides[1], err);
	if (r == 0)
		r = merge(d, &sides[0], &sides[1], err);
	d->depth--;
	free(sides);
	return r;
}

static int diff_folder(struct diff *d, const struct fmt_entry *a, const struct fmt_stamp *as,
    const struct fmt_entry *b, const struct fmt_stamp *bs, struct orch_err *err)
{
	return diff_trees(d, a ? &a->digest : &nothing, a ? &as->stamps : &nothing,
	    b ? &b->digest : &nothing, b ? &bs->stamps : &nothing, err);
}

/* The root has no entry in a tree: its entry and stamps lie in the snapshot. */
static int diff_roots(struct diff *d, const struct fmt_snapshot *a, const struct fmt_snapshot *b,
    struct orch_err *err)
{
	struct fmt_stamp as = {FMT_ROOT_INO, a->root_mtime_ns, 1, a->stamps};
	struct fmt_stamp bs = {FMT_ROOT_INO, b->root_mtime_ns, 1, b->stamps};
	struct cas_difference x = {.a = &a->root, .b = &b->root, .a_stamp = &as, .b_stamp = &bs};
	enum cas_change change;
	int r = 0;

	if (compare(d, &x, &change))
		r = tell(d, change, &x);
	return r < 0 ? r : below(d, &x, err);
}

int cas_diff(struct view_packset *packs, const struct orch_digest *a, const struct orch_digest *b,
    unsigned flags, cas_diff_fn *fn, void *priv, struct orch_err *err)
{
	struct fmt_snapshot sa, sb;
	struct diff *d;
	int r;

	r = view_packset_snapshot(packs, a, &sa, err);
	if (r == 0)
		r = view_packset_snapshot(packs, b, &sb, err);
	if (r < 0)
		return r;
	d = calloc(1, sizeof(*d));
	if (!d)
		return orch_err_set(err, ENOMEM, "out of memory");
	d->packs = packs;
	d->flags = flags;
	d->fn = fn;
	d->priv = priv;
	r = diff_roots(d, &sa, &sb, err);
	free(d);
	return r;
}
