/* Handles and the contents behind them. See ns.h. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/fd.h"
#include "fsd/mount/ns_priv.h"

struct mnt_handle *mnt_handle_new(int flags, bool writer)
{
	struct mnt_handle *h = calloc(1, sizeof(*h));

	if (h)
		*h = (struct mnt_handle){.flags = flags, .writer = writer};
	return h;
}

void mnt_handle_free(struct mnt_handle *h)
{
	if (h->prev) {
		*h->prev = h->next;
		if (h->next)
			h->next->prev = h->prev;
	}
	free(h);
}

void mnt_handle_add(struct mnt_ns *ns, struct mnt_handle *h)
{
	h->next = ns->open;
	h->prev = &ns->open;
	if (h->next)
		h->next->prev = &h->next;
	ns->open = h;
	ns->handles++;
}

int mnt_handle_backing(const struct mnt_handle *h)
{
	return h->backing;
}

bool mnt_state_is_private(const struct mnt_ns *ns, const struct fmt_node *state)
{
	return state->content == FMT_CONTENT_SPOOL &&
	       state->spool_layer == mnt_chain_top_layer(&ns->chain);
}

struct mnt_content_key mnt_state_key(const struct fmt_node *state)
{
	struct mnt_content_key key = {0};

	if (state->content == FMT_CONTENT_SPOOL) {
		key.layer = state->spool_layer;
		key.id = state->spool_id;
	} else if (state->content == FMT_CONTENT_OBJECT) {
		key.digest = state->digest;
	}
	return key;
}

static bool key_is(const struct mnt_content_key *a, const struct mnt_content_key *b)
{
	return a->layer == b->layer && a->id == b->id && orch_digest_eq(&a->digest, &b->digest);
}

void mnt_state_set_spool(
    const struct mnt_ns *ns, struct fmt_node *state, uint64_t id, uint64_t size)
{
	state->content = FMT_CONTENT_SPOOL;
	state->spool_layer = mnt_chain_top_layer(&ns->chain);
	state->spool_id = id;
	state->size = size;
	state->digest = (struct orch_digest){0};
}

/* What the user of a file gets to see when it can't be opened. */
static int unreadable(const struct mnt_node *n, int r, const struct orch_err *err)
{
	if (r == -ENFILE || r == -ENOMEM || r == -EMFILE || r == -ENOSPC)
		return r;
	orch_log(ORCH_LOG_ERROR, "mount", "content-unreadable", "ino=%llu error=%s",
	    (unsigned long long)n->own.ino, err->msg);
	return -EIO;
}

/* One look at where the content is. *out_key: what was tried. */
static int content_once(struct mnt_ns *ns, struct mnt_node *n, struct mnt_content_key *out_key,
    struct mnt_content **out, struct orch_err *err)
{
	uint64_t size;
	int spool = -1, r;

	mnt_ns_lock(ns);
	*out_key = mnt_state_key(mnt_ns_state(ns, n));
	size = mnt_ns_state(ns, n)->size;
	if (n->content) {
		struct mnt_content *c = n->content;

		mnt_content_ref(ns->config.contents, c);
		mnt_ns_unlock(ns);
		r = mnt_content_check(ns->config.contents, c, err);
		if (r < 0)
			mnt_content_put(ns->config.contents, c);
		else
			*out = c;
		return r;
	}
	spool = mnt_chain_spool_take(&ns->chain, out_key->layer);
	mnt_ns_unlock(ns);
	r = mnt_contents_get(ns->config.contents, out_key, spool, size, out, err);
	mnt_ns_spool_give(ns);
	return r;
}

/* A commit may have moved it between the look and the opening, and its layer may be gone. */
static bool is_elsewhere(struct mnt_ns *ns, struct mnt_node *n, const struct mnt_content_key *tried)
{
	struct mnt_content_key now;

	mnt_ns_lock(ns);
	now = mnt_state_key(mnt_ns_state(ns, n));
	mnt_ns_unlock(ns);
	return !key_is(&now, tried);
}

