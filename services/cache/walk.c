/* Depth first over trees and stamps, with a stack of its own: hostile depth can't end ours. */
#include "cache/walk.h"

#include <stdlib.h>
#include <string.h>
#include "core/grow.h"
#include "core/path.h"

#define DEPTH_MAX 2048 /* more components than a path of ORCH_PATH_MAX can have */

struct level {
	struct fmt_tree tree;
	struct fmt_stamps stamps;
	uint32_t next;
	size_t path_len; /* of this folder */
};

struct walk {
	struct view_packset *packs;
	struct level *levels;
	size_t depth, cap;
	char path[ORCH_PATH_MAX + FMT_NAME_MAX + 2];
};

static int push(struct walk *w, const struct orch_digest *tree, const struct orch_digest *stamps,
    size_t path_len, struct orch_err *err)
{
	struct level *l;
	int r;

	if (w->depth == DEPTH_MAX)
		return orch_err_set(err, ORCH_ECORRUPT, "folders are nested too deep");
	r = orch_grow(&w->levels, &w->cap, w->depth + 1, sizeof(*w->levels));
	if (r < 0)
		return orch_err_set(err, -r, "out of memory");
	l = &w->levels[w->depth];
	*l = (struct level){.path_len = path_len};
	r = view_packset_tree(w->packs, tree, &l->tree, err);
	if (r == 0)
		r = view_packset_stamps(w->packs, stamps, &l->stamps, err);
	if (r == 0 && l->tree.count != l->stamps.count)
		r = orch_err_set(err, ORCH_ECORRUPT, "a folder's stamps are of another folder");
	if (r == 0)
		w->depth++;
	return r;
}

static int set_path(
    struct walk *w, const struct level *l, struct cas_walk_entry *e, struct orch_err *err)
{
	size_t at = l->path_len;

	if (at + 1 + e->entry.name_len > ORCH_PATH_MAX)
		return orch_err_set(
		    err, ENAMETOOLONG, "a path in it is longer than %d bytes", ORCH_PATH_MAX);
	if (at)
		w->path[at++] = '/';
	memcpy(w->path + at, e->entry.name, e->entry.name_len);
	at += e->entry.name_len;
	w->path[at] = '\0';
	e->path = w->path;
	e->path_len = at;
	return 0;
}

static int step(struct walk *w, cas_walk_fn *fn, void *priv, struct orch_err *err)
{
	struct level *l = &w->levels[w->depth - 1];
	struct cas_walk_entry e;
	int r;

	if (l->next == l->tree.count) {
		w->depth--;
		return 0;
	}
	r = fmt_tree_entry(&l->tree, l->next, &e.entry, err);
	if (r == 0)
		r = fmt_stamps_get(&l->stamps, l->next, &e.stamp, err);
	if (r == 0)
		r = set_path(w, l, &e, err);
	if (r < 0)
		return r;
	l->next++;
	r = fn(priv, &e);
	if (r != 0 || e.entry.type != FMT_DIR)
		return r < 0 ? r : 0;
	return push(w, &e.entry.digest, &e.stamp.stamps, e.path_len, err);
}

int cas_walk(struct view_packset *packs, const struct orch_digest *snapshot, cas_walk_fn *fn,
    void *priv, struct orch_err *err)
{
	struct walk *w = calloc(1, sizeof(*w));
	struct fmt_snapshot x;
	int r;

	if (!w)
		return orch_err_set(err, ENOMEM, "out of memory");
	w->packs = packs;
	r = view_packset_snapshot(packs, snapshot, &x, err);
	if (r == 0)
		r = push(w, &x.root.digest, &x.stamps, 0, err);
	while (r == 0 && w->depth > 0)
		r = step(w, fn, priv, err);
	if (r < 0 && w->depth > 0)
		orch_err_wrap(err, "/%s", w->path);
	free(w->levels);
	free(w);
	return r;
}

static int count_one(void *priv, const struct cas_walk_entry *e)
{
	struct cas_count *c = priv;

	if (e->entry.type == FMT_DIR) {
		c->dirs++;
	} else if (e->entry.type == FMT_SYMLINK) {
		c->symlinks++;
	} else {
		c->files++;
		c->bytes += e->entry.size;
	}
	return 0;
}

int cas_walk_count(struct view_packset *packs, const struct orch_digest *snapshot,
    struct cas_count *out, struct orch_err *err)
{
	struct cas_count c = {0};
	int r = cas_walk(packs, snapshot, count_one, &c, err);

	if (r == 0)
		*out = c;
	return r;
}
