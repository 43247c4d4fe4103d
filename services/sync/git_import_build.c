/* The import of a commit: what was read becomes trees. One thread; a folder that many paths lead to is
 * made once. */
#include "sync/git_import_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "core/grow.h"
#include "core/size.h"
#include "sync/place.h"

#define TREE_MAX ((size_t)FMT_PACK_RECORD_MAX)

struct build {
	struct git_import *import;
	struct orch_buf buf;
	struct orch_err *err;
};

static int no_memory(struct orch_err *err)
{
	return orch_err_sys(err, ENOMEM, "make a tree");
}

/* ---- trees that were made, for the stamps ---- */

static int keep_made(
    struct git_import *g, const struct orch_digest *digest, const struct orch_buf *b)
{
	struct git_made m = {.digest = *digest, .len = b->len};
	int r = orch_grow(&g->made, &g->made_cap, g->made_count + 1, sizeof(*g->made));

	if (r < 0)
		return r;
	m.p = malloc(b->len);
	if (!m.p)
		return -ENOMEM;
	memcpy(m.p, b->data, b->len);
	g->made[g->made_count++] = m;
	return 0;
}

static int by_digest(const void *a, const void *b)
{
	return orch_digest_cmp(
	    &((const struct git_made *)a)->digest, &((const struct git_made *)b)->digest);
}

int git_import_made(struct git_import *g, const struct orch_digest *digest, struct fmt_tree *out,
    struct orch_err *err)
{
	struct git_made key = {.digest = *digest};
	const struct git_made *m =
	    g->made_count ? bsearch(&key, g->made, g->made_count, sizeof(key), by_digest) : NULL;

	return m ? fmt_tree_open(m->p, m->len, out, err) : -ENOENT;
}

/* ---- one folder ---- */

static void fill_file(const struct git_entry *e, struct fmt_entry *out)
{
	out->type = FMT_REG;
	out->mode = e->type == SYNC_GIT_PROGRAM ? 0755 : 0644;
	out->size = e->blob->size;
	out->digest = e->blob->digest;
}

static void fill_folder(const struct git_entry *e, struct fmt_entry *out)
{
	out->type = FMT_DIR;
	out->mode = 0755;
	out->size = e->folder->size;
	out->count = e->folder->below;
	out->digest = e->folder->tree;
}

/* The folder of a submodule: its content is another repository's. */
static int fill_empty(struct build *b, struct fmt_entry *out)
{
	struct git_import *g = b->import;
	struct fmt_tree_builder *t = fmt_tree_builder_new();
	int r = t ? 0 : -ENOMEM;

	orch_buf_reset(&b->buf);
	if (r == 0)
		r = fmt_tree_builder_end(t, &b->buf, b->err);
	fmt_tree_builder_free(t);
	if (r == 0)
		r = cas_quarantine_add_record(g->spec->quarantine, FMT_PACK_TREE, b->buf.data,
		    b->buf.len, &out->digest, b->err);
	if (r == 0)
		r = keep_made(g, &out->digest, &b->buf);
	out->type = FMT_DIR;
	out->mode = 0755;
	return r;
}

static int fill_entry(struct build *b, const struct git_entry *e, struct fmt_entry *out)
{
	*out = (struct fmt_entry){
	    .name = e->name, .name_len = e->name_len, .uid = FMT_ID_OWNER, .gid = FMT_ID_OWNER};
	switch (e->type) {
	case SYNC_GIT_FILE:
	case SYNC_GIT_PROGRAM:
		fill_file(e, out);
		return 0;
	case SYNC_GIT_FOLDER:
		fill_folder(e, out);
		return 0;
	case SYNC_GIT_SUBMODULE:
		return fill_empty(b, out);
	case SYNC_GIT_SYMLINK:
		out->type = FMT_SYMLINK;
		out->mode = 0777;
		out->target = e->target.p;
		out->target_len = out->size = e->target.len;
		return 0;
	}
	return -EINVAL;
}

static int add_totals(struct git_folder *f, const struct git_entry *e, const struct fmt_entry *x)
{
	if (e->type == SYNC_GIT_FOLDER) {
		f->noted |= e->folder->noted;
		f->marked += e->folder->marked;
		if (e->folder->height >= f->height)
			f->height = (uint16_t)(e->folder->height + 1);
	} else if (x->type == FMT_REG) {
		f->marked += e->blob->how.lfs;
	}
	if (x->type != FMT_SYMLINK && orch_u64_add(f->size, x->size, &f->size) < 0)
		return -EOVERFLOW;
	return orch_u64_add(f->below, x->count + 1, &f->below);
}

