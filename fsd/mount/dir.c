/* Folders: what their names are, base and layers put together. See ns_priv.h. */
#include <string.h>
#include "core/guard.h"
#include "fsd/mount/ns_priv.h"

#define SUBDIRS_SCAN_MAX 200000 /* entries; larger folders have link count 1, "unknown" */

void mnt_state_from_base(const struct fmt_entry *e, const struct fmt_stamp *s, struct fmt_node *out)
{
	*out = (struct fmt_node){
	    .ino = s->ino,
	    .type = e->type,
	    .mode = e->mode,
	    .uid = e->uid,
	    .gid = e->gid,
	    .nlink = s->nlink ? s->nlink : 1,
	    .base_links = s->nlink ? s->nlink : 1,
	    .atime_ns = s->mtime_ns,
	    .mtime_ns = s->mtime_ns,
	    .ctime_ns = s->mtime_ns,
	    .digest = e->digest,
	    .stamps = s->stamps,
	    .size = e->type == FMT_DIR ? 0 : e->size,
	    .target = e->target,
	    .target_len = e->target_len,
	    .xattrs = e->xattrs,
	};
	if (e->type == FMT_DIR)
		out->content = FMT_CONTENT_TREE;
	else if (e->type == FMT_SYMLINK)
		out->content = FMT_CONTENT_TARGET;
	else if (e->type == FMT_REG)
		out->content = FMT_CONTENT_OBJECT;
}

static int broken_dir(const struct mnt_node *dir, const struct orch_err *err)
{
	orch_log(ORCH_LOG_ERROR, "mount", "folder-unreadable", "ino=%llu name=%s error=%s",
	    (unsigned long long)dir->own.ino, dir->names ? dir->names->name : "/", err->msg);
	return -EIO;
}

int mnt_dir_load(struct mnt_ns *ns, struct mnt_node *dir)
{
	const struct fmt_node *state = mnt_ns_state(ns, dir);
	struct orch_err err = ORCH_ERR_INIT;
	struct mnt_dir d = {.loaded = true, .hits = orch_guard_hits(), .subdirs = -1};

	if (state->type != FMT_DIR)
		return -ENOTDIR;
	if (dir->dir.loaded && dir->dir.hits == d.hits)
		return 0;
	if (dir->dir.loaded)
		d.subdirs = dir->dir.subdirs;
	if (state->content == FMT_CONTENT_TREE) {
		if (view_packset_tree(ns->config.packs, &state->digest, &d.tree, &err) < 0 ||
		    view_packset_stamps(ns->config.packs, &state->stamps, &d.stamps, &err) < 0)
			return broken_dir(dir, &err);
		if (d.tree.count != d.stamps.count) {
			orch_err_set(&err, ORCH_ECORRUPT, "tree and stamps differ in length");
			return broken_dir(dir, &err);
		}
		d.has_base = true;
	}
	dir->dir = d;
	return 0;
}

/* A page of some pack became zeros since the folder was found: what was just read may be wrong. The
 * next call finds the folder again, with its checksum. */
static int undisturbed(const struct mnt_node *dir)
{
	struct orch_err err = ORCH_ERR_INIT;

	if (dir->dir.hits == orch_guard_hits())
		return 0;
	orch_err_set(&err, ORCH_ECORRUPT, "a pack was cut while it was read");
	return broken_dir(dir, &err);
}

static int base_at(struct mnt_node *dir, uint32_t i, struct mnt_found *out)
{
	struct orch_err err = ORCH_ERR_INIT;

	if (fmt_tree_entry(&dir->dir.tree, i, &out->entry, &err) < 0 ||
	    fmt_stamps_get(&dir->dir.stamps, i, &out->stamp, &err) < 0)
		return broken_dir(dir, &err);
	if (out->stamp.ino <= FMT_ROOT_INO) {
		orch_err_set(&err, ORCH_ECORRUPT, "an entry has inode number %llu",
		    (unsigned long long)out->stamp.ino);
		return broken_dir(dir, &err);
	}
	out->ino = out->stamp.ino;
	out->type = out->entry.type;
	out->from_base = true;
	return undisturbed(dir);
}

static int base_find(struct mnt_node *dir, const char *name, size_t len, struct mnt_found *out)
{
	struct orch_err err = ORCH_ERR_INIT;
	uint32_t i;
	int r;

	if (!dir->dir.has_base)
		return -ENOENT;
	r = fmt_tree_find(&dir->dir.tree, name, len, &i, &err);
	if (r == -ENOENT)
		return undisturbed(dir) < 0 ? -EIO : r;
	return r < 0 ? broken_dir(dir, &err) : base_at(dir, i, out);
}