int mnt_file_content(struct mnt_ns *ns, struct mnt_node *n, struct mnt_content **out)
{
	struct orch_err err = ORCH_ERR_INIT;
	struct mnt_content_key key = {0};
	int r;

	do
		r = content_once(ns, n, &key, out, &err);
	while (r < 0 && is_elsewhere(ns, n, &key));
	return r < 0 ? unreadable(n, r, &err) : 0;
}

static int new_spool(struct mnt_ns *ns, struct mnt_content **out)
{
	struct orch_err err = ORCH_ERR_INIT;
	uint64_t id, layer = 0;
	int spool = -1, r;

	mnt_ns_lock(ns);
	r = mnt_ns_may_change(ns);
	if (r == 0)
		r = mnt_ns_new_spool(ns, &id);
	if (r == 0) {
		layer = mnt_chain_top_layer(&ns->chain);
		spool = mnt_chain_spool_take(&ns->chain, layer);
		ns->spool_dirty = true;
	}
	mnt_ns_unlock(ns);
	if (r < 0)
		return r;
	r = mnt_contents_create(ns->config.contents, layer, id, spool, out, &err);
	mnt_ns_spool_give(ns);
	return r;
}

int mnt_file_new_spool(struct mnt_ns *ns, struct mnt_content **out)
{
	int r = new_spool(ns, out);

	return r == -ENOSPC && mnt_ns_reclaim(ns) ? new_spool(ns, out) : r;
}

void mnt_file_discard(struct mnt_ns *ns, struct mnt_content *c)
{
	struct mnt_content_key key = c->key;
	char name[24];
	int spool;

	mnt_content_put(ns->config.contents, c);
	mnt_contents_drop(ns->config.contents, &key);
	mnt_spool_name(key.id, name);
	mnt_ns_lock(ns);
	/* broken: the log may name it although nobody was answered; the next mount knows */
	spool = mnt_chain_spool_take(&ns->chain, ns->broken ? 0 : key.layer);
	mnt_ns_unlock(ns);
	if (spool >= 0)
		(void)unlinkat(spool, name, 0);
	mnt_ns_spool_give(ns);
}

/* ---- new content for a node */

/* A state whose borrowed parts are copied, for a node that no record describes any more. */
static int state_keep(const struct fmt_node *state, struct fmt_node *out, void **out_memory)
{
	uint8_t *memory = NULL;

	*out = *state;
	if (state->xattrs.len > 0) {
		memory = malloc(state->xattrs.len);
		if (!memory)
			return -ENOMEM;
		memcpy(memory, state->xattrs.p, state->xattrs.len);
		out->xattrs.p = memory;
	}
	*out_memory = memory;
	return 0;
}

/* The names get a new node when they are looked up again; this one serves its handles only. */
static void supersede(struct mnt_ns *ns, struct mnt_node *n)
{
	const struct mnt_notify *notify = &ns->config.notify;

	mnt_nodes_supersede(&ns->nodes, n);
	notify->attr(notify->priv, n->id); /* which it was told for ever */
	n->successor = mnt_ns_current(ns, n);
	if (n->successor)
		n->successor->pins++;
	if (n->outlived) { /* its names have other bytes now; it is open, so it stays */
		n->outlived = false;
		n->pins--;
	}
	while (n->names) {
		struct mnt_name *name = n->names;

		n->last_note = notify->entry(notify->priv, name->parent->id, name->name, name->len);
		mnt_ns_settle(ns, mnt_node_name_pop(n));
	}
}

static int install_commit(
    struct mnt_ns *ns, struct mnt_node *n, struct mnt_content *c, uint64_t size)
{
	struct fmt_node s = *mnt_ns_state(ns, n);

	mnt_txn_begin(ns);
	mnt_txn_pin(ns, n);
	mnt_state_set_spool(ns, &s, c->key.id, size);
	s.written_seq = mnt_txn_seq(ns);
	mnt_txn_node(ns, &s);
	return mnt_txn_commit(ns);
}

