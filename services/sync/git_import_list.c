/* The import of a commit: its trees are read in parallel, one pool task a folder. A folder that is known
 * from an earlier import is not opened. */
#include "sync/git_import_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "sync/git_name.h"
#include "sync/place.h"

#define QUEUE_MAX  4096
#define TREE_MAX   ((size_t)256 << 20) /* bytes of one folder's list */
#define PATH_BYTES ((size_t)1 << 22)
#define ATTRIBUTES ".gitattributes"

struct listing { /* of one folder */
	struct git_import *import;
	struct git_folder *folder;
	struct sync_git_odb *odb;
	const struct sync_git_attr_state *attrs; /* with the folder's own file */
	struct git_batch *batch;
	struct orch_buf path;
	struct orch_err *err;
};

/* One line about it, which the next import says again. */
static void note(struct listing *l, const struct git_entry *e, const char *what)
{
	l->folder->noted = true;
	if (git_import_where(l->folder, e->name, e->name_len, &l->path) == 0)
		sync_task_warn(l->import->task, "%s %s", sync_place_text(&l->path), what);
}

static void note_once(
    struct listing *l, const struct git_entry *e, const char *what, const char *name)
{
	orch_auto(buf) struct orch_buf line = ORCH_BUF_INIT;

	l->folder->noted = true;
	(void)orch_buf_printf(&line, "%s \"", what);
	if (sync_git_name_show(name, strlen(name), &line) < 0)
		return;
	(void)orch_buf_add_str(&line, "\"");
	if (!line.failed && git_import_tell_once(l->import, (const char *)line.data) &&
	    git_import_where(l->folder, e->name, e->name_len, &l->path) == 0)
		sync_task_warn(l->import->task,
		    "%s is not applied: its files are as in the repository, for example %s",
		    (const char *)line.data, sync_place_text(&l->path));
}

/* ---- what is known ---- */

/* The root's file may define macros, so the same tree as root is another thing. */
static int folder_key(struct git_import *g, const struct sync_git_id *id,
    const struct sync_git_attr_state *attrs, const struct orch_buf *path, bool inside,
    struct fmt_memo_key *out)
{
	struct orch_sha256 *s;
	struct orch_digest d;

	*out = (struct fmt_memo_key){.kind = FMT_MEMO_TREE};
	memcpy(out->id, id->b, SYNC_GIT_ID_BYTES);
	sync_git_attrs_key(attrs, out->state);
	if (!g->spec->sparse)
		return 0;
	s = orch_sha256_new();
	if (!s)
		return -ENOMEM;
	orch_sha256_reset(s);
	orch_sha256_add(s, g->sparse.b, sizeof(g->sparse.b));
	orch_sha256_add(s, out->state, sizeof(out->state));
	orch_sha256_add(s, inside ? "+" : "-", 1);
	if (path && g->by_path)
		orch_sha256_add(s, sync_place_text(path), path->len);
	orch_sha256_end(s, &d);
	orch_sha256_free(s);
	memcpy(out->state, d.b, sizeof(out->state));
	return 0;
}

/* An empty folder but the root is in no tree, so nothing need be there. */
static bool is_known(struct git_folder *f)
{
	struct git_import *g = f->import;
	struct fmt_memo_entry e;

	if (!sync_git_memo_find(g->memo, &f->thing.key, &e))
		return false;
	if ((e.count || !f->seen_in) && !view_packset_has(g->spec->packs, FMT_PACK_TREE, &e.digest))
		return false;
	f->tree = e.digest;
	f->size = e.size;
	f->below = e.count;
	f->marked = e.marked;
	f->height = e.height;
	f->done = true;
	atomic_fetch_add(&g->task->files, e.count);
	atomic_fetch_add(&g->task->bytes, e.size);
	return true;
}

static void list_folder(void *arg);

static int too_deep(struct orch_err *err)
{
	return orch_err_set(
	    err, ENAMETOOLONG, "more than %d folders below each other", SYNC_DEPTH_MAX);
}

static int meet_folder(
    struct listing *l, struct git_entry *e, const struct sync_git_id *id, bool inside)
{
	struct git_import *g = l->import;
	const struct sync_git_attr_state *attrs;
	struct fmt_memo_key key;
	struct git_folder *f;
	bool is_new;
	int r = sync_git_attrs_enter(g->attrs, l->attrs, e->name, e->name_len, &attrs, l->err);

