/*
 * Commit, from end to end; see commit.h. First the recorded entries are laid over the base's
 * folders, then further names of hard-linked files are found, then private files are hashed, and
 * last the changed folders are made.
 */
#include "sync/commit_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include "sync/layers.h"
#include "sync/place.h"

#define PATH_BYTES (SYNC_DEPTH_MAX * (FMT_NAME_MAX + 1) + 1)

static int lay_folder(struct commit *c, struct sync_folder *f, uint64_t ino, unsigned depth);

static int no_memory(struct commit *c)
{
	return orch_err_sys(c->err, ENOMEM, "commit");
}

/* Puts an entry in the place of what the base has there. */
static struct sync_node *put_entry(struct sync_folder *f, struct sync_node *base,
    const struct fmt_entry *e, const struct fmt_stamp *s)
{
	if (!base)
		return sync_folder_add(f, e, s);
	*base = (struct sync_node){.e = *e, .s = *s};
	f->dirty = true;
	return base;
}

/* A recorded folder: its own base (it may have been moved), with what is recorded below. */
static int lay_dir(struct commit *c, struct sync_folder *f, struct sync_node *base,
    const struct fmt_link *l, const struct fmt_node *n, unsigned depth)
{
	struct fmt_entry e = {.name = l->name, .name_len = l->name_len, .type = FMT_DIR};
	struct fmt_stamp s = {.ino = n->ino, .mtime_ns = n->mtime_ns, .nlink = 1};
	struct sync_folder *sub;
	struct sync_node *node;

	commit_attributes(n, &e);
	if (n->content == FMT_CONTENT_TREE) {
		e.digest = n->digest;
		s.stamps = n->stamps;
	}
	node = put_entry(f, base, &e, &s);
	if (!node)
		return no_memory(c);
	if (n->content != FMT_CONTENT_TREE) {
		sub = sync_edit_new_folder(&c->edit, node);
		if (!sub)
			return no_memory(c);
	} else {
		sub = sync_edit_load(&c->edit, node, c->err);
		if (!sub)
			return -EIO;
	}
	sub->dirty = true; /* its totals are not in the node */
	return lay_folder(c, sub, n->ino, depth + 1);
}

static int lay_file(struct commit *c, struct sync_folder *f, struct sync_node *base,
    const struct fmt_link *l, const struct fmt_node *n)
{
	struct fmt_entry e = {.name = l->name, .name_len = l->name_len};
	struct fmt_stamp s;
	int r = sync_inomap_put(&c->placed, 0, n->ino) ? 0 : no_memory(c);

	if (r == 0)
		r = commit_entry(c, n, &e, &s);
	if (r > 0) {
		if (base)
			sync_folder_remove(f, base);
		return 0;
	}
	if (r < 0)
		return r;
	return put_entry(f, base, &e, &s) ? 0 : no_memory(c);
}

static int lay_link(
    struct commit *c, struct sync_folder *f, const struct fmt_link *l, unsigned depth)
{
	struct sync_node *base = sync_folder_find(f, l->name, l->name_len);
	const struct fmt_node *n;

	if (l->ino == 0) {
		if (base)
			sync_folder_remove(f, base);
		return 0;
	}
	n = fmt_overlay_node(c->overlay, l->ino);
	if (!n && base && base->s.ino == l->ino)
		return 0;
	if (!n)
		return orch_err_set(c->err, ORCH_ECORRUPT, "%s: node %" PRIu64 " is not recorded",
		    sync_place_text(&c->path), l->ino);
	return n->type == FMT_DIR ? lay_dir(c, f, base, l, n, depth) : lay_file(c, f, base, l, n);
}

static int lay_named(
    struct commit *c, struct sync_folder *f, const struct fmt_link *l, unsigned depth)
{
	size_t before = c->path.len;
	int r = before ? orch_buf_add_u8(&c->path, '/') : 0;

	if (r == 0)
		r = orch_buf_add(&c->path, l->name, l->name_len);
	if (r < 0)
		return orch_err_sys(c->err, -r, "commit");
	if (*c->task->cancel)
		return orch_err_set(c->err, ORCH_ECANCELLED, "cancelled");
	r = lay_link(c, f, l, depth);
	c->path.len = before;
	c->path.data[before] = '\0';
	return r;
}

