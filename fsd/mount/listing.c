/*
 * Listing of folders. A listing goes on from request to request at an offset: where in the base or in a
 * stratum it is (mnt_dir_walk). When strata are merged, or a commit makes them a part of the base, such an
 * offset means nothing any more; therefore it names the layout that it belongs to, and before the layout
 * changes the names of each folder that somebody may be listing are kept, in the old order. A listing
 * that began before goes on through the kept names, as far as they are still there.
 */
#include <stdlib.h>
#include <string.h>
#include "core/grow.h"
#include "fsd/mount/listing.h"
#include "fsd/mount/ns_priv.h"

#define OFFSET_FIRST 2 /* behind "." and ".." */
#define LAYOUT_SHIFT 50
#define LAYOUT_MASK  0x1fffu
#define KEPT_MAX     4			    /* layouts that a folder's names are kept of */
#define LISTED_NS    (3600 * ORCH_NS_PER_S) /* a listing that was left is forgotten after that */

_Static_assert(MNT_STRATA_MAX < 1u << (LAYOUT_SHIFT - MNT_CURSOR_STRATUM), "a stratum fits");

struct kept_name {
	uint64_t next; /* the offset behind it */
	size_t at;     /* in the text; NUL-terminated */
};

struct mnt_kept {
	struct mnt_kept *older;
	uint32_t layout;
	struct kept_name *names; /* by rising offset */
	size_t count, cap;
	struct orch_buf text;
};

static uint64_t offset_of(const struct mnt_ns *ns, uint64_t cursor)
{
	if (cursor >> MNT_CURSOR_STRATUM == 0)
		cursor += OFFSET_FIRST;
	return (uint64_t)(ns->layout & LAYOUT_MASK) << LAYOUT_SHIFT | cursor;
}

/* ---- keeping */

void mnt_kept_free(struct mnt_kept *k)
{
	while (k) {
		struct mnt_kept *older = k->older;

		orch_buf_fini(&k->text);
		free(k->names);
		free(k);
		k = older;
	}
}

struct keeping {
	struct mnt_ns *ns;
	struct mnt_kept *kept;
	bool failed;
};

static bool keep_name(
    void *arg, const char *name, size_t len, const struct mnt_found *found, uint64_t next)
{
	struct keeping *x = arg;
	struct mnt_kept *k = x->kept;

	if (orch_grow(&k->names, &k->cap, k->count + 1, sizeof(*k->names)) < 0) {
		x->failed = true;
		return false;
	}
	k->names[k->count++] =
	    (struct kept_name){.next = offset_of(x->ns, next), .at = k->text.len};
	x->failed = orch_buf_add(&k->text, name, len) < 0 || orch_buf_add_u8(&k->text, 0) < 0;
	return !x->failed;
}

static void forget_oldest(struct mnt_node *dir)
{
	struct mnt_kept **p = &dir->kept;

	for (size_t i = 1; *p && i < KEPT_MAX; i++)
		p = &(*p)->older;
	mnt_kept_free(*p);
	*p = NULL;
}

static void keep(struct mnt_ns *ns, struct mnt_node *dir)
{
	struct keeping x = {.ns = ns, .kept = calloc(1, sizeof(*x.kept))};

	if (!x.kept)
		return;
	x.kept->layout = ns->layout & LAYOUT_MASK;
	orch_buf_init(&x.kept->text, (size_t)1 << 30);
	if (mnt_dir_walk(ns, dir, 0, keep_name, &x) < 0 || x.failed) {
		mnt_kept_free(x.kept);
		return;
	}
	forget_oldest(dir);
	x.kept->older = dir->kept;
	dir->kept = x.kept;
}

static void end_listings(struct mnt_ns *ns, struct mnt_node *dir)
{
	ns->listed -= ns->listed > 0 && dir->listings > 0;
	dir->listings = 0;
	mnt_kept_free(dir->kept);
	dir->kept = NULL;
}

void mnt_ns_keep_listings(struct mnt_ns *ns)
{
	uint64_t now = orch_clock_ns();
	struct mnt_node *n = NULL;
	size_t bucket = 0;

	uint32_t listed = 0;

	while (ns->listed > 0 && (n = mnt_nodes_next(&ns->nodes, &bucket, n))) {
		if (n->listings == 0)
			continue;
		if (n->listed_ns + LISTED_NS < now) {
			end_listings(ns, n);
			continue;
		}
		keep(ns, n);
		listed++;
	}
	ns->listed = listed; /* folders that were forgotten count no more */
	ns->layout++;
}

/* ---- listing */

struct listing {
	struct mnt_ns *ns;
	struct mnt_node *dir;
	bool plus;
	mnt_emit_fn *emit;
	void *arg;
	size_t count;
	bool stopped;
	int r;
};

static bool list_plus(
    struct listing *l, const char *name, size_t len, const struct mnt_found *found, uint64_t next)
{
	struct mnt_attr attr;
	struct mnt_node *n;
	bool more;