static int check_limits(const struct git_folder *f, struct orch_err *err)
{
	uint64_t max = f->import->entries_max;

	if (f->below > max)
		return orch_err_set(
		    err, EFBIG, "the commit has more than %" PRIu64 " entries", max);
	if (f->height > SYNC_DEPTH_MAX + 1)
		return orch_err_set(
		    err, ENAMETOOLONG, "more than %d folders below each other", SYNC_DEPTH_MAX);
	return 0;
}

static int build_folder(struct build *b, struct git_folder *f, unsigned depth);

static int build_entry(struct build *b, struct git_folder *f, struct git_entry *e,
    struct fmt_tree_builder *t, unsigned depth)
{
	struct fmt_entry x;
	int r = 0;

	if (e->type == SYNC_GIT_FOLDER) {
		r = build_folder(b, e->folder, depth + 1);
		if (r < 0 || !e->folder->below)
			return r; /* Git makes no folder for it */
	}
	r = fill_entry(b, e, &x);
	if (r == 0)
		r = add_totals(f, e, &x);
	if (r == 0)
		r = check_limits(f, b->err);
	if (r == 0)
		r = fmt_tree_builder_add(t, &x, b->err);
	return r;
}

/* What is told at every import is not remembered, nor what leads to it. */
static int remember(struct git_import *g, const struct git_folder *f)
{
	struct fmt_memo_entry e = {.key = f->thing.key,
	    .digest = f->tree,
	    .size = f->size,
	    .count = f->below,
	    .marked = f->marked,
	    .height = f->height};

	return f->noted ? 0 : sync_git_memo_add(g->memo, &e);
}

static int end_folder(struct build *b, struct git_folder *f, struct fmt_tree_builder *t)
{
	struct git_import *g = b->import;
	int r;

	orch_buf_reset(&b->buf);
	r = fmt_tree_builder_end(t, &b->buf, b->err);
	if (r == -EEXIST)
		return orch_err_set(b->err, ORCH_ECORRUPT, "a name is there twice");
	if (r < 0)
		return r;
	if (f->below || !f->seen_in)
		r = cas_quarantine_add_record(
		    g->spec->quarantine, FMT_PACK_TREE, b->buf.data, b->buf.len, &f->tree, b->err);
	if (r == 0 && (f->below || !f->seen_in))
		r = keep_made(g, &f->tree, &b->buf);
	return r < 0 ? r : remember(g, f);
}

static int build_new(struct build *b, struct git_folder *f, unsigned depth)
{
	struct fmt_tree_builder *t = fmt_tree_builder_new();
	int r = t ? 0 : -ENOMEM;

	f->height = 1;
	for (size_t i = 0; i < f->count && r == 0; i++)
		if (!f->entries[i].left_out)
			r = build_entry(b, f, &f->entries[i], t, depth);
	if (r == 0 && *b->import->task->cancel)
		r = orch_err_set(b->err, ORCH_ECANCELLED, "cancelled");
	if (r == 0)
		r = end_folder(b, f, t);
	fmt_tree_builder_free(t);
	f->done = r == 0;
	return r;
}

static int build_folder(struct build *b, struct git_folder *f, unsigned depth)
{
	orch_auto(buf) struct orch_buf where = ORCH_BUF_INIT;
	int r;

	if (f->done)
		return 0;
	if (depth > SYNC_DEPTH_MAX)
		return orch_err_set(
		    b->err, ENAMETOOLONG, "more than %d folders below each other", SYNC_DEPTH_MAX);
	r = build_new(b, f, depth);
	if (r < 0 && !b->err->code)
		no_memory(b->err);
	if (r == -ORCH_ECORRUPT && git_import_where(f, NULL, 0, &where) == 0 && where.len < 300)
		orch_err_wrap(
		    b->err, "%s", where.len ? (const char *)where.data : "its root folder");
	return r;
}

int git_import_build(struct git_import *g, struct orch_err *err)
{
	struct build b = {.import = g, .err = err};
	int r;

	orch_buf_init(&b.buf, TREE_MAX);
	r = build_folder(&b, g->root, 0);
	orch_buf_fini(&b.buf);
	if (g->made_count)
		qsort(g->made, g->made_count, sizeof(*g->made), by_digest);
	return r;
}
