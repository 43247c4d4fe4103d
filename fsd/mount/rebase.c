/*
 * Rebase: the base becomes a snapshot that a commit made of the old base and the sealed layers up to one
 * of the chain. Inode numbers and names are the same in both, so what the layers above recorded holds;
 * only where their records say where bytes or children are (a folder's tree, a file of a dropped spool)
 * the new snapshot's place is put in. What the dropped layers recorded is found in the new snapshot by
 * walking their entries, which hang together from the root; what snapshots don't have (fifos, sockets,
 * devices) becomes a record of the top layer. Layers that were sealed since the commit began (forks were
 * made) become one with the top layer (newtop.h).
 */
#include <stdlib.h>
#include <string.h>
#include "core/grow.h"
#include "core/guard.h"
#include "fsd/mount/newtop.h"

struct fresh { /* what the new snapshot says of a node that the dropped layers recorded */
	uint64_t ino;
	struct fmt_node state;	 /* strings borrowed from packs */
	uint32_t recorded_links; /* names of it that the dropped layers recorded */
	const struct fmt_link
	    *link; /* one of them, of a dropped stratum; NULL: the root, or none */
};

struct rebase {
	struct mnt_ns *ns;
	struct fmt_snapshot snapshot;
	size_t layers;	/* that the snapshot holds, from the bottom */
	size_t dropped; /* strata that hold these */
	struct fresh *v;
	size_t count, cap;
	const struct fmt_link *
	    *others; /* names that the snapshot does not have; of dropped strata */
	size_t other_count, other_cap;
	struct mnt_newtop top;
};

static int add(struct rebase *b, const struct fmt_node *state, const struct fmt_link *link)
{
	int r = orch_grow(&b->v, &b->cap, b->count + 1, sizeof(*b->v));

	if (r < 0)
		return r;
	b->v[b->count++] =
	    (struct fresh){.ino = state->ino, .state = *state, .recorded_links = 1, .link = link};
	return 0;
}

static int add_other(struct rebase *b, const struct fmt_link *link)
{
	int r = orch_grow(&b->others, &b->other_cap, b->other_count + 1, sizeof(*b->others));

	if (r == 0)
		b->others[b->other_count++] = link;
	return r;
}

static int fresh_cmp(const void *a, const void *b)
{
	uint64_t x = ((const struct fresh *)a)->ino, y = ((const struct fresh *)b)->ino;

	return x < y ? -1 : x > y;
}

static struct fresh *fresh_find(const struct rebase *b, uint64_t ino)
{
	struct fresh key = {.ino = ino};

	return b->count == 0 ? NULL : bsearch(&key, b->v, b->count, sizeof(key), fresh_cmp);
}

/* Sorted, each number once. */
static void fresh_sort(struct rebase *b)
{
	size_t out = 0;

	if (b->count == 0)
		return;
	qsort(b->v, b->count, sizeof(*b->v), fresh_cmp);
	for (size_t i = 1; i < b->count; i++) {
		if (b->v[i].ino == b->v[out].ino)
			b->v[out].recorded_links++;
		else
			b->v[++out] = b->v[i];
	}
	b->count = out + 1;
}

/* ---- the walk; needs no lock, since what is dropped does not change any more */

static int entry_add(struct rebase *b, const struct fmt_tree *tree, const struct fmt_stamps *stamps,
    const struct fmt_link *l, struct orch_err *err)
{
	struct fmt_entry e;
	struct fmt_stamp s;
	struct fmt_node state;
	uint32_t i;
	int r = fmt_tree_find(tree, l->name, l->name_len, &i, err);

	if (r == -ENOENT)
		return add_other(b, l);
	if (r == 0)
		r = fmt_tree_entry(tree, i, &e, err);
	if (r == 0)
		r = fmt_stamps_get(stamps, i, &s, err);
	if (r < 0)
		return r;
	if (s.ino != l->ino)
		return orch_err_set(err, ORCH_ECORRUPT, "the snapshot has another file as %.*s",
		    (int)l->name_len, l->name);
	mnt_state_from_base(&e, &s, &state);
	return add(b, &state, l);
}