int mnt_file_install(struct mnt_ns *ns, struct mnt_node *n, struct mnt_content *c, uint64_t size)
{
	struct fmt_node kept;
	void *memory = NULL;
	int r = state_keep(mnt_ns_state(ns, n), &kept, &memory);

	if (r == 0)
		r = install_commit(ns, n, c, size);
	if (r < 0) {
		free(memory);
		return r;
	}
	n->shared = false;
	if (mnt_state_is_private(ns, &kept)) /* it was shared, or is truncated */
		mnt_ns_doom(ns, &kept);
	if (n->opens > 0 && n->bypass) {
		supersede(ns, n);
		free(n->own_memory);
		n->own = kept;
		n->own_memory = memory;
		return -ESTALE;
	}
	free(memory);
	if (n->opens > 0) {
		mnt_content_put(ns->config.contents, n->content);
		mnt_content_ref(ns->config.contents, c);
		n->content = c;
	}
	return 0;
}

int mnt_file_make_empty(struct mnt_ns *ns, uint64_t id)
{
	struct mnt_content *c;
	struct mnt_node *n;
	int r = mnt_file_new_spool(ns, &c);

	if (r < 0)
		return r;
	mnt_ns_lock(ns);
	n = mnt_ns_node(ns, id);
	if (n && n->opens == 0)
		n = mnt_ns_current(ns, n);
	if (!n || n->superseded)
		r = -ENOENT;
	else if (c->key.layer != mnt_chain_top_layer(&ns->chain))
		r = MNT_AGAIN; /* sealed meanwhile */
	else
		r = mnt_file_install(ns, n, c, 0);
	mnt_ns_unlock(ns);
	if (r == 0 || r == -ESTALE)
		mnt_content_put(ns->config.contents, c);
	else
		mnt_file_discard(ns, c);
	return r == -ENOENT ? -ESTALE : r;
}

/* ---- open and release */

/* Who opens a superseded node by a name that the kernel has not forgotten yet is to look again, and finds the new
 * one. Who comes later, and a second time (the first may have been under way), has it by a descriptor
 * (/proc/self/fd): the old content while that is open, for nobody but readers, and then the file. NULL: it can't be
 * opened. */
static struct mnt_node *by_descriptor(struct mnt_ns *ns, struct mnt_node *n, bool writer)
{
	const struct mnt_notify *notify = &ns->config.notify;

	if (!notify->wait_sent(notify->priv, n->last_note, 0))
		return NULL;
	if (!n->refused) {
		n->refused = true;
		return NULL;
	}
	if (n->opens == 0)
		return mnt_ns_current(ns, n);
	return writer ? NULL : n;
}

static int open_check(struct mnt_ns *ns, uint64_t id, bool writer, struct mnt_node **out)
{
	struct mnt_node *n;
	int r = writer ? mnt_ns_may_change(ns) : 0;
	const struct fmt_node *s;

	if (r < 0)
		return r;
	n = mnt_ns_node(ns, id);
	if (n && n->superseded)
		n = by_descriptor(ns, n, writer);
	*out = n;
	if (!n)
		return -ESTALE;
	s = mnt_ns_state(ns, n);
	if (s->type != FMT_REG)
		return s->type == FMT_DIR ? -EISDIR : -ENXIO;
	return writer && (n->shared || !mnt_state_is_private(ns, s)) ? MNT_AGAIN : 0;
}

/* Says that the file may have been written, so that a question for changes finds it. */
static int record_written(struct mnt_ns *ns, struct mnt_node *n)
{
	struct fmt_node s = *mnt_ns_state(ns, n);

	if (s.written_seq > ns->reported_seq || n->superseded)
		return 0;
	mnt_txn_begin(ns);
	mnt_txn_pin(ns, n);
	s.written_seq = mnt_txn_seq(ns);
	mnt_txn_node(ns, &s);
	return mnt_txn_commit(ns);
}

