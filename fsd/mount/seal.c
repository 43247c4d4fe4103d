/*
 * Seal: the top layer becomes immutable in one instant, the next one takes its place. A private file
 * that may still be written (a writer has it open, or a mapping outlived its descriptor) is moved to
 * the new layer's spool by a second name, since an open descriptor can't be stopped; afterwards,
 * without the lock, the sealed layer's name gets a copy of its own (reflink where there is one).
 * Jobs whose control groups came along stand still from before the instant until the copies are made
 * (not until they are durable): then a file that only they can write is copied as it was then.
 * Killed anywhere between, the file has two names and both layers are whole: opening it for writing
 * finds the second name and copies it up.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "core/fd.h"
#include "core/grow.h"
#include "fsd/mount/ns_priv.h"
#include "fsd/mount/pause.h"
#include "fsd/mount/writers.h"

struct moved {
	struct mnt_node *node; /* pinned */
	uint64_t old_id, new_id;
	bool writer, unlinked;
	char *path; /* of a file with a writer */
	bool copied;
	bool exact;	  /* it was not written between the instant and the end of its copy */
	int64_t mtime_ns; /* of what was copied */
};

struct seal {
	struct mnt_ns *ns;
	uint64_t old_layer;
	int old_spool;
	struct moved *files;
	size_t count, cap;
	struct mnt_pause *pause;     /* NULL: nobody stands still */
	struct mnt_writers *writers; /* NULL: not known */
	bool lost;		     /* sealed, but not recorded where the files are */
};

/* ---- writers that nobody counts, mappings without a descriptor and what outlived an earlier mount
 * process: looked for before the instant, since there may be many files */

struct suspect {
	uint64_t id;
	struct mnt_content_key key;
	uint32_t write_opens;
};

static bool is_suspect(struct mnt_ns *ns, const struct mnt_node *n)
{
	return n->was_written && n->writers == 0 && n->opens == 0 && !n->superseded &&
	       mnt_state_is_private(ns, mnt_ns_state(ns, n));
}

static size_t suspects_collect(struct mnt_ns *ns, struct suspect **out)
{
	struct mnt_node *n = NULL;
	size_t bucket = 0, count = 0;
	struct suspect *v = calloc(ns->nodes.count + 1, sizeof(*v));

	while (v && (n = mnt_nodes_next(&ns->nodes, &bucket, n)))
		if (is_suspect(ns, n))
			v[count++] = (struct suspect){
			    n->id, mnt_state_key(mnt_ns_state(ns, n)), n->write_opens};
	*out = v;
	return count;
}

/* Clears was_written where no mapping is left; takes the lock. */
static void clear_suspects(struct mnt_ns *ns)
{
	struct suspect *v;
	size_t count;
	int spool;

	mnt_ns_lock(ns);
	count = suspects_collect(ns, &v);
	spool = mnt_chain_spool(&ns->chain, mnt_chain_top_layer(&ns->chain));
	mnt_ns_unlock(ns);
	for (size_t i = 0; i < count; i++) {
		struct mnt_node *n;

		if (mnt_file_is_written(ns, &v[i].key, spool))
			continue;
		mnt_ns_lock(ns);
		n = mnt_ns_node(ns, v[i].id);
		if (n && n->write_opens == v[i].write_opens && n->writers == 0) {
			n->was_written = false;
			mnt_outlived_clear(ns, n);
		}
		mnt_ns_unlock(ns);
	}
	free(v);
}

/* ---- the instant, with the lock held */

static bool may_be_written(struct mnt_ns *ns, struct mnt_node *n, int spool)
{
	struct mnt_content_key key = mnt_state_key(mnt_ns_state(ns, n));

	if (n->writers > 0)
		return true;
	if (!n->was_written)
		return false;
	return n->opens > 0 || mnt_file_is_written(ns, &key, spool);
}

static int add_file(struct seal *s, struct mnt_node *n, const struct fmt_node *state, bool writer)
{
	orch_auto(buf) struct orch_buf path = ORCH_BUF_INIT;
	int r = orch_grow(&s->files, &s->cap, s->count + 1, sizeof(*s->files));

	if (r < 0)
		return r;
	s->files[s->count] = (struct moved){.node = n,
	    .old_id = state->spool_id,
	    .new_id = s->ns->next_spool + s->count,
	    .writer = writer,
	    .unlinked = state->nlink == 0};
	if (writer && state->nlink > 0 && mnt_node_path(s->ns, n, &path) == 0)
		s->files[s->count].path = orch_buf_take_str(&path);
	n->pins++;
	s->count++;
	return 0;
}