static int folder_add(struct rebase *b, const struct fmt_node *dir, struct orch_err *err)
{
	const struct mnt_chain *c = &b->ns->chain;
	struct fmt_stamps stamps;
	struct fmt_tree tree;
	int r = view_packset_tree(b->ns->config.packs, &dir->digest, &tree, err);

	if (r == 0)
		r = view_packset_stamps(b->ns->config.packs, &dir->stamps, &stamps, err);
	if (r == 0 && tree.count != stamps.count)
		r = orch_err_set(err, ORCH_ECORRUPT, "tree and stamps differ in length");
	for (size_t k = b->dropped; r == 0 && k-- > 0;) {
		const struct fmt_link *l;
		uint64_t cookie = 0;

		while (r == 0 && (l = fmt_overlay_links(c->strata[k], dir->ino, &cookie))) {
			bool above = false;

			for (size_t j = k + 1; j < b->dropped && !above; j++)
				above =
				    fmt_overlay_link(c->strata[j], dir->ino, l->name, l->name_len);
			if (!above && l->ino != 0)
				r = entry_add(b, &tree, &stamps, l, err);
		}
	}
	return r;
}

/*
 * Files of the old base whose remaining names no layer recorded (one of several names was removed,
 * or written through and then removed): the dropped layers recorded the node, but no entry leads to
 * it. Rare; they are looked for by number in the whole snapshot.
 */
struct wanted {
	uint64_t *v; /* sorted */
	size_t count;
};

static bool is_unnamed(const struct rebase *b, size_t stratum, const struct fmt_node *n)
{
	const struct mnt_chain *c = &b->ns->chain;

	if (n->type == FMT_DIR || n->nlink == 0 || n->base_links == 0 || fresh_find(b, n->ino))
		return false;
	for (size_t j = stratum + 1; j < b->dropped; j++)
		if (fmt_overlay_node(c->strata[j], n->ino))
			return false;
	return true;
}

static int ino_cmp(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int list_wanted(const struct rebase *b, struct wanted *w)
{
	const struct fmt_node *n;
	size_t cap = 0;
	int r;

	for (size_t k = 0; k < b->dropped; k++) {
		uint64_t cookie = 0;

		while ((n = fmt_overlay_nodes(b->ns->chain.strata[k], &cookie))) {
			if (!is_unnamed(b, k, n))
				continue;
			r = orch_grow(&w->v, &cap, w->count + 1, sizeof(*w->v));
			if (r < 0)
				return r;
			w->v[w->count++] = n->ino;
		}
	}
	if (w->count)
		qsort(w->v, w->count, sizeof(*w->v), ino_cmp);
	return 0;
}

static int search(struct rebase *b, const struct wanted *w, const struct orch_digest *tree_id,
    const struct orch_digest *stamps_id, struct orch_err *err)
{
	struct fmt_stamps stamps;
	struct fmt_tree tree;
	int r = view_packset_tree(b->ns->config.packs, tree_id, &tree, err);

	if (r == 0)
		r = view_packset_stamps(b->ns->config.packs, stamps_id, &stamps, err);
	if (r == 0 && tree.count != stamps.count)
		r = orch_err_set(err, ORCH_ECORRUPT, "tree and stamps differ in length");
	for (uint32_t i = 0; r == 0 && i < tree.count; i++) {
		struct fmt_entry e;
		struct fmt_stamp s;
		struct fmt_node state;
		bool hit;

		r = fmt_stamps_get(&stamps, i, &s, err);
		if (r < 0)
			break;
		hit = bsearch(&s.ino, w->v, w->count, sizeof(*w->v), ino_cmp) != NULL;
		if (!hit && orch_digest_is_null(&s.stamps))
			continue;
		r = fmt_tree_entry(&tree, i, &e, err);
		if (r == 0 && e.type == FMT_DIR) {
			r = search(b, w, &e.digest, &s.stamps, err);
		} else if (r == 0 && hit) {
			mnt_state_from_base(&e, &s, &state);
			r = add(b, &state, NULL);
			if (r == 0)
				b->v[b->count - 1].recorded_links = 0;
		}
	}
	return r;
}

static int add_unnamed(struct rebase *b, struct orch_err *err)
{
	struct wanted w = {0};
	int r = list_wanted(b, &w);

	if (r == 0 && w.count)
		r = search(b, &w, &b->snapshot.root.digest, &b->snapshot.stamps, err);
	if (r == 0 && w.count) {
		fresh_sort(b);
		for (size_t i = 0; i < b->count; i++)
			if (bsearch(&b->v[i].ino, w.v, w.count, sizeof(*w.v), ino_cmp))
				b->v[i].recorded_links = 0; /* sorting counted them */
	}
	free(w.v);
	return r;
}

static int walk(struct rebase *b, struct orch_err *err)
{
	struct fmt_stamp stamp = {.ino = FMT_ROOT_INO,
	    .mtime_ns = b->snapshot.root_mtime_ns,
	    .nlink = 1,
	    .stamps = b->snapshot.stamps};
	struct fmt_node root;
	int r;

	mnt_state_from_base(&b->snapshot.root, &stamp, &root);
	r = add(b, &root, NULL);
	for (size_t i = 0; r == 0 && i < b->count; i++) {
		struct fmt_node dir = b->v[i].state; /* the array moves */

		if (dir.type == FMT_DIR)
			r = folder_add(b, &dir, err);
	}
	fresh_sort(b);
	if (r == 0)
		r = add_unnamed(b, err);
	if (r == -ENOMEM)
		orch_err_set(err, ENOMEM, "no memory");
	return r;
}

/* ---- the new top stratum; with the lock */

/* mnt_newtop's convert. */
static void move_to_base(void *arg, struct fmt_node *n)
{
	const struct rebase *b = arg;
	const struct fresh *f = fresh_find(b, n->ino);
	ssize_t layer;

	if (!f || f->state.type != n->type)
		return;
	n->base_links = f->state.nlink;
	if (n->type == FMT_DIR) {
		n->content = FMT_CONTENT_TREE;
		n->digest = f->state.digest;
		n->stamps = f->state.stamps;
		return;
	}
	if (n->content != FMT_CONTENT_SPOOL)
		return;
	layer = mnt_chain_index(&b->ns->chain, n->spool_layer);
	if (layer >= 0 && (size_t)layer < b->layers) {
		n->content = FMT_CONTENT_OBJECT;
		n->digest = f->state.digest;
		n->size = f->state.size;
		n->mtime_ns = f->state.mtime_ns;
	}
}

static int apply_node(struct fmt_overlay *o, const struct fmt_node *n)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_NODE, .node = *n};

	return fmt_overlay_apply(o, &rec, n->seq);
}

