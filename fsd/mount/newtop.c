/* Strata put together in the top layer. See newtop.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/grow.h"
#include "fsd/mount/newtop.h"
#include "fsd/mount/strata.h"

/* ---- numbers of what the root leads to */

struct numbers {
	uint64_t *v;
	size_t count, cap;
};

static int number_add(struct numbers *list, uint64_t ino)
{
	int r = orch_grow(&list->v, &list->cap, list->count + 1, sizeof(*list->v));

	if (r == 0)
		list->v[list->count++] = ino;
	return r;
}

static int number_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool number_has(const struct numbers *list, uint64_t ino)
{
	return list->count > 0 &&
	       bsearch(&ino, list->v, list->count, sizeof(*list->v), number_cmp) != NULL;
}

/* Sorted; a folder has one name, so the walk ends. */
static int reach(const struct mnt_newtop *t, struct numbers *out)
{
	int r = number_add(out, FMT_ROOT_INO);

	for (size_t i = 0; r == 0 && i < out->count; i++) {
		const struct fmt_link *l;
		uint64_t cookie = 0;

		while (r == 0 && (l = fmt_overlay_links(t->state, out->v[i], &cookie)))
			r = l->ino == 0			? 0
			    : out->count > t->links + 1 ? -EIO
							: number_add(out, l->ino);
	}
	if (r == 0)
		qsort(out->v, out->count, sizeof(*out->v), number_cmp);
	return r;
}

/* May the node have names that none of the strata put together has recorded? Of the base, or of strata
 * that stay below; where `convert` is given these become the base, which it has put into base_links. */
static bool has_names_below(const struct mnt_newtop *t, const struct fmt_node *n)
{
	if (n->type == FMT_DIR) /* its one name is recorded with it */
		return false;
	if (n->base_links > 0)
		return true;
	for (size_t k = 0; !t->convert && k < t->from; k++)
		if (fmt_overlay_node(t->ns->chain.strata[k], n->ino))
			return true;
	return false;
}

/* ---- private files */

/* Does the node have its bytes in a layer that leaves? */
static bool must_move(const struct mnt_newtop *t, const struct fmt_node *n)
{
	const struct mnt_chain *c = &t->ns->chain;

	if (n->content != FMT_CONTENT_SPOOL)
		return false;
	for (size_t i = t->first; i < t->end; i++)
		if (c->layers[i].id == n->spool_layer)
			return true;
	return false;
}

static int file_add(struct mnt_newtop *t, const struct fmt_node *n)
{
	int r = orch_grow(&t->files, &t->cap, t->count + 1, sizeof(*t->files));

	if (r < 0)
		return r;
	t->files[t->count++] =
	    (struct mnt_newtop_file){.ino = n->ino, .layer = n->spool_layer, .id = n->spool_id};
	return 0;
}

static int file_cmp(const void *a, const void *b)
{
	const struct mnt_newtop_file *x = a, *y = b;

	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static struct mnt_newtop_file *file_find(const struct mnt_newtop *t, const struct fmt_node *n)
{
	struct mnt_newtop_file key = {.ino = n->ino}, *f;

	f = t->sorted == 0 ? NULL : bsearch(&key, t->files, t->sorted, sizeof(key), file_cmp);
	return f && f->layer == n->spool_layer && f->id == n->spool_id ? f : NULL;
}

/* Where a file can't have one more name it is copied, with the time that its inode has. */
static int copy_file(int from_dir, const char *from_name, int to_dir, const char *to_name)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
	orch_auto(fd) int from = openat(from_dir, from_name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	orch_auto(fd) int to = -1;
	struct stat st;
	int r;

	if (from < 0 || fstat(from, &st) < 0)
		return -errno;
	to = openat(to_dir, to_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	r = orch_fd_clone_or_copy(from, to, NULL, NULL, &err);
	times[1] = st.st_mtim;
	if (r == 0 && futimens(to, times) < 0)
		r = -errno;
	return r < 0 ? r : orch_fd_sync(to);
}

static int give_name(struct mnt_newtop *t, const struct mnt_newtop_file *f)
{
	const struct mnt_chain *c = &t->ns->chain;
	char from[24], to[24];
	int dir = mnt_chain_spool(c, f->layer), top = c->layers[t->end].spool_fd;

	mnt_spool_name(f->id, from);
	mnt_spool_name(f->new_id, to);
	if (linkat(dir, from, top, to, 0) == 0)
		return 0;
	return errno == EMLINK ? copy_file(dir, from, top, to) : -errno;
}

/* Numbers for the new names, in one piece; takes the lock. */
static int number_files(struct mnt_newtop *t)
{
	struct mnt_ns *ns = t->ns;
	int r = 0;

	mnt_ns_lock(ns);
	for (size_t i = 0; r == 0 && i < t->count; i++)
		r = mnt_ns_new_spool(ns, &t->files[i].new_id);
	mnt_ns_unlock(ns);
	return r;
}

static int name_files(struct mnt_newtop *t)
{
	int r = number_files(t);

	for (size_t i = 0; r == 0 && i < t->count; i++)
		r = give_name(t, &t->files[i]);
	if (r == 0 && t->count > 0)
		r = orch_fd_sync(t->ns->chain.layers[t->end].spool_fd);
	return r;
}

static void point_to(
    const struct mnt_newtop *t, const struct mnt_newtop_file *f, struct fmt_node *n)
{
	n->spool_layer = t->ns->chain.layers[t->end].id;
	n->spool_id = f->new_id;
}

/* ---- what was sealed; without the lock */

static int collect_files(struct mnt_newtop *t)
{
	struct numbers reached = {0};
	const struct fmt_node *n;
	uint64_t cookie = 0;
	int r = reach(t, &reached);

	while (r == 0 && (n = fmt_overlay_nodes(t->state, &cookie)))
		if (n->nlink > 0 && must_move(t, n) &&
		    (has_names_below(t, n) || number_has(&reached, n->ino)))
			r = file_add(t, n);
	if (t->count > 0)
		qsort(t->files, t->count, sizeof(*t->files), file_cmp);
	t->sorted = t->count;
	free(reached.v);
	return r;
}

static int point_files(struct mnt_newtop *t)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < t->count; i++) {
		struct fmt_layer_record rec = {
		    .kind = FMT_LAYER_NODE, .node = *fmt_overlay_node(t->state, t->files[i].ino)};

		point_to(t, &t->files[i], &rec.node);
		r = fmt_overlay_apply(t->state, &rec, rec.node.seq);
	}
	return r;
}