int mnt_dir_base_find(
    struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len, struct mnt_found *out)
{
	int r = mnt_dir_load(ns, dir);

	return r < 0 ? r : base_find(dir, name, len, out);
}

int mnt_dir_find(
    struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len, struct mnt_found *out)
{
	const struct fmt_link *link;
	int r;

	if (len > FMT_NAME_MAX)
		return -ENAMETOOLONG;
	if (mnt_ns_state(ns, dir)->type != FMT_DIR)
		return -ENOTDIR;
	link = mnt_chain_link(&ns->chain, dir->own.ino, name, len);
	if (link) {
		*out = (struct mnt_found){.ino = link->ino, .type = link->type};
		return link->ino ? 0 : -ENOENT;
	}
	r = mnt_dir_load(ns, dir);
	return r < 0 ? r : base_find(dir, name, len, out);
}

bool mnt_dir_below_has(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len)
{
	const struct fmt_link *link =
	    mnt_chain_link_below(&ns->chain, ns->chain.strata_count - 1, dir->own.ino, name, len);
	struct mnt_found found;

	if (link) /* a whiteout too: strata are merged when they are replayed, and the base has the name */
		return true;
	/* when the base can't be read, a whiteout is the answer that is never wrong */
	return mnt_dir_load(ns, dir) < 0 || base_find(dir, name, len, &found) != -ENOENT;
}

static int node_new(struct mnt_ns *ns, const struct mnt_found *found, struct mnt_node **out)
{
	struct mnt_node *n;

	if (!found->from_base && !mnt_chain_node(&ns->chain, found->ino)) {
		orch_log(ORCH_LOG_ERROR, "mount", "node-missing", "ino=%llu",
		    (unsigned long long)found->ino);
		return -EIO;
	}
	n = mnt_nodes_add(&ns->nodes, found->ino);
	if (!n)
		return -ENOMEM;
	if (found->from_base)
		mnt_state_from_base(&found->entry, &found->stamp, &n->own);
	n->own.ino = found->ino;
	*out = n;
	return 0;
}

int mnt_dir_node(struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len,
    const struct mnt_found *found, struct mnt_node **out)
{
	struct mnt_node *n = mnt_nodes_by_ino(&ns->nodes, found->ino);
	int r;

	if (!n) {
		r = node_new(ns, found, &n);
		if (r < 0)
			return r;
	}
	if (n == ns->root || (n->names && mnt_ns_state(ns, n)->type == FMT_DIR &&
				 (n->names->parent != dir || n->names->len != len ||
				     memcmp(n->names->name, name, len) != 0))) {
		orch_log(ORCH_LOG_ERROR, "mount", "folder-twice", "ino=%llu name=%s",
		    (unsigned long long)found->ino, n->names ? n->names->name : "/");
		return -EIO;
	}
	r = mnt_node_name_add(n, dir, name, len);
	if (r < 0) {
		mnt_ns_settle(ns, n);
		return r;
	}
	*out = n;
	return 0;
}

int mnt_dir_lookup(
    struct mnt_ns *ns, struct mnt_node *dir, const char *name, size_t len, struct mnt_node **out)
{
	struct mnt_found found;
	int r = mnt_dir_find(ns, dir, name, len, &found);

	return r < 0 ? r : mnt_dir_node(ns, dir, name, len, &found, out);
}

static int walk_base(struct mnt_ns *ns, struct mnt_node *dir, uint64_t from, mnt_walk_fn *fn,
    void *arg, bool *stopped)
{
	for (uint64_t i = from; dir->dir.has_base && i < dir->dir.tree.count; i++) {
		const struct fmt_link *link;
		struct mnt_found found;
		int r = base_at(dir, (uint32_t)i, &found);

		if (r < 0)
			return r;
		link = mnt_chain_link(
		    &ns->chain, dir->own.ino, found.entry.name, found.entry.name_len);
		if (link && link->ino == 0)
			continue;
		if (link) {
			found.from_base = false;
			found.ino = link->ino;
			found.type = link->type;
		}
		if (!fn(arg, found.entry.name, found.entry.name_len, &found, i + 1)) {
			*stopped = true;
			return 0;
		}
	}
	return 0;
}

/* The last recorded first: what is recorded while somebody lists has a higher position, so that he comes to
 * an end, whatever he does to each name. Going down, a place in the stratum is counted from its end. */