/* Stores through a mapping move the file's mtime behind the kernel's back. */
static void tell_times(struct mnt_ns *ns, struct mnt_node *n)
{
	struct stat st;

	if (n->superseded || fstat(n->content->fd, &st) < 0)
		return;
	if (orch_timespec_ns(&st.st_mtim) == n->told_mtime_ns &&
	    (uint64_t)st.st_size == n->told_size)
		return;
	n->told_mtime_ns = orch_timespec_ns(&st.st_mtim);
	n->told_size = (uint64_t)st.st_size;
	ns->config.notify.attr(ns->config.notify.priv, n->id);
}

/* An empty file of the base: a lock, or one that somebody waits for. Through this process whoever comes to write
 * it has the same node, so he meets the lock and is seen; and of nothing there is nothing to copy. */
static bool awaits_content(struct mnt_ns *ns, struct mnt_node *n, const struct mnt_content *c)
{
	const struct fmt_node *s = mnt_ns_state(ns, n);
	struct stat st;

	if (mnt_state_is_private(ns, s) || (s->content != FMT_CONTENT_SPOOL && s->size > 0))
		return false;
	return fstat(c->fd, &st) == 0 && st.st_size == 0;
}

/* The node has c now for this handle too; the reference of c is consumed when 0 is returned.
 * MNT_AGAIN: things changed while it was opened. */
static int attach(struct mnt_ns *ns, struct mnt_handle *h, struct mnt_content *c)
{
	struct mnt_node *n = h->node;
	struct mnt_content_key key = mnt_state_key(mnt_ns_state(ns, n));
	int r;

	if (n->superseded && (h->writer || !n->content))
		return -ESTALE;
	if (n->content ? n->content != c : !key_is(&key, &c->key))
		return MNT_AGAIN;
	if (h->writer && !mnt_state_is_private(ns, mnt_ns_state(ns, n)))
		return MNT_AGAIN; /* sealed meanwhile */
	r = h->writer ? record_written(ns, n) : 0;
	if (r < 0)
		return r;
	if (n->content) {
		mnt_content_put(ns->config.contents, c);
	} else {
		n->content = c;
		n->bypass = c->backing > 0 && (h->writer || !awaits_content(ns, n, c));
	}
	h->backing = n->bypass ? n->content->backing : 0;
	if (n->bypass && n->was_written)
		tell_times(ns, n); /* a mapping may be left of who closed it */
	n->opens++;
	n->writers += h->writer;
	n->was_written |= h->writer;
	n->write_opens += h->writer;
	mnt_handle_add(ns, h);
	return 0;
}

/* While a seal is at work on it, it has one name more: the sealed layer's, until that has a copy. */
bool mnt_file_is_shared(struct mnt_ns *ns, const struct mnt_node *n, const struct mnt_content *c)
{
	struct stat st;
	nlink_t own;

	if (fstat(c->fd, &st) < 0)
		return false;
	mnt_ns_lock(ns);
	own = n->moved ? 2 : 1;
	mnt_ns_unlock(ns);
	return st.st_nlink > own;
}