	if (r == 0 && l->folder->depth == SYNC_DEPTH_MAX)
		r = too_deep(l->err);
	if (r == 0)
		r = folder_key(g, id, attrs, &l->path, inside, &key);
	if (r < 0)
		return r;
	f = (struct git_folder *)git_import_meet(g, &key, sizeof(*f), &is_new);
	if (!f)
		return -ENOMEM;
	e->folder = f;
	if (!is_new)
		return 0;
	f->import = g;
	f->seen_in = l->folder;
	f->name = e->name;
	f->name_len = e->name_len;
	f->depth = l->folder->depth + 1;
	f->attrs = attrs;
	f->inside = inside;
	orch_pool_add(g->pool, list_folder, f);
	return 0;
}

static int find_how(struct listing *l, const struct git_entry *e, struct sync_git_how *how)
{
	struct sync_git_attr_value v[SYNC_GIT_ATTRS];

	*how = (struct sync_git_how){.lines = SYNC_GIT_LINES_KEEP};
	if (sync_git_attrs_is_empty(l->attrs))
		return 0;
	sync_git_attrs_look(l->import->attrs, l->attrs, e->name, e->name_len, v);
	sync_git_how_of(v, how);
	if (how->filter)
		note_once(l, e, "filter", how->filter);
	if (how->not_encoded)
		note_once(l, e, "working-tree-encoding", how->not_encoded);
	return 0;
}

static int meet_blob(struct listing *l, struct git_entry *e, const struct sync_git_id *id)
{
	struct fmt_memo_key key = {.kind = FMT_MEMO_BLOB};
	struct sync_git_how how;
	struct git_blob *b;
	bool is_new;
	int r = find_how(l, e, &how);

	if (r < 0)
		return r;
	memcpy(key.id, id->b, SYNC_GIT_ID_BYTES);
	sync_git_how_key(&how, key.state);
	b = (struct git_blob *)git_import_meet(l->import, &key, sizeof(*b), &is_new);
	if (!b)
		return -ENOMEM;
	e->blob = b;
	if (!is_new)
		return 0;
	b->how = how;
	b->seen_in = l->folder;
	b->name = e->name;
	b->name_len = e->name_len;
	return git_import_read(l->import, &l->batch, b);
}

/* The target is small: it is read at once, and kept as it came. */
static int read_link(struct listing *l, struct git_entry *e, const struct sync_git_id *id)
{
	int r = sync_git_odb_read(l->odb, id, SYNC_GIT_BLOB, FMT_SYMLINK_MAX, &e->target, l->err);

	if (r < 0)
		return r;
	atomic_fetch_add(&l->import->task->files, 1);
	if (!e->target.len || memchr(e->target.p, '\0', e->target.len))
		return orch_err_set(l->err, ORCH_ECORRUPT,
		    "a symlink whose target is empty or holds a NUL can't be made");
	return 0;
}

/* ---- one entry ---- */

/* Whether sparse leaves it in; *inside becomes what holds below it. path is set when that counts. */
static int is_taken(struct listing *l, const struct git_entry *e, bool *inside)
{
	const struct sync_git_import_spec *spec = l->import->spec;
	bool is_dir = e->type == SYNC_GIT_FOLDER || e->type == SYNC_GIT_SUBMODULE;
	const char *path;
	int r;

	*inside = l->folder->inside;
	if (!spec->sparse)
		return 1;
	r = git_import_path(l->folder, e->name, e->name_len, &l->path);
	if (r < 0)
		return r;
	path = sync_place_text(&l->path);
	if (spec->exclude && orch_globs_match(spec->exclude, path, is_dir))
		return 0;
	if (spec->include && !*inside)
		*inside = orch_globs_match(spec->include, path, is_dir);
	return *inside || e->type == SYNC_GIT_FOLDER;
}

static int list_entry(struct listing *l, struct git_entry *e, const struct sync_git_id *id)
{
	bool inside;
	int r = is_taken(l, e, &inside);

	if (r <= 0) {
		e->left_out = r == 0;
		return r;
	}
	switch (e->type) {
	case SYNC_GIT_FILE:
	case SYNC_GIT_PROGRAM:
		return meet_blob(l, e, id);
	case SYNC_GIT_SYMLINK:
		return read_link(l, e, id);
	case SYNC_GIT_FOLDER:
		return meet_folder(l, e, id, inside);
	case SYNC_GIT_SUBMODULE:
		atomic_fetch_add(&l->import->task->files, 1);
		note(l, e, "is a submodule: its folder is empty");
		return 0;
	}
	return -EINVAL;
}