static int add_stratum(struct mnt_newtop *t, const struct fmt_overlay *o)
{
	const struct fmt_node *n;
	uint64_t cookie = 0;
	int r = 0;

	while (r == 0 && (n = fmt_overlay_nodes(o, &cookie))) {
		struct fmt_node now = *n;

		if (t->convert)
			t->convert(t->arg, &now);
		r = mnt_strata_add_node(t->state, &now);
		if (r == 0 && n->type == FMT_DIR) {
			t->links += fmt_overlay_link_count(o, n->ino);
			r = mnt_strata_add_links(t->state, o, n->ino);
		}
	}
	return r;
}

int mnt_newtop_prepare(struct mnt_newtop *t)
{
	const struct mnt_chain *c = &t->ns->chain;
	int r = 0;

	t->state = fmt_overlay_new();
	t->left = calloc(t->end, sizeof(*t->left));
	if (!t->state || !t->left)
		return -ENOMEM;
	for (size_t i = t->first; i < t->end; i++)
		t->left[i] = c->layers[i].id;
	for (size_t k = t->from; r == 0 && k + 1 < c->strata_count; k++)
		r = add_stratum(t, c->strata[k]);
	if (r == 0 && fmt_overlay_node_count(t->state) > 0)
		r = collect_files(t);
	if (r == 0)
		r = name_files(t);
	return r < 0 ? r : point_files(t);
}

/* ---- and the top; with the lock */

/* Its bytes are where the top stratum says, which may be a layer that leaves: as a sealed stratum said,
 * or, of a file that lost its names while somebody knows it, as none of them says any more. */
static int move_file(struct mnt_newtop *t, struct fmt_node *n)
{
	struct mnt_newtop_file *f = file_find(t, n);
	int r = 0;

	if (!f) {
		r = file_add(t, n);
		f = &t->files[t->count - 1];
		if (r == 0)
			r = mnt_ns_new_spool(t->ns, &f->new_id);
		if (r == 0)
			r = give_name(t, f);
		t->ns->spool_dirty = true;
	}
	if (r == 0)
		point_to(t, f, n);
	return r;
}

int mnt_newtop_add(struct mnt_newtop *t, const struct fmt_node *n)
{
	struct fmt_node now = *n;
	int r = 0;

	if (t->convert)
		t->convert(t->arg, &now);
	if (must_move(t, &now))
		r = move_file(t, &now);
	return r < 0 ? r : mnt_strata_add_node(t->state, &now);
}

static int add_top(struct mnt_newtop *t)
{
	const struct fmt_overlay *top = mnt_chain_top(&t->ns->chain);
	const struct fmt_node *n;
	uint64_t cookie = 0;
	int r = 0;

	while (r == 0 && (n = fmt_overlay_nodes(top, &cookie))) {
		r = mnt_newtop_add(t, n);
		if (r == 0 && n->type == FMT_DIR) {
			t->links += fmt_overlay_link_count(top, n->ino);
			r = mnt_strata_add_links(t->state, top, n->ino);
		}
	}
	return r;
}

/* What a sealed stratum recorded and the top one took away. */
static bool is_left(
    const struct mnt_newtop *t, const struct fmt_node *n, const struct numbers *reached)
{
	if (fmt_overlay_node(mnt_chain_top(&t->ns->chain), n->ino) || number_has(reached, n->ino))
		return false;
	return n->nlink == 0 || !has_names_below(t, n);
}