static int collect(struct seal *s)
{
	struct mnt_ns *ns = s->ns;
	struct mnt_node *n = NULL;
	size_t bucket = 0;
	int r = 0;

	while (r == 0 && (n = mnt_nodes_next(&ns->nodes, &bucket, n))) {
		const struct fmt_node *state = mnt_ns_state(ns, n);
		bool writer;

		if (n->superseded || !mnt_state_is_private(ns, state))
			continue;
		writer = may_be_written(ns, n, s->old_spool);
		if (writer || state->nlink == 0)
			r = add_file(s, n, state, writer);
	}
	return r;
}

/* A name that it has now already is a sealed layer's (see newtop.h); soon it can't be told from ours. */
static void note_shared(struct seal *s, const struct moved *f)
{
	char name[24];
	struct stat st;

	mnt_spool_name(f->old_id, name);
	if (!f->writer && fstatat(s->old_spool, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    st.st_nlink > 1)
		f->node->shared = true;
}

/* Second names in the new spool; undone when one fails. */
static int link_files(struct seal *s, int new_spool)
{
	char from[24], to[24];
	size_t i;
	int r = 0;

	for (i = 0; i < s->count; i++) {
		mnt_spool_name(s->files[i].old_id, from);
		mnt_spool_name(s->files[i].new_id, to);
		note_shared(s, &s->files[i]);
		if (linkat(s->old_spool, from, new_spool, to, 0) < 0) {
			r = -errno;
			break;
		}
	}
	while (r < 0 && i-- > 0) {
		mnt_spool_name(s->files[i].new_id, to);
		(void)unlinkat(new_spool, to, 0);
	}
	return r;
}

/* Unlinked nodes that are still known live on in the new layer only; they leave with it. */
static void carry_unlinked(struct mnt_ns *ns)
{
	struct mnt_node *n = NULL;
	size_t bucket = 0;

	while ((n = mnt_nodes_next(&ns->nodes, &bucket, n))) {
		const struct fmt_node *state = mnt_ns_state(ns, n);

		if (!n->superseded && state->nlink == 0)
			mnt_txn_node(ns, state);
	}
}

/* The first transaction of the new layer: where the moved files are now. */
static int record_moved(struct seal *s)
{
	struct mnt_ns *ns = s->ns;

	mnt_txn_begin(ns);
	carry_unlinked(ns);
	for (size_t i = 0; i < s->count; i++)
		mnt_txn_pin(ns, s->files[i].node);
	for (size_t i = 0; i < s->count; i++) {
		struct fmt_node state = *mnt_ns_state(ns, s->files[i].node);

		mnt_state_set_spool(ns, &state, s->files[i].new_id, state.size);
		if (s->files[i].writer)
			state.written_seq = mnt_txn_seq(ns);
		mnt_txn_node(ns, &state);
	}
	return mnt_txn_commit(ns);
}

static void rekey_moved(struct seal *s)
{
	struct mnt_ns *ns = s->ns;

	for (size_t i = 0; i < s->count; i++) {
		struct moved *f = &s->files[i];

		if (f->node->content)
			mnt_content_rekey(ns->config.contents, f->node->content,
			    mnt_chain_top_layer(&ns->chain), f->new_id);
		f->node->moved = true;
	}
}

/* SEALED in the old log, then the new layer on top. On failure nothing has happened. */
static int switch_layers(struct seal *s, struct mnt_chain_next *next, struct mnt_log **out_old)
{
	struct mnt_ns *ns = s->ns;
	int r;

	mnt_txn_begin(ns);
	mnt_txn_sealed(ns, next->layer.id);
	r = mnt_txn_commit(ns);
	if (r < 0)
		return r;
	*out_old = mnt_chain_push(&ns->chain, next);
	ns->previous = mnt_log_ref(*out_old);
	ns->spool_dirty = true;
	return 0;
}

/* Who has the files open writes on into what is the sealed layer's now: no copies take its names, and
 * nobody may build on it. Memory ran out, or far more writers came than there was room for. */
static int not_recorded(struct seal *s, int r, struct orch_err *err)
{
	int spool = mnt_chain_spool(&s->ns->chain, mnt_chain_top_layer(&s->ns->chain));
	char name[24];

	for (size_t i = 0; i < s->count && !s->ns->broken; i++) { /* broken: the log does say it */
		mnt_spool_name(s->files[i].new_id, name);
		(void)unlinkat(spool, name, 0);
	}
	s->ns->broken = true;
	s->lost = true;
	orch_log(ORCH_LOG_ERROR, "mount", "seal-not-recorded", "errno=%s", orch_err_name(-r));
	return orch_err_sys(err, -r,
	    "layer %llu was sealed, but not where its open files are now: nothing can be changed "
	    "until the workspace is mounted again",
	    (unsigned long long)s->old_layer);
}

static int seal_locked(struct seal *s, struct mnt_chain_next *next, struct mnt_log **out_old,
    struct mnt_sealed *out, struct orch_err *err)
{
	struct mnt_ns *ns = s->ns;
	int r = mnt_chain_reserve(&ns->chain);

	if (r < 0)
		return orch_err_sys(err, -r, "seal");
	s->old_layer = mnt_chain_top_layer(&ns->chain);
	s->old_spool = mnt_chain_spool(&ns->chain, s->old_layer);
	r = collect(s);
	if (r < 0)
		return orch_err_sys(err, -r, "seal");
	ns->next_spool += s->count;
	if (ns->next_spool > ns->chain.head.next_spool)
		ns->chain.head.next_spool = ns->next_spool;
	r = link_files(s, next->layer.spool_fd);
	if (r == 0)
		r = switch_layers(s, next, out_old);
	if (r < 0)
		return orch_err_sys(err, -r, "seal layer %llu", (unsigned long long)s->old_layer);
	ns->reported_seq = ns->chain.head.seq;
	*out = (struct mnt_sealed){.sealed = s->old_layer,
	    .layer = ns->chain.head.layer,
	    .layers = ns->chain.layer_count,
	    .seq = ns->chain.head.seq,
	    .next_ino = ns->chain.head.next_ino};
	r = record_moved(s);
	if (r == 0)
		rekey_moved(s);
	return r < 0 ? not_recorded(s, r, err) : 0;
}

/* ---- afterwards, without the lock */

static void copy_name(const struct moved *f, char out[32])
{
	char name[24];

	mnt_spool_name(f->old_id, name);
	snprintf(out, 32, "tmp.%s", name);
}

static int copy_content(struct seal *s, struct moved *f, int from)
{
	orch_auto(fd) int to = -1;
	struct orch_err err = ORCH_ERR_INIT;
	char name[32];
	struct stat st;
	int r;

	if (fstat(from, &st) < 0)
		return -errno;
	copy_name(f, name);
	to = openat(s->old_spool, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (to < 0)
		return -errno;
	f->mtime_ns = orch_timespec_ns(&st.st_mtim);
	r = orch_fd_clone_or_copy(from, to, NULL, NULL, &err);
	if (r < 0)
		(void)unlinkat(s->old_spool, name, 0);
	return r;
}

/* The bytes that the sealed layer gets, beside the name that both share. */
static int make_copy(struct seal *s, struct moved *f)
{
	struct mnt_content *c;
	int r = mnt_file_content(s->ns, f->node, &c);

	if (r < 0)
		return r;
	r = copy_content(s, f, c->fd);
	mnt_content_put(s->ns->config.contents, c);
	f->copied = r == 0;
	return r;
}

/* With the pause, if there is one: what is copied when it is over was not seen at the instant. */
static int make_copies(struct seal *s)
{
	int first = 0;

	for (size_t i = 0; i < s->count; i++) {
		struct moved *f = &s->files[i];
		int r = f->unlinked ? 0 : make_copy(s, f);

		f->exact = r == 0 && s->writers && mnt_pause_holds(s->pause);
		if (r < 0 && first == 0)
			first = r;
	}
	if (!s->writers)
		return first;
	mnt_ns_lock(s->ns);
	for (size_t i = 0; i < s->count; i++)
		s->files[i].exact &= mnt_writers_still(s->writers, s->files[i].node);
	mnt_ns_unlock(s->ns);
	return first;
}

/* The sealed layer's name is the copy's from now on. */
static int give_copy(struct seal *s, const struct moved *f)
{
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, orch_ns_timespec(f->mtime_ns)};
	orch_auto(fd) int fd = -1;
	char name[24], copy[32];
	int r;

	copy_name(f, copy);
	fd = openat(s->old_spool, copy, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	r = futimens(fd, times) < 0 ? -errno : orch_fd_sync(fd);
	mnt_spool_name(f->old_id, name);
	if (r == 0)
		r = orch_rename(s->old_spool, copy, s->old_spool, name, 0);
	if (r < 0)
		(void)unlinkat(s->old_spool, copy, 0);
	return r;
}

static int give_copies(struct seal *s)
{
	int first = 0;

	for (size_t i = 0; i < s->count; i++) {
		struct moved *f = &s->files[i];
		int r = f->copied ? give_copy(s, f) : 0;

		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}

/* Their names in the sealed layer; only once its log, which says that they were unlinked, is durable. */
static void forget_unlinked(struct seal *s)
{
	char name[24];

	for (size_t i = 0; i < s->count; i++) {
		if (!s->files[i].unlinked)
			continue;
		mnt_spool_name(s->files[i].old_id, name);
		if (unlinkat(s->old_spool, name, 0) < 0)
			orch_log(ORCH_LOG_WARN, "mount", "spool-not-removed", "file=%s errno=%s",
			    name, orch_err_name(errno));
	}
}

static void release_files(
    struct seal *s, void (*seen)(void *arg, const char *path), void *arg, bool copied)
{
	struct mnt_ns *ns = s->ns;

	for (size_t i = 0; i < s->count; i++) {
		struct moved *f = &s->files[i];

		if (f->writer && !f->unlinked && copied && !f->exact)
			seen(arg, f->path);
		free(f->path);
		mnt_ns_lock(ns);
		f->node->moved = false;
		f->node->pins--;
		mnt_ns_settle(ns, f->node);
		mnt_ns_unlock(ns);
	}
	free(s->files);
}

/* The sealed layer's log is durable, then forgotten. */
static int finish_log(struct mnt_ns *ns, struct mnt_log *old)
{
	int r = mnt_log_sync(old);

	mnt_ns_lock(ns);
	mnt_log_close(ns->previous);
	ns->previous = NULL;
	mnt_ns_unlock(ns);
	mnt_log_close(old);
	return r;
}

/* What was sealed is durable: the names in its spool before the log that speaks of them. */
static int settle(struct seal *s, struct mnt_log *old)
{
	int copies = give_copies(s), names = orch_fd_sync(s->old_spool), log;

	log = finish_log(s->ns, old);
	if (names == 0 && log == 0 && !s->lost)
		forget_unlinked(s);
	return copies < 0 ? copies : names < 0 ? names : log;
}

#define NODE_BYTES 256 /* of its record and that of its entry, without name and attributes */
#define ROOM_LEAST ((size_t)64 << 10)

/* With the lock: what record_moved may have to write, rather too much. (More writers may come until the
 * instant; that is what the least is for.) */
static size_t room_needed(struct mnt_ns *ns)
{
	struct mnt_node *n = NULL;
	size_t bucket = 0, room = ROOM_LEAST;

	while ((n = mnt_nodes_next(&ns->nodes, &bucket, n))) {
		const struct fmt_node *state = mnt_ns_state(ns, n);

		if (n->superseded || (state->nlink > 0 && n->writers == 0 && !n->was_written))
			continue;
		room += NODE_BYTES + state->xattrs.len;
		for (const struct mnt_node *x = n; x && x->names && room < FMT_TXN_MAX;
		     x = x->names->parent)
			room += NODE_BYTES + FMT_NAME_MAX;
	}
	return room < FMT_TXN_MAX ? room : FMT_TXN_MAX;
}

static int prepare(
    struct mnt_ns *ns, uint64_t layer, struct mnt_chain_next *out, struct orch_err *err)
{
	struct fmt_layer_head head;
	size_t count, room;
	int r;

	mnt_ns_lock(ns);
	r = mnt_ns_may_change(ns);
	room = room_needed(ns);
	head = ns->chain.head;
	count = ns->chain.layer_count;
	mnt_ns_unlock(ns);
	if (r < 0)
		return orch_err_sys(err, -r, "seal");
	if (layer == 0 || layer == head.layer)
		return orch_err_set(err, EINVAL, "seal: no layer to go on in");
	if (count >= MNT_LAYERS_MAX)
		return orch_err_set(err, EOVERFLOW,
		    "seal: %zu layers lie on each other, and no more are possible; a commit makes "
		    "them one",
		    count);
	return mnt_chain_prepare(ns->config.layers_fd, &head, layer, room, out, err);
}

/* ---- the jobs */

/* They stand still from here on. What fails costs only the certainty. */
static void stop_jobs(struct seal *s, const struct mnt_seal *ask)
{
	struct orch_err err = ORCH_ERR_INIT;
	const int32_t *pids;
	size_t count;
	int r;

	if (ask->group_count == 0)
		return;
	r = mnt_pause_begin(ask->groups, ask->group_count, ask->pause_ms, &s->pause, &err);
	if (r < 0) {
		orch_log(ORCH_LOG_WARN, "mount", "not-paused", "error=%s", err.msg);
		return;
	}
	pids = mnt_pause_pids(s->pause, &count);
	r = ask->dev ? mnt_writers_find(s->ns, pids, count, ask->dev, &s->writers) : -ENODEV;
	if (r < 0)
		orch_log(ORCH_LOG_WARN, "mount", "writers-unknown", "error=%s", orch_err_name(-r));
}

static void let_jobs_go(struct seal *s, struct mnt_sealed *out)
{
	if (!s->pause)
		return;
	out->paused_ns = mnt_pause_end(s->pause);
	s->pause = NULL;
}

/* The old log, if the seal came to pass. */
static int seal_and_copy(struct seal *s, struct mnt_chain_next *next, struct mnt_log **out_old,
    struct mnt_sealed *out, struct orch_err *err)
{
	int copies = 0, r;

	mnt_ns_lock(s->ns);
	r = seal_locked(s, next, out_old, out, err);
	mnt_ns_unlock(s->ns);
	out->paused = r == 0 && s->pause && mnt_pause_holds(s->pause);
	if (*out_old && !s->lost)
		copies = make_copies(s);
	return r < 0 ? r : copies;
}

/* True when there is nothing to seal. A writer, a file that lost its names: each is recorded, so an empty
 * stratum says that there is none. */
static bool is_shared(struct mnt_ns *ns, struct mnt_sealed *out)
{
	const struct fmt_layer_head *head = &ns->chain.head;
	bool empty;

	mnt_ns_lock(ns);
	empty =
	    mnt_ns_may_change(ns) == 0 && fmt_overlay_node_count(mnt_chain_top(&ns->chain)) == 0;
	if (empty) {
		ns->reported_seq = head->seq;
		*out = (struct mnt_sealed){.sealed = head->parent,
		    .layer = head->layer,
		    .layers = ns->chain.layer_count,
		    .seq = head->seq,
		    .next_ino = head->next_ino};
	}
	mnt_ns_unlock(ns);
	return empty;
}

int mnt_ns_seal(
    struct mnt_ns *ns, const struct mnt_seal *ask, struct mnt_sealed *out, struct orch_err *err)
{
	struct seal s = {.ns = ns};
	struct mnt_chain_next next;
	struct mnt_log *old = NULL;
	int r;

	if (ask->share && is_shared(ns, out))
		return 0;
	r = mnt_outlived_find(ns);
	if (r < 0)
		return orch_err_sys(err, -r, "seal");
	r = prepare(ns, ask->layer, &next, err);
	if (r < 0)
		return r;
	clear_suspects(ns);
	r = mnt_ns_sync_spool(ns); /* most names, while the jobs run */
	if (r < 0) {
		mnt_chain_abandon(ns->config.layers_fd, &next);
		return orch_err_sys(err, -r, "seal");
	}
	stop_jobs(&s, ask);
	r = seal_and_copy(&s, &next, &old, out, err);
	let_jobs_go(&s, out);
	if (!old)
		mnt_chain_abandon(ns->config.layers_fd, &next);
	if (old) {
		int settled = settle(&s, old);

		r = r < 0 ? r : settled;
		if (r < 0 && !s.lost)
			orch_err_sys(err, -r, "layer %llu", (unsigned long long)s.old_layer);
	}
	release_files(&s, ask->seen, ask->arg, r == 0);
	mnt_writers_free(ns, s.writers);
	return r;
}