/* ---- a folder ---- */

static int count_entries(struct git_folder *f, size_t *out, struct orch_err *err)
{
	struct sync_git_tree t = {.p = f->raw.p, .end = (const uint8_t *)f->raw.p + f->raw.len};
	struct git_import *g = f->import;
	struct sync_git_entry e;
	size_t n = 0;
	int r;

	while ((r = sync_git_tree_next(&t, &e, err)) == 1)
		n++;
	if (r < 0)
		return r;
	if (atomic_fetch_add(&g->entries, n) + n > g->entries_max || n > FMT_TREE_ENTRIES_MAX)
		return orch_err_set(
		    err, EFBIG, "the commit has more than %" PRIu64 " entries", g->entries_max);
	*out = n;
	return 0;
}

static int bad_name(struct listing *l, const struct sync_git_entry *e, const char *why)
{
	orch_auto(buf) struct orch_buf shown = ORCH_BUF_INIT;

	if (sync_git_name_show(e->name, e->name_len < 300 ? e->name_len : 300, &shown) < 0)
		return -ENOMEM;
	return orch_err_set(
	    l->err, ORCH_ECORRUPT, "the name \"%s\" %s", sync_place_text(&shown), why);
}

static int take_entries(struct listing *l, size_t count, struct sync_git_id *ids)
{
	struct git_folder *f = l->folder;
	struct sync_git_tree t = {.p = f->raw.p, .end = (const uint8_t *)f->raw.p + f->raw.len};
	struct sync_git_entry e;
	const char *why;

	for (size_t i = 0; i < count; i++) {
		if (sync_git_tree_next(&t, &e, l->err) != 1)
			return -ORCH_ECORRUPT;
		why = sync_git_name_wrong(e.name, e.name_len, e.type == SYNC_GIT_SYMLINK);
		if (why)
			return bad_name(l, &e, why);
		f->entries[i] =
		    (struct git_entry){.name = e.name, .name_len = e.name_len, .type = e.type};
		ids[i] = e.id;
	}
	f->count = count;
	return 0;
}

static int lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

static int by_folded_name(const void *pa, const void *pb)
{
	const struct git_entry *a = *(const struct git_entry *const *)pa,
			       *b = *(const struct git_entry *const *)pb;
	size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;

	for (size_t i = 0; i < n; i++)
		if (lower(a->name[i]) != lower(b->name[i]))
			return lower(a->name[i]) < lower(b->name[i]) ? -1 : 1;
	return (a->name_len > b->name_len) - (a->name_len < b->name_len);
}

/* Both stay; on another file system only one could. Exact doubles end the import later. */
static int tell_collisions(struct listing *l)
{
	const struct git_folder *f = l->folder;
	const struct git_entry **v = calloc(f->count + 1, sizeof(const struct git_entry *));

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < f->count; i++)
		v[i] = &f->entries[i];
	qsort(v, f->count, sizeof(const struct git_entry *), by_folded_name);
	for (size_t i = 1; i < f->count; i++)
		if (by_folded_name(&v[i - 1], &v[i]) == 0)
			note(l, v[i], "differs from its neighbour in upper and lower case only");
	free(v);
	return 0;
}

static int read_attributes(
    struct listing *l, const struct git_entry *e, const struct sync_git_id *id)
{
	struct git_folder *f = l->folder;
	struct sync_git_object x;
	size_t ignored;
	int r;

	if (e->type == SYNC_GIT_SYMLINK) {
		note(l, e, "is a symlink and not obeyed");
		return 0;
	}
	if (e->type != SYNC_GIT_FILE && e->type != SYNC_GIT_PROGRAM)
		return 0;
	r = sync_git_odb_read(l->odb, id, SYNC_GIT_BLOB, SYNC_GIT_ATTR_FILE_MAX, &x, l->err);
	if (r < 0)
		return r;
	r = sync_git_attrs_add(l->import->attrs, f->seen_in ? f->attrs : NULL, x.p, x.len,
	    &l->attrs, &ignored, l->err);
	sync_git_object_done(&x);
	if (r == 0 && ignored)
		note(l, e, "has lines that Git does not obey either");
	return r;
}

