/* Who may write the files of the workspace. See writers.h. */
#include <stdlib.h>
#include <sys/stat.h>
#include "fsd/mount/outside.h"
#include "fsd/mount/writers.h"

struct writer {
	struct mnt_node *node; /* pinned */
	uint32_t
	    write_opens; /* another number later: somebody who does not stand still was there */
	bool bypass;
};

struct mnt_writers {
	struct writer *v; /* by address of the node */
	struct mnt_outside_file *files;
	size_t count;
};

static int by_node(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t)((const struct writer *)a)->node;
	uintptr_t y = (uintptr_t)((const struct writer *)b)->node;

	return x < y ? -1 : x > y;
}

/* A file that nobody opened for writing since the last seal is not in the top layer, or closed. */
static bool may_be_written(struct mnt_ns *ns, const struct mnt_node *n)
{
	return !n->superseded && (n->writers > 0 || n->was_written) &&
	       mnt_state_is_private(ns, mnt_ns_state(ns, n));
}

/* With the lock held. */
static int collect(struct mnt_ns *ns, struct mnt_writers *w)
{
	struct mnt_node *n = NULL;
	size_t bucket = 0;

	w->v = calloc(ns->nodes.count + 1, sizeof(*w->v));
	if (!w->v)
		return -ENOMEM;
	while ((n = mnt_nodes_next(&ns->nodes, &bucket, n))) {
		if (!may_be_written(ns, n))
			continue;
		n->pins++;
		w->v[w->count++] = (struct writer){n, n->write_opens, n->opens > 0 && n->bypass};
	}
	if (w->count > 1)
		qsort(w->v, w->count, sizeof(*w->v), by_node);
	w->files = calloc(w->count + 1, sizeof(*w->files));
	return w->files ? 0 : -ENOMEM;
}

/* What one file is for its users and below. Without passthrough a mapping's stores are in pages that
 * only the kernel has. */
static int identify(
    struct mnt_ns *ns, const struct writer *w, dev_t dev, struct mnt_outside_file *out)
{
	struct mnt_content *c;
	struct stat st;
	int r;

	if (!w->bypass)
		ns->config.notify.flush(ns->config.notify.priv, w->node->id);
	r = mnt_file_content(ns, w->node, &c);
	if (r < 0)
		return r;
	r = fstat(c->fd, &st) < 0 ? -errno : 0;
	mnt_content_put(ns->config.contents, c);
	if (r == 0)
		*out = (struct mnt_outside_file){.dev = dev,
		    .ino = w->node->own.ino,
		    .private_dev = st.st_dev,
		    .private_ino = st.st_ino};
	return r;
}

int mnt_writers_find(
    struct mnt_ns *ns, const int32_t *jobs, size_t count, dev_t dev, struct mnt_writers **out)
{
	struct mnt_writers *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	mnt_ns_lock(ns);
	r = collect(ns, w);
	mnt_ns_unlock(ns);
	for (size_t i = 0; r == 0 && i < w->count; i++)
		r = identify(ns, &w->v[i], dev, &w->files[i]);
	if (r == 0 && w->count > 0)
		r = mnt_outside_find(jobs, count, w->files, w->count);
	if (r < 0) {
		mnt_writers_free(ns, w);
		return r;
	}
	*out = w;
	return 0;
}

bool mnt_writers_still(const struct mnt_writers *w, const struct mnt_node *n)
{
	struct writer key = {.node = (struct mnt_node *)(uintptr_t)n};
	const struct writer *x =
	    w->count > 0 ? bsearch(&key, w->v, w->count, sizeof(key), by_node) : NULL;

	return x && !n->outlived && x->write_opens == n->write_opens && !w->files[x - w->v].found;
}

void mnt_writers_free(struct mnt_ns *ns, struct mnt_writers *w)
{
	if (!w)
		return;
	mnt_ns_lock(ns);
	for (size_t i = 0; i < w->count; i++) {
		w->v[i].node->pins--;
		mnt_ns_settle(ns, w->v[i].node);
	}
	mnt_ns_unlock(ns);
	free(w->files);
	free(w->v);
	free(w);
}