static int drop_left(struct mnt_newtop *t)
{
	struct numbers reached = {0}, left = {0};
	const struct fmt_node *n;
	uint64_t cookie = 0;
	int r = reach(t, &reached);

	while (r == 0 && (n = fmt_overlay_nodes(t->state, &cookie)))
		if (is_left(t, n, &reached))
			r = number_add(&left, n->ino);
	for (size_t i = 0; r == 0 && i < left.count; i++) {
		struct fmt_layer_record rec = {.kind = FMT_LAYER_GONE, .ino = left.v[i]};

		r = fmt_overlay_apply(t->state, &rec, 0);
	}
	free(reached.v);
	free(left.v);
	return r;
}

int mnt_newtop_finish(struct mnt_newtop *t)
{
	const struct mnt_chain *c = &t->ns->chain;
	struct fmt_layer_record counters = {.kind = FMT_LAYER_COUNTERS};
	bool alone = fmt_overlay_node_count(t->state) == 0;
	int r = add_top(t);

	if (r == 0 && !alone)
		r = drop_left(t);
	counters.counters.next_ino = c->head.next_ino;
	counters.counters.next_spool = c->head.next_spool;
	if (r == 0)
		r = fmt_overlay_apply(t->state, &counters, c->head.seq);
	return r;
}

void mnt_newtop_rekey(struct mnt_newtop *t)
{
	struct mnt_ns *ns = t->ns;
	uint64_t top = mnt_chain_top_layer(&ns->chain);

	for (size_t i = 0; i < t->count; i++) {
		struct mnt_newtop_file *f = &t->files[i];
		const struct fmt_node *now = fmt_overlay_node(t->state, f->ino);
		struct mnt_node *n = mnt_nodes_by_ino(&ns->nodes, f->ino);

		f->used = now && now->content == FMT_CONTENT_SPOOL && now->spool_layer == top &&
			  now->spool_id == f->new_id;
		if (f->used && n && n->content && n->content->key.layer == f->layer &&
		    n->content->key.id == f->id)
			mnt_content_rekey(ns->config.contents, n->content, top, f->new_id);
	}
}

void mnt_newtop_fini(struct mnt_newtop *t, bool success)
{
	struct mnt_ns *ns = t->ns;
	int fd;

	mnt_ns_lock(ns);
	fd = mnt_chain_spool_take(&ns->chain, mnt_chain_top_layer(&ns->chain));
	mnt_ns_unlock(ns);
	for (size_t i = 0; i < t->count; i++) {
		char name[24];

		if (t->files[i].new_id == 0 || (success && t->files[i].used))
			continue;
		mnt_spool_name(t->files[i].new_id, name);
		(void)unlinkat(fd, name, 0);
	}
	mnt_ns_spool_give(ns);
	for (size_t i = t->first; success && t->left && i < t->end; i++)
		mnt_contents_drop_layer(ns->config.contents, t->left[i]);
	free(t->left);
	free(t->files);
	if (!success)
		fmt_overlay_free(t->state);
}

/* ---- a short chain again */

static int flatten_swap(struct mnt_newtop *t, struct orch_err *err)
{
	struct mnt_ns *ns = t->ns;
	int r = mnt_newtop_finish(t);
	struct fmt_layer_head head = ns->chain.head; /* it may have used numbers */

	head.parent = t->first > 0 ? ns->chain.layers[t->first - 1].id : 0;
	if (r == 0)
		r = mnt_txn_checkpoint(ns, t->state, &head);
	if (r < 0)
		return orch_err_sys(err, -r, "flatten");
	mnt_ns_keep_listings(ns);
	mnt_newtop_rekey(t);
	mnt_chain_cut(&ns->chain, t->from, t->state, &head);
	return 0;
}

int mnt_ns_flatten(struct mnt_ns *ns, uint64_t keep, struct orch_err *err)
{
	struct mnt_newtop t = {.ns = ns};
	ssize_t at;
	int r;

	mnt_ns_lock(ns);
	r = mnt_ns_may_change(ns);
	at = keep == 0 ? -1 : mnt_chain_index(&ns->chain, keep);
	t.end = ns->chain.layer_count - 1;
	mnt_ns_unlock(ns);
	if (r < 0)
		return orch_err_sys(err, -r, "flatten");
	if (keep != 0 && (at < 0 || (size_t)at >= t.end))
		return orch_err_set(
		    err, ENOENT, "layer %llu is not below the top one", (unsigned long long)keep);
	t.first = (size_t)(at + 1);
	if (t.first == t.end)
		return 0;
	r = mnt_ns_border(ns, t.first, &t.from, err);
	if (r < 0)
		return r;
	r = mnt_newtop_prepare(&t);
	if (r < 0)
		orch_err_sys(err, -r, "flatten");
	if (r == 0) {
		mnt_ns_lock(ns);
		r = flatten_swap(&t, err);
		mnt_ns_unlock(ns);
	}
	mnt_newtop_fini(&t, r == 0);
	return r;
}
