/*
 * Writers that outlived an earlier mount process: a descriptor in passthrough and a mapping write the
 * private file itself, whoever serves the mount and whether it is still there. So after a start each
 * private file that is older than it is suspected until a read lease, which is refused while somebody
 * may write, says that it has no writer. What has one gets a node, pinned until the writer is gone, also
 * when the kernel does not know the file: seals look at nodes. Once per start, beside the requests,
 * at the first seal at the latest.
 */
#include <stdlib.h>
#include "core/grow.h"
#include "fsd/mount/ns_priv.h"

struct suspect {
	uint64_t ino;
	struct mnt_content_key key;
	bool marked;
};

struct step { /* a folder on the way down */
	uint64_t ino;
	size_t parent;		     /* index; of the root: itself */
	const struct fmt_link *link; /* NULL: the root */
};

struct search {
	struct mnt_ns *ns;
	struct suspect *v; /* by inode number */
	size_t count;
	struct step *steps;
	size_t step_count, step_cap;
};

static int by_ino(const void *a, const void *b)
{
	uint64_t x = ((const struct suspect *)a)->ino, y = ((const struct suspect *)b)->ino;

	return x < y ? -1 : x > y;
}

static struct suspect *suspect_find(const struct search *s, uint64_t ino)
{
	struct suspect key = {.ino = ino};

	return bsearch(&key, s->v, s->count, sizeof(key), by_ino);
}

/* With the lock. The numbers of this mount process's own files are higher. */
static int collect(struct search *s)
{
	struct mnt_ns *ns = s->ns;
	const struct fmt_overlay *top = mnt_chain_top(&ns->chain);
	const struct fmt_node *n;
	uint64_t cookie = 0;

	s->v = calloc(fmt_overlay_node_count(top) + 1, sizeof(*s->v));
	if (!s->v)
		return -ENOMEM;
	while ((n = fmt_overlay_nodes(top, &cookie)))
		if (n->nlink > 0 && mnt_state_is_private(ns, n) && n->spool_id < ns->first_spool)
			s->v[s->count++] = (struct suspect){.ino = n->ino, .key = mnt_state_key(n)};
	return 0;
}

/* This process has it open for writing then, whatever its user may do: nothing can be told. */
static bool is_open(struct mnt_ns *ns, uint64_t ino)
{
	const struct mnt_node *n;
	bool open;

	mnt_ns_lock(ns);
	n = mnt_nodes_by_ino(&ns->nodes, ino);
	open = n && n->opens > 0;
	mnt_ns_unlock(ns);
	return open;
}

/* Leaves those that somebody may write. */
static void question(struct search *s, int spool)
{
	size_t left = 0;

	for (size_t i = 0; i < s->count; i++)
		if (is_open(s->ns, s->v[i].ino) || mnt_file_is_written(s->ns, &s->v[i].key, spool))
			s->v[left++] = s->v[i];
	s->count = left;
	if (left > 0)
		qsort(s->v, left, sizeof(*s->v), by_ino);
}

/* ---- with the lock: nodes for them */

static void mark(struct search *s, struct suspect *x, struct mnt_node *n)
{
	const struct fmt_node *state = mnt_ns_state(s->ns, n);

	x->marked = true;
	if (n->outlived || !mnt_state_is_private(s->ns, state) || state->spool_id != x->key.id)
		return;
	n->outlived = n->was_written = true;
	n->pins++;
	s->ns->config.notify.attr(s->ns->config.notify.priv, n->id);
}

void mnt_outlived_clear(struct mnt_ns *ns, struct mnt_node *n)
{
	if (!n->outlived)
		return;
	n->outlived = false;
	n->pins--;
	ns->config.notify.attr(ns->config.notify.priv, n->id);
	mnt_ns_settle(ns, n);
}

static struct mnt_node *folder(struct search *s, size_t i)
{
	const struct fmt_link *l = s->steps[i].link;
	struct mnt_node *dir, *n;

	if (!l)
		return s->ns->root;
	dir = folder(s, s->steps[i].parent);
	if (dir && mnt_dir_lookup(s->ns, dir, l->name, l->name_len, &n) == 0)
		return n;
	mnt_ns_settle(s->ns, dir);
	return NULL;
}

static void mark_named(struct search *s, size_t i, const struct fmt_link *l)
{
	struct suspect *x = suspect_find(s, l->ino);
	struct mnt_node *dir = x ? folder(s, i) : NULL, *n;

	if (!dir)
		return;
	if (mnt_dir_lookup(s->ns, dir, l->name, l->name_len, &n) < 0) {
		mnt_ns_settle(s->ns, dir);
		return;
	}
	mark(s, x, n);
	mnt_ns_settle(s->ns, n);
}

static int step_add(struct search *s, uint64_t ino, size_t parent, const struct fmt_link *link)
{
	int r = orch_grow(&s->steps, &s->step_cap, s->step_count + 1, sizeof(*s->steps));

	if (r == 0)
		s->steps[s->step_count++] = (struct step){ino, parent, link};
	return r;
}

/* What the top stratum recorded hangs together from the root. */
static int mark_all(struct search *s)
{
	const struct fmt_overlay *top = mnt_chain_top(&s->ns->chain);
	int r = step_add(s, FMT_ROOT_INO, 0, NULL);

	for (size_t i = 0; r == 0 && i < s->step_count; i++) {
		const struct fmt_link *l;
		uint64_t cookie = 0;

		while (r == 0 && (l = fmt_overlay_links(top, s->steps[i].ino, &cookie))) {
			if (l->ino != 0 && l->type == FMT_DIR)
				r = step_add(s, l->ino, i, l);
			else if (l->ino != 0)
				mark_named(s, i, l);
		}
	}
	return r;
}

/* The names that are left were not recorded (another of its names was, and is gone). */
static int mark_nameless(struct search *s)
{
	struct mnt_nodes *nodes = &s->ns->nodes;

	for (size_t i = 0; i < s->count; i++) {
		struct suspect *x = &s->v[i];
		struct mnt_node *n = x->marked ? NULL : mnt_nodes_by_ino(nodes, x->ino);

		if (x->marked || !fmt_overlay_node(mnt_chain_top(&s->ns->chain), x->ino))
			continue;
		if (!n)
			n = mnt_nodes_add(nodes, x->ino);
		if (!n)
			return -ENOMEM;
		mark(s, x, n);
		mnt_ns_settle(s->ns, n);
	}
	return 0;
}

static int search(struct search *s)
{
	struct mnt_ns *ns = s->ns;
	int spool, r;

	mnt_ns_lock(ns);
	r = collect(s);
	spool = mnt_chain_spool_take(&ns->chain, mnt_chain_top_layer(&ns->chain));
	mnt_ns_unlock(ns);
	if (r == 0)
		question(s, spool);
	mnt_ns_spool_give(ns);
	if (r < 0 || s->count == 0)
		return r;
	mnt_ns_lock(ns);
	r = mark_all(s);
	if (r == 0)
		r = mark_nameless(s);
	mnt_ns_unlock(ns);
	orch_log(ORCH_LOG_INFO, "mount", "writers-outlived", "files=%zu", s->count);
	return r;
}

int mnt_outlived_find(struct mnt_ns *ns)
{
	struct search s = {.ns = ns};
	int r = 0;

	pthread_mutex_lock(&ns->outlived_search);
	if (!ns->outlived_known && !ns->config.after_reboot && !ns->config.read_only)
		r = search(&s);
	ns->outlived_known = r == 0;
	pthread_mutex_unlock(&ns->outlived_search);
	free(s.steps);
	free(s.v);
	return r;
}