static int find_attributes(struct listing *l, const struct sync_git_id *ids)
{
	const struct git_folder *f = l->folder;

	for (size_t i = 0; i < f->count; i++)
		if (f->entries[i].name_len == sizeof(ATTRIBUTES) - 1 &&
		    memcmp(f->entries[i].name, ATTRIBUTES, sizeof(ATTRIBUTES) - 1) == 0)
			return read_attributes(l, &f->entries[i], &ids[i]);
	return 0;
}

static int list_entries(struct listing *l, const struct sync_git_id *ids)
{
	struct git_folder *f = l->folder;
	int r = 0;

	for (size_t i = 0; i < f->count && r == 0; i++) {
		struct git_entry *e = &f->entries[i];

		if (sync_task_stopped(l->import->task))
			return 0;
		r = list_entry(l, e, &ids[i]);
		if (r < 0) {
			git_import_fail_at(f, e->name, e->name_len, r, l->err);
			return 0; /* it is told, more exactly than the caller could */
		}
	}
	return git_import_read(l->import, &l->batch, NULL);
}

static int list_open(struct listing *l)
{
	struct git_folder *f = l->folder;
	struct sync_git_id id, *ids;
	size_t count = 0;
	int r;

	memcpy(id.b, f->thing.key.id, SYNC_GIT_ID_BYTES);
	r = sync_git_odb_read(l->odb, &id, SYNC_GIT_TREE, TREE_MAX, &f->raw, l->err);
	if (r == 0)
		r = count_entries(f, &count, l->err);
	if (r < 0)
		return r;
	atomic_fetch_add(&l->import->read_trees, 1);
	ids = calloc(count + 1, sizeof(*ids));
	f->entries = calloc(count + 1, sizeof(*f->entries));
	r = ids && f->entries ? 0 : -ENOMEM;
	if (r == 0)
		r = take_entries(l, count, ids);
	if (r == 0)
		r = tell_collisions(l);
	if (r == 0)
		r = find_attributes(l, ids);
	if (r == 0)
		r = list_entries(l, ids);
	free(ids);
	return r;
}

static void list_folder(void *arg)
{
	struct git_folder *f = arg;
	struct orch_err err = ORCH_ERR_INIT;
	struct listing l = {.import = f->import, .folder = f, .attrs = f->attrs, .err = &err};
	int r;

	if (sync_task_stopped(l.import->task) || is_known(f))
		return;
	orch_buf_init(&l.path, PATH_BYTES);
	r = git_import_take_odb(l.import, &l.odb, &err);
	if (r == 0) {
		r = list_open(&l);
		git_import_give_odb(l.import, l.odb);
	}
	if (r < 0)
		git_import_fail_at(f, NULL, 0, r, &err);
	free(l.batch);
	orch_buf_fini(&l.path);
	sync_task_tick(l.import->task);
}

static int make_root(struct git_import *g)
{
	const struct sync_git_attr_state *none = sync_git_attrs_none(g->attrs);
	struct fmt_memo_key key;
	bool is_new;
	int r = folder_key(g, &g->commit.tree, none, NULL, !g->spec->include, &key);

	if (r < 0)
		return r;
	key.state[SYNC_GIT_KEY_BYTES - 1] ^= 1;
	g->root = (struct git_folder *)git_import_meet(g, &key, sizeof(*g->root), &is_new);
	if (!g->root)
		return -ENOMEM;
	g->root->import = g;
	g->root->attrs = none;
	g->root->inside = !g->spec->include;
	return 0;
}

int git_import_list(struct git_import *g, struct orch_err *err)
{
	int r = make_root(g);

	if (r == 0) {
		g->pool = orch_pool_new(g->task->threads, QUEUE_MAX);
		r = g->pool ? 0 : -ENOMEM;
	}
	if (r < 0)
		return orch_err_sys(err, -r, "read");
	g->task->phase = "read";
	orch_pool_add(g->pool, list_folder, g->root);
	orch_pool_drain(g->pool);
	orch_pool_free(g->pool);
	g->pool = NULL;
	return sync_task_result(g->task, err);
}