static int apply_link(struct fmt_overlay *o, const struct fmt_link *l)
{
	struct fmt_layer_record rec = {.kind = FMT_LAYER_LINK, .link = *l};

	return fmt_overlay_apply(o, &rec, l->seq);
}

/* Names of a hard-linked file that no layer recorded lie in trees that may be the old ones still in
 * memory: a record of the node is right whatever name it is reached by. */
static int carry_linked(struct rebase *b)
{
	struct fmt_overlay *to = b->top.state;
	int r = 0;

	for (size_t i = 0; r == 0 && i < b->count; i++) {
		const struct fresh *f = &b->v[i];

		if (f->state.type != FMT_DIR && f->state.nlink > f->recorded_links &&
		    !fmt_overlay_node(to, f->ino)) {
			struct fmt_node n = f->state;

			n.seq = b->ns->chain.head.seq;
			r = apply_node(to, &n);
		}
	}
	return r;
}

/* Records the folder and those above it, as the dropped layers had them. 1: it is recorded; 0: it is
 * not there any more. */
static int pin(struct rebase *b, uint64_t ino)
{
	struct fmt_overlay *to = b->top.state;
	const struct fmt_node *was = mnt_chain_node(&b->ns->chain, ino);
	const struct fresh *f = fresh_find(b, ino);
	const struct fmt_link *now = NULL;
	struct fmt_node n;
	int r = 1;

	if (fmt_overlay_node(to, ino))
		return 1;
	if (!f || !was)
		return 0;
	if (f->link) {
		now = fmt_overlay_link(to, f->link->parent, f->link->name, f->link->name_len);
		r = now && now->ino != ino ? 0 : pin(b, f->link->parent);
	}
	if (r != 1)
		return r;
	n = f->state;
	n.seq = was->seq;
	r = apply_node(to, &n);
	if (r == 0 && f->link && !now)
		r = apply_link(to, f->link);
	return r < 0 ? r : 1;
}

/* What the snapshot does not have stays a record, unless a later layer says something else. */
static int carry_others(struct rebase *b)
{
	struct fmt_overlay *to = b->top.state;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < b->other_count; i++) {
		const struct fmt_link *l = b->others[i];
		const struct fmt_node *n = mnt_chain_node(&b->ns->chain, l->ino);

		if (!n || fmt_overlay_link(to, l->parent, l->name, l->name_len))
			continue;
		r = pin(b, l->parent);
		if (r <= 0)
			continue;
		r = apply_link(to, l);
		if (r == 0 && !fmt_overlay_node(to, n->ino))
			r = mnt_newtop_add(&b->top, n);
	}
	return r < 0 ? r : 0;
}

/* The kernel keeps what it was told of a file; who wrote through a mapping, or outlived an earlier mount
 * process, did so behind its back. */