/* Lays everything that is recorded below the folder `ino` over f. */
static int lay_folder(struct commit *c, struct sync_folder *f, uint64_t ino, unsigned depth)
{
	const struct fmt_link *l;
	uint64_t cookie = 0;
	int r = 0;

	if (depth > SYNC_DEPTH_MAX && fmt_overlay_node_count(c->overlay) <= SYNC_DEPTH_MAX)
		return orch_err_set(c->err, ORCH_ECORRUPT, "folders are in a circle");
	if (depth > SYNC_DEPTH_MAX)
		return orch_err_set(c->err, ENAMETOOLONG,
		    "more than %d folders below each other: %.200s...", SYNC_DEPTH_MAX,
		    (const char *)c->path.data);
	while (r == 0 && (l = fmt_overlay_links(c->overlay, ino, &cookie)))
		r = lay_named(c, f, l, depth);
	return r;
}

static int lay_root(struct commit *c)
{
	const struct fmt_node *n = fmt_overlay_node(c->overlay, FMT_ROOT_INO);
	struct sync_folder *f;

	if (n && n->type != FMT_DIR)
		return orch_err_set(c->err, ORCH_ECORRUPT, "the root is no folder");
	if (n) {
		commit_attributes(n, &c->edit.root.e);
		c->edit.root.s.mtime_ns = n->mtime_ns;
	}
	if (!fmt_overlay_link_count(c->overlay, FMT_ROOT_INO))
		return 0;
	f = sync_edit_load(&c->edit, &c->edit.root, c->err);
	return f ? lay_folder(c, f, FMT_ROOT_INO, 0) : -EIO;
}

static int replay(struct commit *c)
{
	int r = 0;

	c->overlay = fmt_overlay_new();
	if (!c->overlay)
		return no_memory(c);
	for (size_t i = 0; i < c->spec->layer_count && r == 0; i++)
		r = sync_layer_replay(c->spec->layers_fd, c->spec->layers[i], c->overlay, c->err);
	return r;
}

static int write_result(
    struct commit *c, const struct fmt_snapshot *base, struct sync_committed *out)
{
	struct fmt_snapshot snap = {.root_mtime_ns = c->edit.root.s.mtime_ns,
	    .source = c->spec->source ? c->spec->source : base->source,
	    .source_len = c->spec->source ? c->spec->source_len : base->source_len};
	int r;

	if (fmt_overlay_next_ino(c->overlay) > c->edit.next_ino)
		c->edit.next_ino = fmt_overlay_next_ino(c->overlay);
	r = sync_edit_write(&c->edit, c->spec->quarantine, &snap, &out->snapshot, c->err);
	out->files = snap.root.count;
	out->bytes = snap.root.size;
	return r;
}

static int commit_run(struct commit *c, struct sync_committed *out)
{
	struct fmt_snapshot base;
	int r = replay(c);

	if (r == 0)
		r = sync_edit_init(&c->edit, c->spec->packs, c->spec->base, &base, c->err);
	if (r == 0)
		r = lay_root(c);
	if (r == 0)
		r = commit_find_linked(c);
	if (r == 0)
		r = commit_links(c);
	if (r == 0)
		r = commit_hash(c);
	return r < 0 ? r : write_result(c, &base, out);
}

int sync_commit(struct sync_task *t, const struct sync_commit_spec *spec,
    struct sync_committed *out, struct orch_err *err)
{
	struct orch_err own = ORCH_ERR_INIT;
	struct commit c = {.spec = spec,
	    .task = t,
	    .path = {.max = PATH_BYTES},
	    .err = err ? err : &own,
	    .spool = SYNC_INOMAP_INIT,
	    .linked = SYNC_INOMAP_INIT,
	    .placed = SYNC_INOMAP_INIT};
	struct sync_committed made = {0};
	int r;

	t->phase = "read";
	r = commit_run(&c, &made);
	sync_edit_fini(&c.edit);
	sync_inomap_fini(&c.spool);
	sync_inomap_fini(&c.linked);
	sync_inomap_fini(&c.placed);
	fmt_overlay_free(c.overlay);
	orch_buf_fini(&c.path);
	free(c.files);
	if (r < 0)
		return c.err->code ? -c.err->code : r;
	*out = made;
	return 0;
}
