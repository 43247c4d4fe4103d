/*
 * Private content for a file whose bytes are shared (an object, or a sealed layer's file): reflinked
 * where the file system can, else copied, and synced before its record is written. Made in the pool;
 * requests that want the same file meanwhile wait for the one copy.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/fd.h"
#include "fsd/mount/ns_priv.h"

#define LARGE_BYTES (16 << 20) /* of a smaller one the sync is not long either */
#define TRIES	    4	       /* each lost to a seal, or to another change of the same file */

struct waiter {
	struct waiter *next;
	mnt_done_fn *done;
	mnt_gone_fn *gone;
	void *arg;
};

struct mnt_copy {
	struct mnt_ns *ns;
	struct mnt_node *node;	/* pinned */
	struct waiter *waiters; /* ns->lock */
};

/* Who was killed does not wait any more. False: nobody does. */
static bool somebody_waits(void *arg)
{
	struct mnt_copy *copy = arg;
	struct waiter *list, **last;
	bool some;

	mnt_ns_lock(copy->ns);
	list = copy->waiters;
	copy->waiters = NULL;
	mnt_ns_unlock(copy->ns);
	for (last = &list; *last;) {
		struct waiter *w = *last;

		if (!w->gone(w->arg)) {
			last = &w->next;
			continue;
		}
		*last = w->next;
		w->done(w->arg, -EINTR);
		free(w);
	}
	mnt_ns_lock(copy->ns);
	*last = copy->waiters; /* who came meanwhile */
	copy->waiters = list;
	some = list != NULL;
	mnt_ns_unlock(copy->ns);
	return some;
}

/* The size is the node's, not the file's: an object may only have what its entry says. Synced, since the record
 * may reach the disk before the bytes, which have been durable so far: a power cut would take a file that somebody
 * has only opened for writing. */
static int fill(struct mnt_copy *copy, struct mnt_content *from, struct mnt_content *to,
    int64_t mtime_ns, uint64_t *out_size)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, orch_ns_timespec(mtime_ns)};
	struct orch_err err = ORCH_ERR_INIT;
	struct stat st;
	int r = orch_fd_clone_or_copy_while(from->fd, to->fd, somebody_waits, copy, &err);

	if (r < 0 && r != -ECANCELED)
		orch_log_err("mount", "copy-up", &err);
	if (r < 0)
		return r;
	if (futimens(to->fd, times) < 0 || fstat(to->fd, &st) < 0)
		return -errno;
	if (st.st_size > LARGE_BYTES && !somebody_waits(copy))
		return -ECANCELED;
	if (fsync(to->fd) < 0)
		return -errno;
	*out_size = (uint64_t)st.st_size;
	return 0;
}

static int64_t mtime_of(struct mnt_ns *ns, struct mnt_node *n)
{
	struct stat st;

	if (mnt_attr_fill(ns, n, &st) < 0)
		return mnt_ns_state(ns, n)->mtime_ns;
	return orch_timespec_ns(&st.st_mtim);
}

/* With the lock: are the node's bytes still where they were when the copy began? (A node that is open
 * may have them from elsewhere: from a layer that a commit made part of the base meanwhile.) */
static bool still(struct mnt_ns *ns, struct mnt_node *n, const struct mnt_content_key *then)
{
	struct mnt_content_key key = mnt_state_key(mnt_ns_state(ns, n));

	return !n->superseded && key.layer == then->layer && key.id == then->id &&
	       orch_digest_eq(&key.digest, &then->digest);
}

/* *out_used: the node has the copy now. */
static int install(struct mnt_ns *ns, struct mnt_node *n, const struct mnt_content_key *then,
    struct mnt_content *to, uint64_t size, bool *out_used)
{
	int r;

	mnt_ns_lock(ns);
	if (n->superseded)
		r = -ESTALE;
	else if (!still(ns, n, then) || to->key.layer != mnt_chain_top_layer(&ns->chain))
		r = MNT_AGAIN;
	else {
		r = mnt_file_install(ns, n, to, size);
		*out_used = r == 0 || r == -ESTALE;
	}
	mnt_ns_unlock(ns);
	return r;
}