static void tell_changed(struct rebase *b, const struct mnt_node *n, const struct fresh *f)
{
	const struct mnt_notify *notify = &b->ns->config.notify;
	const struct fmt_node *was = mnt_ns_state(b->ns, n);
	const struct fmt_node *now = fmt_overlay_node(b->top.state, n->own.ino);

	if (!now && f)
		now = &f->state;
	if (!now || was->content != FMT_CONTENT_SPOOL || now->content != FMT_CONTENT_OBJECT)
		return;
	if (now->size != n->told_size || now->mtime_ns != n->told_mtime_ns)
		notify->attr(notify->priv, n->id);
}

/* Nodes that the kernel knows and that only dropped layers recorded: they are the base's now. */
static void nodes_follow(struct rebase *b)
{
	struct mnt_ns *ns = b->ns;
	struct mnt_node *n = NULL;
	size_t bucket = 0;

	while ((n = mnt_nodes_next(&ns->nodes, &bucket, n))) {
		const struct fresh *f = n->superseded ? NULL : fresh_find(b, n->own.ino);

		if (!n->superseded)
			tell_changed(b, n, f);
		if (f && f->state.type == mnt_ns_state(ns, n)->type)
			n->own = f->state;
		n->dir = (struct mnt_dir){.subdirs = -1};
	}
}

static int make_top(struct rebase *b)
{
	int r = mnt_newtop_finish(&b->top);

	if (r == 0)
		r = carry_linked(b);
	return r < 0 ? r : carry_others(b);
}

/* Unlinked nodes that live on are in the top layer already (a seal carries them). */
static int swap(struct rebase *b, const struct orch_digest *snapshot, struct orch_err *err)
{
	struct mnt_ns *ns = b->ns;
	int r = make_top(b);
	struct fmt_layer_head head = ns->chain.head; /* it may have used numbers */

	head.parent = 0;
	head.snapshot = *snapshot;
	if (b->snapshot.next_ino > head.next_ino)
		ns->next_ino = head.next_ino = b->snapshot.next_ino;
	if (r == 0)
		r = mnt_txn_checkpoint(ns, b->top.state, &head);
	if (r < 0)
		return orch_err_sys(err, -r, "rebase");
	mnt_ns_keep_listings(ns);
	mnt_newtop_rekey(&b->top);
	nodes_follow(b);
	mnt_chain_cut(&ns->chain, 0, b->top.state, &head);
	return 0;
}

static int check(struct rebase *b, uint64_t layer, struct orch_err *err)
{
	struct mnt_ns *ns = b->ns;
	ssize_t at;
	int r;

	mnt_ns_lock(ns);
	r = mnt_ns_may_change(ns);
	at = mnt_chain_index(&ns->chain, layer);
	b->top.end = ns->chain.layer_count - 1;
	mnt_ns_unlock(ns);
	if (r < 0)
		return orch_err_sys(err, -r, "rebase");
	if (at < 0 || (size_t)at >= b->top.end)
		return orch_err_set(
		    err, EBUSY, "layer %llu is not below the top one", (unsigned long long)layer);
	b->layers = (size_t)at + 1;
	return 0;
}

static int prepare(struct rebase *b, const struct orch_digest *snapshot, struct orch_err *err)
{
	int r = view_packset_snapshot(b->ns->config.packs, snapshot, &b->snapshot, err);

	if (r == 0)
		r = mnt_ns_border(b->ns, b->layers, &b->dropped, err);
	if (r == 0)
		r = walk(b, err);
	if (r < 0)
		return r;
	b->top.from = b->dropped;
	r = mnt_newtop_prepare(&b->top);
	return r < 0 ? orch_err_sys(err, -r, "rebase") : 0;
}

int mnt_ns_rebase(
    struct mnt_ns *ns, const struct orch_digest *snapshot, uint64_t layer, struct orch_err *err)
{
	struct rebase b = {.ns = ns, .top = {.ns = ns, .convert = move_to_base, .arg = &b}};
	uint64_t hits = orch_guard_hits();
	int r = check(&b, layer, err);

	if (r == 0)
		r = prepare(&b, snapshot, err);
	if (r == 0) {
		mnt_ns_lock(ns);
		if (orch_guard_hits() != hits)
			r = orch_err_set(
			    err, ORCH_ECORRUPT, "rebase: a pack was cut while it was read");
		if (r == 0)
			r = swap(&b, snapshot, err);
		mnt_ns_unlock(ns);
	}
	mnt_newtop_fini(&b.top, r == 0);
	free(b.others);
	free(b.v);
	return r;
}