	if (mnt_dir_node(l->ns, l->dir, name, len, found, &n) < 0)
		return l->emit(l->arg, name, found->ino, found->type, NULL, next);
	attr.id = n->id;
	if (mnt_attr_fill(l->ns, n, &attr.st) < 0) {
		mnt_ns_settle(l->ns, n);
		return l->emit(l->arg, name, found->ino, found->type, NULL, next);
	}
	more = l->emit(l->arg, name, found->ino, found->type, &attr, next);
	if (more)
		n->lookups++;
	mnt_ns_settle(l->ns, n);
	return more;
}

static bool list_at(
    struct listing *l, const char *name, size_t len, const struct mnt_found *found, uint64_t offset)
{
	bool more;

	if (l->plus)
		more = list_plus(l, name, len, found, offset);
	else
		more = l->emit(l->arg, name, found->ino, found->type, NULL, offset);
	l->count += more;
	l->stopped |= !more;
	return more;
}

static bool list_one(
    void *arg, const char *name, size_t len, const struct mnt_found *found, uint64_t next)
{
	struct listing *l = arg;
	char text[FMT_NAME_MAX + 1];

	if (len > FMT_NAME_MAX)
		return true;
	memcpy(text, name, len);
	text[len] = 0;
	return list_at(l, text, len, found, offset_of(l->ns, next));
}

static bool list_dots(struct listing *l, uint64_t *offset)
{
	uint64_t up = l->dir->names ? l->dir->names->parent->own.ino : l->dir->own.ino;

	if (*offset == 0) {
		if (!l->emit(l->arg, ".", l->dir->own.ino, FMT_DIR, NULL, 1))
			return false;
		*offset = 1;
	}
	if (*offset == 1) {
		*offset = offset_of(l->ns, 0);
		if (!l->emit(l->arg, "..", up, FMT_DIR, NULL, *offset))
			return false;
	}
	return true;
}

/* The names that were there when the layout changed, and still are. */
static int list_kept(struct listing *l, const struct mnt_kept *k, uint64_t offset)
{
	size_t from = 0, end = k->count;

	while (from < end) { /* the first one that ends behind the offset */
		size_t middle = from + (end - from) / 2;

		if (k->names[middle].next > offset)
			end = middle;
		else
			from = middle + 1;
	}
	for (size_t i = from; i < k->count; i++) {
		const char *name = (const char *)k->text.data + k->names[i].at;
		struct mnt_found found;
		size_t len = strlen(name);
		int r = mnt_dir_find(l->ns, l->dir, name, len, &found);

		if (r < 0 && r != -ENOENT)
			return r;
		if (r == 0 && !list_at(l, name, len, &found, k->names[i].next))
			return 0;
	}
	return 0;
}

static int list_from(struct listing *l, uint64_t offset)
{
	uint32_t layout = (uint32_t)(offset >> LAYOUT_SHIFT) & LAYOUT_MASK;
	uint64_t cursor = offset & ((UINT64_C(1) << LAYOUT_SHIFT) - 1);
	const struct mnt_kept *k = l->dir->kept;

	if (layout != (l->ns->layout & LAYOUT_MASK) && cursor != OFFSET_FIRST) {
		while (k && k->layout != layout)
			k = k->older;
		if (k)
			return list_kept(l, k, offset);
		cursor = OFFSET_FIRST; /* what was listed comes twice, but nothing is left out */
	}
	if (cursor >> MNT_CURSOR_STRATUM == 0)
		cursor -= OFFSET_FIRST;
	return mnt_dir_walk(l->ns, l->dir, cursor, list_one, l);
}

/* A listing has begun; or come to its end, which is told by an empty answer. */
static void note(struct listing *l, bool begins)
{
	struct mnt_node *dir = l->dir;

	dir->listed_ns = orch_clock_ns();
	if (begins) {
		l->ns->listed += dir->listings == 0;
		dir->listings++;
	} else if (l->count == 0 && !l->stopped && dir->listings > 0 && --dir->listings == 0) {
		dir->listings = 1;
		end_listings(l->ns, dir);
	}
}

static int list(struct listing *l, uint64_t offset)
{
	bool begins = offset == 0;
	int r;

	if (!list_dots(l, &offset))
		return 0;
	l->dir->pins++;
	r = list_from(l, offset);
	l->dir->pins--;
	if (r == 0)
		note(l, begins);
	return r;
}

int mnt_ns_readdir(
    struct mnt_ns *ns, uint64_t id, uint64_t offset, bool plus, mnt_emit_fn *emit, void *arg)
{
	struct listing l = {.ns = ns, .plus = plus, .emit = emit, .arg = arg};
	int r;

	mnt_ns_lock(ns);
	l.dir = mnt_ns_node(ns, id);
	if (!l.dir)
		r = -ESTALE;
	else if (mnt_ns_state(ns, l.dir)->type != FMT_DIR)
		r = -ENOTDIR;
	else if (mnt_ns_state(ns, l.dir)->nlink == 0)
		r = -ENOENT;
	else
		r = list(&l, offset);
	mnt_ns_unlock(ns);
	return r;
}