static int copy_once(struct mnt_copy *copy)
{
	struct mnt_ns *ns = copy->ns;
	struct mnt_node *n = copy->node;
	struct mnt_content *from, *to;
	struct mnt_content_key then;
	uint64_t size = 0;
	int64_t mtime;
	bool used = false;
	int r;

	mnt_ns_lock(ns);
	then = mnt_state_key(mnt_ns_state(ns, n));
	mtime = mtime_of(ns, n);
	mnt_ns_unlock(ns);
	r = mnt_file_content(ns, n, &from);
	if (r < 0)
		return r;
	r = mnt_file_new_spool(ns, &to);
	if (r < 0) {
		mnt_content_put(ns->config.contents, from);
		return r;
	}
	r = fill(copy, from, to, mtime, &size);
	if (r == 0)
		r = install(ns, n, &then, to, size, &used);
	mnt_content_put(ns->config.contents, from);
	if (used)
		mnt_content_put(ns->config.contents, to);
	else
		mnt_file_discard(ns, to);
	return r;
}

static int copy_tries(struct mnt_copy *copy)
{
	struct mnt_ns *ns = copy->ns;
	int r = MNT_AGAIN;

	for (int i = 0; i < TRIES && r == MNT_AGAIN; i++) {
		bool done;

		mnt_ns_lock(ns);
		done =
		    !copy->node->shared && mnt_state_is_private(ns, mnt_ns_state(ns, copy->node));
		mnt_ns_unlock(ns);
		r = done ? 0 : copy_once(copy);
	}
	return r;
}

static void copy_run(void *arg)
{
	struct mnt_copy *copy = arg;
	struct mnt_ns *ns = copy->ns;
	struct waiter *list;
	int r = copy_tries(copy);

	mnt_ns_lock(ns);
	while (r == -ECANCELED && copy->waiters) { /* given up, and somebody came before it ended */
		mnt_ns_unlock(ns);
		r = copy_tries(copy);
		mnt_ns_lock(ns);
	}
	list = copy->waiters;
	copy->node->copy = NULL;
	copy->node->pins--;
	mnt_ns_settle(ns, copy->node);
	mnt_ns_unlock(ns);
	free(copy);
	while (list) {
		struct waiter *w = list;

		list = w->next;
		w->done(w->arg, r == MNT_AGAIN ? -EBUSY : r);
		free(w);
	}
}

/* With the lock: 0: a copy is under way and w waits for it; 1: start copy_run; 2: nothing to do. */
static int enlist(struct mnt_ns *ns, uint64_t id, struct waiter *w, struct mnt_copy **out)
{
	struct mnt_node *n = mnt_ns_node(ns, id);
	const struct fmt_node *s;

	n = n ? mnt_ns_current(ns, n) : NULL;
	if (!n)
		return -ESTALE;
	s = mnt_ns_state(ns, n);
	if (s->type != FMT_REG)
		return -EINVAL;
	if (!n->shared && mnt_state_is_private(ns, s))
		return 2;
	if (n->copy) {
		w->next = n->copy->waiters;
		n->copy->waiters = w;
		return 0;
	}
	*out = calloc(1, sizeof(**out));
	if (!*out)
		return -ENOMEM;
	**out = (struct mnt_copy){.ns = ns, .node = n, .waiters = w};
	n->copy = *out;
	n->pins++;
	return 1;
}

void mnt_ns_privatise(
    struct mnt_ns *ns, uint64_t id, mnt_done_fn *done, mnt_gone_fn *gone, void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w));
	struct mnt_copy *copy = NULL;
	int r = -ENOMEM;

	if (w) {
		*w = (struct waiter){.done = done, .gone = gone, .arg = arg};
		mnt_ns_lock(ns);
		r = mnt_ns_may_change(ns);
		if (r == 0)
			r = enlist(ns, id, w, &copy);
		mnt_ns_unlock(ns);
	}
	if (r == 1)
		orch_pool_add(ns->config.pool, copy_run, copy);
	else if (r != 0) {
		free(w);
		done(arg, r == 2 ? 0 : r);
	}
}
