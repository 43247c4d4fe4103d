/* Editing a snapshot; see edit.h. Recursion is bounded by SYNC_DEPTH_MAX. */
#include "sync/edit.h"

#include <stdlib.h>
#include <string.h>
#include "sync/place.h"

int sync_edit_init(struct sync_edit *x, struct view_packset *packs, const struct orch_digest *id,
    struct fmt_snapshot *out_snap, struct orch_err *err)
{
	struct fmt_snapshot snap;
	int r = view_packset_snapshot(packs, id, &snap, err);

	if (r < 0)
		return r;
	*x = (struct sync_edit){.packs = packs, .next_ino = snap.next_ino};
	x->root.e = snap.root;
	x->root.s = (struct fmt_stamp){
	    .ino = FMT_ROOT_INO, .nlink = 1, .mtime_ns = snap.root_mtime_ns, .stamps = snap.stamps};
	if (out_snap)
		*out_snap = snap;
	return 0;
}

void sync_edit_fini(struct sync_edit *x)
{
	struct sync_folder *f;

	while ((f = x->all)) {
		x->all = f->all;
		free(f->nodes);
		free(f);
	}
}

static struct sync_folder *new_folder(struct sync_edit *x, uint32_t cap)
{
	struct sync_folder *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->nodes = cap ? calloc(cap, sizeof(*f->nodes)) : NULL;
	if (cap && !f->nodes) {
		free(f);
		return NULL;
	}
	f->cap = cap;
	f->all = x->all;
	x->all = f;
	return f;
}

struct sync_folder *sync_edit_new_folder(struct sync_edit *x, struct sync_node *n)
{
	struct sync_folder *f = new_folder(x, 0);

	if (f) {
		f->dirty = true;
		n->folder = f;
	}
	return f;
}

static int open_pair(struct view_packset *packs, const struct orch_digest *tree_id,
    const struct orch_digest *stamps_id, struct fmt_tree *tree, struct fmt_stamps *stamps,
    struct orch_err *err)
{
	int r = view_packset_tree(packs, tree_id, tree, err);

	if (r == 0)
		r = view_packset_stamps(packs, stamps_id, stamps, err);
	if (r == 0 && tree->count != stamps->count)
		r = orch_err_set(err, ORCH_ECORRUPT, "tree and stamps differ in length");
	return r;
}

struct sync_folder *sync_edit_load(struct sync_edit *x, struct sync_node *n, struct orch_err *err)
{
	struct fmt_tree tree;
	struct fmt_stamps stamps;
	struct sync_folder *f;
	int r = 0;

	if (n->folder)
		return n->folder;
	if (open_pair(x->packs, &n->e.digest, &n->s.stamps, &tree, &stamps, err) < 0)
		return NULL;
	f = new_folder(x, tree.count);
	if (!f) {
		orch_err_sys(err, ENOMEM, "load a folder");
		return NULL;
	}
	for (uint32_t i = 0; i < tree.count && r == 0; i++) {
		r = fmt_tree_entry(&tree, i, &f->nodes[i].e, err);
		if (r == 0)
			r = fmt_stamps_get(&stamps, i, &f->nodes[i].s, err);
	}
	if (r < 0)
		return NULL;
	f->count = f->sorted = tree.count;
	n->folder = f;
	return f;
}

static int compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return c ? c : (a_len > b_len) - (a_len < b_len);
}

struct sync_node *sync_folder_find(struct sync_folder *f, const char *name, size_t len)
{
	uint32_t low = 0, high = f->sorted;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;
		struct sync_node *n = &f->nodes[mid];
		int c = compare(name, len, n->e.name, n->e.name_len);

		if (c == 0)
			return n;
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

struct sync_node *sync_folder_add(
    struct sync_folder *f, const struct fmt_entry *e, const struct fmt_stamp *s)
{
	if (f->count == f->cap) {
		uint32_t cap = f->cap ? f->cap * 2 : 16;
		struct sync_node *nodes = reallocarray(f->nodes, cap, sizeof(*nodes));

		if (!nodes)
			return NULL;
		f->nodes = nodes;
		f->cap = cap;
	}
	f->nodes[f->count] = (struct sync_node){.e = *e, .s = *s};
	f->dirty = true;
	return &f->nodes[f->count++];
}

void sync_folder_remove(struct sync_folder *f, struct sync_node *n)
{
	n->gone = true;
	f->dirty = true;
}

uint32_t sync_folder_count(const struct sync_folder *f)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < f->count; i++)
		count += !f->nodes[i].gone;
	return count;
}

struct link_search {
	struct sync_edit *edit;
	const struct sync_inomap *inos;
	bool everywhere;
	sync_link_fn *fn;
	void *priv;
	struct orch_err *err;
};