bool mnt_file_is_written(struct mnt_ns *ns, const struct mnt_content_key *key, int spool)
{
	char name[24];
	bool written;
	int fd;

	mnt_contents_drop(ns->config.contents, key);
	mnt_spool_name(key->id, name);
	fd = openat(spool, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return errno != ENOENT;
	/* a read lease is refused while a writer exists; a writable mapping counts as one */
	written = fcntl(fd, F_SETLEASE, F_RDLCK) < 0;
	if (!written)
		(void)fcntl(fd, F_SETLEASE, F_UNLCK);
	orch_fd_close(fd);
	return written;
}

static int open_node(struct mnt_ns *ns, struct mnt_handle *h)
{
	struct mnt_content *c;
	bool shared;
	int r = mnt_file_content(ns, h->node, &c);

	if (r < 0)
		return r;
	shared = h->writer && mnt_file_is_shared(ns, h->node, c);
	if (h->flags & O_TRUNC && !shared && ftruncate(c->fd, 0) < 0)
		r = -errno;
	mnt_ns_lock(ns);
	h->node->shared |= shared;
	if (r == 0)
		r = shared ? MNT_AGAIN : attach(ns, h, c);
	mnt_ns_unlock(ns);
	if (r != 0)
		mnt_content_put(ns->config.contents, c);
	return r;
}

static bool quick(struct mnt_ns *ns, const struct mnt_node *n)
{
	const struct fmt_node *s = mnt_ns_state(ns, n);
	struct mnt_content_key key = mnt_state_key(s);

	return mnt_contents_is_quick(ns->config.contents, &key, s->size);
}

static int open_once(struct mnt_ns *ns, uint64_t id, struct mnt_handle *h, bool may_block)
{
	int r;

	mnt_ns_lock(ns);
	r = open_check(ns, id, h->writer, &h->node);
	if (r == 0 && !may_block && !quick(ns, h->node))
		r = MNT_SLOW;
	if (r == 0) {
		h->node->pins++;
		h->node->writers += h->writer; /* a seal must not take it for unwritten */
	}
	mnt_ns_unlock(ns);
	if (r == MNT_AGAIN && (h->flags & O_TRUNC)) {
		r = mnt_file_make_empty(ns, id);
		return r == 0 ? MNT_AGAIN : r;
	}
	if (r != 0)
		return r;
	r = open_node(ns, h);
	mnt_ns_lock(ns);
	h->node->pins--;
	h->node->writers -= h->writer;
	mnt_ns_unlock(ns);
	return r;
}

#define OPEN_TRIES 8 /* each lost to another change of the same file */
#define SENT_MS	   2000

static int open_tries(struct mnt_ns *ns, uint64_t id, struct mnt_handle *h, bool may_block)
{
	int r = MNT_AGAIN;

	for (int i = 0; i < OPEN_TRIES && r == MNT_AGAIN; i++) {
		r = open_once(ns, id, h, may_block);
		if (r == MNT_AGAIN && h->writer && !(h->flags & O_TRUNC))
			break; /* the caller has it copied */
	}
	return r == MNT_AGAIN && !h->writer ? -EBUSY : r;
}

/* Of a superseded node, as long as it is not sent: by then it is clear who comes by a name. 0: there is none. */
static uint64_t unsent_note(struct mnt_ns *ns, uint64_t id)
{
	const struct mnt_notify *notify = &ns->config.notify;
	const struct mnt_node *n;
	uint64_t note = 0;

	mnt_ns_lock(ns);
	n = mnt_ns_node(ns, id);
	if (n && n->superseded && !notify->wait_sent(notify->priv, n->last_note, 0))
		note = n->last_note;
	mnt_ns_unlock(ns);
	return note;
}

static int open_when_sent(
    struct mnt_ns *ns, uint64_t id, uint64_t note, struct mnt_handle *h, bool may_block)
{
	const struct mnt_notify *notify = &ns->config.notify;

	if (!may_block)
		return MNT_SLOW;
	(void)!notify->wait_sent(notify->priv, note, orch_deadline_in_ms(SENT_MS));
	return open_tries(ns, id, h, may_block);
}

int mnt_ns_open(struct mnt_ns *ns, uint64_t id, int flags, bool may_block, struct mnt_handle **out)
{
	bool writer = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
	struct mnt_handle *h = mnt_handle_new(flags, writer);
	uint64_t note;
	int r;

	if (!h)
		return -ENOMEM;
	r = open_tries(ns, id, h, may_block);
	note = r == -ESTALE ? unsent_note(ns, id) : 0;
	if (note > 0)
		r = open_when_sent(ns, id, note, h, may_block);
	if (r != 0)
		mnt_handle_free(h);
	else
		*out = h;
	return r;
}

void mnt_ns_release(struct mnt_ns *ns, struct mnt_handle *h)
{
	struct mnt_node *n = h->node;

	mnt_ns_lock(ns);
	ns->handles--;
	n->opens--;
	if (h->writer) {
		n->writers--;
		if (!ns->broken && record_written(ns, n) < 0)
			orch_log(ORCH_LOG_WARN, "mount", "write-not-recorded", "ino=%llu",
			    (unsigned long long)n->own.ino);
		if (n->bypass)
			tell_times(ns, n);
	}
	if (n->opens == 0) {
		mnt_content_put(ns->config.contents, n->content);
		n->content = NULL;
	}
	mnt_ns_settle(ns, n);
	mnt_handle_free(h);
	mnt_ns_unlock(ns);
}

bool mnt_ns_hides_stores(struct mnt_ns *ns, const struct mnt_handle *h)
{
	bool may;

	mnt_ns_lock(ns);
	may = !h->node->bypass && (h->node->writers > 0 || h->node->was_written);
	mnt_ns_unlock(ns);
	return may;
}

struct mnt_content *mnt_ns_handle_content(struct mnt_ns *ns, const struct mnt_handle *h)
{
	struct mnt_content *c;

	mnt_ns_lock(ns);
	c = h->node->content;
	mnt_content_ref(ns->config.contents, c);
	mnt_ns_unlock(ns);
	return c;
}

/* ---- durability */

int mnt_ns_sync_spool(struct mnt_ns *ns)
{
	bool dirty;
	int fd, r = 0;

	pthread_mutex_lock(&ns->spool_sync);
	mnt_ns_lock(ns);
	dirty = ns->spool_dirty;
	ns->spool_dirty = false;
	fd = mnt_chain_spool_take(&ns->chain, mnt_chain_top_layer(&ns->chain));
	mnt_ns_unlock(ns);
	if (dirty)
		r = orch_fd_sync(fd);
	mnt_ns_spool_give(ns);
	pthread_mutex_unlock(&ns->spool_sync);
	return r;
}

/* The log of a layer that was sealed a moment ago comes first: the new one stands on it. */
int mnt_ns_sync_log(struct mnt_ns *ns)
{
	struct mnt_log *previous = NULL, *log;
	int r = 0;

	if (ns->config.read_only)
		return 0;
	mnt_ns_lock(ns);
	r = mnt_txn_look(ns);
	log = mnt_log_ref(ns->chain.log);
	if (ns->previous)
		previous = mnt_log_ref(ns->previous);
	mnt_ns_unlock(ns);
	if (r == 0 && previous)
		r = mnt_log_sync(previous);
	if (r == 0)
		r = mnt_log_sync(log);
	mnt_log_close(previous);
	mnt_log_close(log);
	return r;
}

int mnt_ns_fsync(struct mnt_ns *ns, const struct mnt_handle *h, bool data_only)
{
	struct mnt_content *c;
	int r = 0;

	if (h) {
		c = mnt_ns_handle_content(ns, h);
		if (c->is_private && (data_only ? fdatasync(c->fd) : fsync(c->fd)) < 0)
			r = -errno;
		mnt_content_put(ns->config.contents, c);
	}
	/* the log names private files: they come first, also when only names are wanted */
	if (r == 0 && !ns->config.read_only)
		r = mnt_ns_sync_spool(ns);
	return r < 0 ? r : mnt_ns_sync_log(ns);
}

int mnt_ns_sync(struct mnt_ns *ns)
{
	int fd, r = 0;

	mnt_ns_lock(ns);
	fd =
	    fcntl(mnt_chain_spool(&ns->chain, mnt_chain_top_layer(&ns->chain)), F_DUPFD_CLOEXEC, 0);
	mnt_ns_unlock(ns);
	if (fd < 0 || syncfs(fd) < 0)
		r = -errno;
	orch_fd_close(fd);
	return r < 0 ? r : mnt_ns_sync_log(ns);
}