static int walk_stratum(struct mnt_ns *ns, struct mnt_node *dir, size_t k, uint64_t position,
    mnt_walk_fn *fn, void *arg, bool *stopped)
{
	const uint64_t base = (uint64_t)(k + 1) << MNT_CURSOR_STRATUM;
	const uint64_t last = (UINT64_C(1) << MNT_CURSOR_STRATUM) - 1;
	uint64_t at = last - position;
	const struct fmt_link *l;

	while ((l = fmt_overlay_links_down(ns->chain.strata[k], dir->own.ino, &at))) {
		struct mnt_found found = {0};
		const struct fmt_link *now;
		struct mnt_found below;

		if (mnt_chain_link_below(&ns->chain, k, dir->own.ino, l->name, l->name_len) ||
		    base_find(dir, l->name, l->name_len, &below) == 0)
			continue;
		now = mnt_chain_link(&ns->chain, dir->own.ino, l->name, l->name_len);
		if (!now || now->ino == 0)
			continue;
		found.ino = now->ino;
		found.type = now->type;
		if (!fn(arg, l->name, l->name_len, &found, base | (last - at))) {
			*stopped = true;
			return 0;
		}
	}
	return 0;
}

int mnt_dir_walk(
    struct mnt_ns *ns, struct mnt_node *dir, uint64_t cursor, mnt_walk_fn *fn, void *arg)
{
	uint64_t stratum = cursor >> MNT_CURSOR_STRATUM;
	uint64_t position = cursor & ((UINT64_C(1) << MNT_CURSOR_STRATUM) - 1);
	bool stopped = false;
	int r = mnt_dir_load(ns, dir);

	if (r == 0 && stratum == 0) {
		r = walk_base(ns, dir, position, fn, arg, &stopped);
		stratum = 1;
		position = 0;
	}
	for (; r == 0 && !stopped && stratum <= ns->chain.strata_count; stratum++) {
		r = walk_stratum(ns, dir, (size_t)stratum - 1, position, fn, arg, &stopped);
		position = 0;
	}
	return r;
}

static bool stop_at_first(
    void *arg, const char *name, size_t len, const struct mnt_found *found, uint64_t next)
{
	*(bool *)arg = false;
	return false;
}

bool mnt_dir_empty(struct mnt_ns *ns, struct mnt_node *dir, int *out_r)
{
	bool empty = true;

	*out_r = mnt_dir_walk(ns, dir, 0, stop_at_first, &empty);
	return empty;
}

static bool count_folder(
    void *arg, const char *name, size_t len, const struct mnt_found *found, uint64_t next)
{
	*(int64_t *)arg += found->type == FMT_DIR;
	return true;
}

int64_t mnt_dir_subdirs(struct mnt_ns *ns, struct mnt_node *dir)
{
	size_t entries = 0;
	int64_t n = 0;

	if (mnt_dir_load(ns, dir) < 0)
		return -1;
	if (dir->dir.subdirs >= 0)
		return dir->dir.subdirs;
	if (dir->dir.has_base)
		entries = dir->dir.tree.count;
	for (size_t k = 0; k < ns->chain.strata_count; k++)
		entries += fmt_overlay_link_count(ns->chain.strata[k], dir->own.ino);
	if (entries > SUBDIRS_SCAN_MAX || mnt_dir_walk(ns, dir, 0, count_folder, &n) < 0)
		return -1;
	dir->dir.subdirs = n;
	return n;
}

void mnt_dir_subdirs_add(struct mnt_node *dir, int64_t delta)
{
	if (dir->dir.loaded && dir->dir.subdirs >= 0)
		dir->dir.subdirs += delta;
}

/* The kernel forgets a folder's attributes when it changes an entry; but an answer that was made before
 * the change may reach it after that, from another thread, and would be believed for ever. */
#define TOLD_BEFORE_NS (1 * ORCH_NS_PER_S)

void mnt_dir_changed(struct mnt_ns *ns, struct mnt_node *dir)
{
	if (dir->told_ns + TOLD_BEFORE_NS > orch_clock_ns())
		ns->config.notify.recheck(ns->config.notify.priv, dir->id);
}

#define DEPTH_MAX 4096

int mnt_node_path(struct mnt_ns *ns, const struct mnt_node *n, struct orch_buf *out)
{
	const struct mnt_name *up[DEPTH_MAX];
	size_t depth = 0;
	int r = 0;

	for (; n != ns->root; n = n->names->parent) {
		if (!n->names)
			return -ENOENT;
		if (depth == DEPTH_MAX)
			return -ENAMETOOLONG;
		up[depth++] = n->names;
	}
	while (r == 0 && depth-- > 0) {
		r = orch_buf_add(out, up[depth]->name, up[depth]->len);
		if (r == 0 && depth > 0)
			r = orch_buf_add_u8(out, '/');
	}
	return r;
}