/* Whether a folder that is not loaded holds one of the numbers, at any depth. */
static int is_below(struct link_search *s, const struct orch_digest *tree_id,
    const struct orch_digest *stamps_id, unsigned depth)
{
	struct fmt_tree tree;
	struct fmt_stamps stamps;
	int r = open_pair(s->edit->packs, tree_id, stamps_id, &tree, &stamps, s->err);

	for (uint32_t i = 0; i < stamps.count && r == 0; i++) {
		struct fmt_stamp st;
		struct fmt_entry e;

		r = fmt_stamps_get(&stamps, i, &st, s->err);
		if (r < 0)
			break;
		if (sync_inomap_get(s->inos, 0, st.ino))
			return 1;
		if (orch_digest_is_null(&st.stamps))
			continue;
		r = fmt_tree_entry(&tree, i, &e, s->err);
		if (r == 0 && depth == SYNC_DEPTH_MAX)
			r = orch_err_set(s->err, ORCH_ECORRUPT, "folders are too deep");
		if (r == 0 && e.type == FMT_DIR)
			r = is_below(s, &e.digest, &st.stamps, depth + 1);
	}
	return r;
}

static int search_folder(struct link_search *s, struct sync_folder *f, unsigned depth);

static int search_dir(struct link_search *s, struct sync_node *n, unsigned depth)
{
	int r;

	if (!n->folder) {
		r = s->everywhere ? is_below(s, &n->e.digest, &n->s.stamps, depth) : 0;
		if (r <= 0)
			return r;
		if (!sync_edit_load(s->edit, n, s->err))
			return -EIO;
	}
	return search_folder(s, n->folder, depth + 1);
}

static int search_folder(struct link_search *s, struct sync_folder *f, unsigned depth)
{
	int r = 0;

	for (uint32_t i = 0; i < f->count && r >= 0; i++) {
		struct sync_node *n = &f->nodes[i];

		if (n->gone)
			continue;
		if (n->e.type == FMT_DIR) {
			r = search_dir(s, n, depth);
		} else if (sync_inomap_get(s->inos, 0, n->s.ino)) {
			r = s->fn(s->priv, n);
			f->dirty |= r > 0;
		}
	}
	return r < 0 ? r : 0;
}

int sync_edit_links(struct sync_edit *x, const struct sync_inomap *inos, bool everywhere,
    sync_link_fn *fn, void *priv, struct orch_err *err)
{
	struct orch_err own = ORCH_ERR_INIT;
	struct link_search s = {.edit = x,
	    .inos = inos,
	    .everywhere = everywhere,
	    .fn = fn,
	    .priv = priv,
	    .err = err ? err : &own};
	int r;

	if (!inos->count)
		return 0;
	r = search_dir(&s, &x->root, 0);
	if (r < 0 && !s.err->code)
		orch_err_sys(s.err, -r, "hard links");
	return r < 0 ? -s.err->code : 0;
}

static int write_folder(
    struct cas_quarantine *q, struct sync_node *n, bool *out_changed, struct orch_err *err);

static int write_subfolders(struct cas_quarantine *q, struct sync_folder *f, struct orch_err *err)
{
	int r = 0;

	for (uint32_t i = 0; i < f->count && r == 0; i++) {
		struct sync_node *n = &f->nodes[i];
		bool changed = false;

		if (n->gone || n->e.type != FMT_DIR || !n->folder)
			continue;
		r = write_folder(q, n, &changed, err);
		f->dirty |= changed;
	}
	return r;
}

static int write_entries(struct cas_quarantine *q, const struct sync_folder *f,
    struct sync_made *made, struct orch_err *err)
{
	struct sync_maker *m = NULL;
	int r = sync_maker_new(q, &m, err);

	for (uint32_t i = 0; i < f->count && r == 0; i++)
		if (!f->nodes[i].gone)
			r = sync_maker_add(m, &f->nodes[i].e, &f->nodes[i].s, err);
	if (r == 0)
		r = sync_maker_end(m, made, err);
	sync_maker_free(m);
	return r;
}

/* Brings n's own digests up to date. */
static int write_folder(
    struct cas_quarantine *q, struct sync_node *n, bool *out_changed, struct orch_err *err)
{
	struct sync_made made;
	int r = write_subfolders(q, n->folder, err);

	if (r < 0 || !n->folder->dirty)
		return r;
	r = write_entries(q, n->folder, &made, err);
	if (r < 0)
		return r;
	n->e.digest = made.tree;
	n->e.size = made.size;
	n->e.count = made.count;
	n->s.stamps = made.stamps;
	*out_changed = true;
	return 0;
}

int sync_edit_write(struct sync_edit *x, struct cas_quarantine *q, struct fmt_snapshot *snap,
    struct orch_digest *out_id, struct orch_err *err)
{
	struct sync_maker *m = NULL;
	bool changed = false;
	int r = x->root.folder ? write_folder(q, &x->root, &changed, err) : 0;

	if (r < 0)
		return r;
	snap->root = x->root.e;
	snap->stamps = x->root.s.stamps;
	snap->next_ino = x->next_ino;
	r = sync_maker_new(q, &m, err);
	if (r == 0)
		r = sync_maker_snapshot(m, snap, out_id, err);
	sync_maker_free(m);
	return r;
}
