/* The layers of a workspace. See chain.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "fsd/mount/chain.h"
#include "view/layer_log.h"

#define NAME_BYTES 32

static void layer_name(uint64_t id, char out[NAME_BYTES])
{
	snprintf(out, NAME_BYTES, "%llu", (unsigned long long)id);
}

void mnt_layer_close(struct mnt_layer *l)
{
	orch_fd_close(l->spool_fd);
	orch_fd_close(l->dirfd);
	l->spool_fd = l->dirfd = -1;
}

static int open_spool(int dirfd)
{
	return openat(dirfd, "spool", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* A link that somebody put there would lead to files that are not ours. */
static int tell_spool(int code, const char *name, struct orch_err *err)
{
	if (code == ELOOP || code == ENOTDIR)
		return orch_err_set(err, ORCH_ECORRUPT,
		    "layers/%s/spool is not a folder but a link or a file (`store verify` tells "
		    "what to do)",
		    name);
	return orch_err_sys(err, code, "spool of layer %s", name);
}

static int open_folder(
    int layers_fd, const char *name, uint64_t id, struct mnt_layer *out, struct orch_err *err)
{
	struct mnt_layer l = {.id = id, .dirfd = -1, .spool_fd = -1};

	l.dirfd = openat(layers_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (l.dirfd < 0)
		return orch_err_sys(err, errno, "layer %s", name);
	l.spool_fd = open_spool(l.dirfd);
	if (l.spool_fd < 0 && errno == ENOENT && mkdirat(l.dirfd, "spool", 0700) == 0)
		l.spool_fd = open_spool(l.dirfd);
	if (l.spool_fd < 0) {
		int r = tell_spool(errno, name, err);

		mnt_layer_close(&l);
		return r;
	}
	*out = l;
	return 0;
}

static int layer_open(int layers_fd, uint64_t id, struct mnt_layer *out, struct orch_err *err)
{
	char name[NAME_BYTES];

	layer_name(id, name);
	return open_folder(layers_fd, name, id, out, err);
}

static int layer_add(struct mnt_chain *c, const struct mnt_layer *l, size_t at)
{
	struct mnt_layer *v;

	if (c->layer_count >= MNT_LAYERS_MAX)
		return -EOVERFLOW;
	v = realloc(c->layers, (c->layer_count + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	c->layers = v;
	memmove(v + at + 1, v + at, (c->layer_count - at) * sizeof(*v));
	v[at] = *l;
	c->layer_count++;
	return 0;
}

int mnt_chain_room(struct mnt_chain *c)
{
	struct fmt_overlay **v;
	size_t *end;

	if (c->strata_count >= MNT_STRATA_MAX)
		return -EOVERFLOW;
	v = realloc(c->strata, (c->strata_count + 1) * sizeof(struct fmt_overlay *));
	if (v)
		c->strata = v;
	end = realloc(c->strata_end, (c->strata_count + 1) * sizeof(*end));
	if (end)
		c->strata_end = end;
	return v && end ? 0 : -ENOMEM;
}

static int stratum_add(struct mnt_chain *c)
{
	struct fmt_overlay *o;
	int r = mnt_chain_room(c);

	if (r < 0)
		return r;
	o = fmt_overlay_new();
	if (!o)
		return -ENOMEM;
	c->strata[c->strata_count++] = o;
	return 0;
}

/* Opens the layer and everything below it; c->layers is in order afterwards. */
static int open_layers(struct mnt_chain *c, uint64_t id, struct orch_err *err)
{
	while (id != 0) {
		struct fmt_layer_head head;
		struct mnt_layer l;
		int r = layer_open(c->layers_fd, id, &l, err);

		if (r < 0)
			return r;
		r = layer_add(c, &l, 0);
		if (r < 0) {
			mnt_layer_close(&l);
			return orch_err_sys(err, -r, "layer %llu", (unsigned long long)id);
		}
		r = view_log_head(l.dirfd, &head, err);
		if (r < 0) {
			orch_err_wrap(err, "layer %llu", (unsigned long long)id);
			return r;
		}
		if (head.layer != id || head.parent == id)
			return orch_err_set(err, ORCH_ECORRUPT, "layer %llu says that it is %llu",
			    (unsigned long long)id, (unsigned long long)head.layer);
		id = head.parent;
	}
	return 0;
}

static int replay_layers(struct mnt_chain *c, struct view_log *out, struct orch_err *err)
{
	for (size_t i = 0; i < c->layer_count; i++) {
		bool top = i + 1 == c->layer_count;
		int r;

		if ((top || c->strata_count == 0) && stratum_add(c) < 0)
			return orch_err_set(err, ENOMEM, "layer state: no memory");
		r = view_log_replay(c->layers[i].dirfd, c->strata[c->strata_count - 1], out, err);
		if (r < 0) {
			orch_err_wrap(err, "layer %llu", (unsigned long long)c->layers[i].id);
			return r;
		}
		c->strata_end[c->strata_count - 1] = i + 1;
		if (!top && !out->sealed)
			return orch_err_set(err, ORCH_ECORRUPT,
			    "layer %llu has another above it, but is not sealed: its end is "
			    "missing",
			    (unsigned long long)c->layers[i].id);
	}
	return 0;
}

/* Two processes that write one layer would destroy it. Held as long as the folder is open. */
static int layer_lock(const struct mnt_layer *l, struct orch_err *err)
{
	if (flock(l->dirfd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return orch_err_set(err, EBUSY, "layer %llu is written by another mount process",
		    (unsigned long long)l->id);
	return orch_err_sys(err, errno, "lock layer %llu", (unsigned long long)l->id);
}

/* Counters rise through the chain: a stratum may not have seen the last one itself. */
static void take_counters(struct mnt_chain *c)
{
	for (size_t i = 0; i < c->strata_count; i++) {
		const struct fmt_overlay *o = c->strata[i];

		if (fmt_overlay_next_ino(o) > c->head.next_ino)
			c->head.next_ino = fmt_overlay_next_ino(o);
		if (fmt_overlay_next_spool(o) > c->head.next_spool)
			c->head.next_spool = fmt_overlay_next_spool(o);
		if (fmt_overlay_seq(o) > c->head.seq)
			c->head.seq = fmt_overlay_seq(o);
	}
}

static int load_one(int layers_fd, uint64_t layer, bool lock, struct mnt_chain *c,
    struct view_log *replay, struct orch_err *err)
{
	int r;

	*c = (struct mnt_chain){.layers_fd = layers_fd};
	r = open_layers(c, layer, err);
	if (r == 0 && lock)
		r = layer_lock(&c->layers[c->layer_count - 1], err);
	if (r == 0)
		r = replay_layers(c, replay, err);
	if (r < 0) {
		mnt_chain_fini(c);
		return r;
	}
	c->head = replay->head;
	take_counters(c);
	if (c->head.seq == 0)
		c->head.seq = 1; /* 0 means "not said" in the log */
	if (replay->torn)
		orch_log(ORCH_LOG_INFO, "mount", "torn-tail", "layer=%llu segment=%llu used=%zu",
		    (unsigned long long)layer, (unsigned long long)replay->segment, replay->used);
	return 0;
}

static int open_log(struct mnt_chain *c, const struct view_log *replay, struct orch_err *err)
{
	int dirfd = c->layers[c->layer_count - 1].dirfd;
	int r = replay->drop_from ? view_log_drop(dirfd, replay->drop_from, err) : 0;

	return r < 0 ? r
		     : mnt_log_open(dirfd, replay->segment, replay->used, c->head.seq,
			   replay->total, &c->log, err);
}

int mnt_chain_load(
    int layers_fd, uint64_t layer, bool read_only, struct mnt_chain *out, struct orch_err *err)
{
	struct view_log replay;
	int r, hops = 0;

	r = load_one(layers_fd, layer, !read_only, out, &replay, err);
	while (r == 0 && replay.sealed && replay.successor != 0 && !read_only) {
		uint64_t next = replay.successor;

		mnt_chain_fini(out);
		if (++hops > MNT_LAYERS_MAX)
			return orch_err_set(
			    err, ORCH_ECORRUPT, "layers succeed each other in a circle");
		r = load_one(layers_fd, next, true, out, &replay, err);
		if (r < 0) {
			orch_err_wrap(err, "successor of layer %llu", (unsigned long long)layer);
			return r;
		}
	}
	if (r < 0 || read_only)
		return r;
	if (replay.sealed) {
		mnt_chain_fini(out);
		return orch_err_set(err, EROFS, "layer %llu is sealed", (unsigned long long)layer);
	}
	r = open_log(out, &replay, err);
	if (r < 0)
		mnt_chain_fini(out);
	else
		view_log_trim(out->layers[out->layer_count - 1].dirfd, replay.first);
	return r;
}

void mnt_chain_fini(struct mnt_chain *c)
{
	mnt_log_close(c->log);
	for (size_t i = 0; i < c->layer_count; i++)
		mnt_layer_close(&c->layers[i]);
	for (size_t i = 0; i < c->strata_count; i++)
		fmt_overlay_free(c->strata[i]);
	for (size_t i = 0; i < c->retired_count; i++)
		mnt_layer_close(&c->retired[i]);
	free(c->layers);
	free(c->retired);
	free(c->strata);
	free(c->strata_end);
	*c = (struct mnt_chain){0};
}

struct fmt_overlay *mnt_chain_top(const struct mnt_chain *c)
{
	return c->strata[c->strata_count - 1];
}

uint64_t mnt_chain_top_layer(const struct mnt_chain *c)
{
	return c->layers[c->layer_count - 1].id;
}

int mnt_chain_spool(const struct mnt_chain *c, uint64_t layer)
{
	for (size_t i = c->layer_count; i-- > 0;)
		if (c->layers[i].id == layer)
			return c->layers[i].spool_fd;
	return -ENOENT;
}

int mnt_chain_spool_take(struct mnt_chain *c, uint64_t layer)
{
	c->spool_users++;
	return mnt_chain_spool(c, layer);
}

void mnt_chain_spool_give(struct mnt_chain *c)
{
	if (--c->spool_users > 0)
		return;
	for (size_t i = 0; i < c->retired_count; i++)
		mnt_layer_close(&c->retired[i]);
	c->retired_count = 0;
}

ssize_t mnt_chain_index(const struct mnt_chain *c, uint64_t layer)
{
	for (size_t i = c->layer_count; i-- > 0;)
		if (c->layers[i].id == layer)
			return (ssize_t)i;
	return -ENOENT;
}

const struct fmt_node *mnt_chain_node(const struct mnt_chain *c, uint64_t ino)
{
	const struct fmt_node *n = NULL;

	for (size_t i = c->strata_count; i-- > 0 && !n;)
		n = fmt_overlay_node(c->strata[i], ino);
	return n;
}

const struct fmt_link *mnt_chain_link_below(
    const struct mnt_chain *c, size_t under, uint64_t parent, const char *name, size_t len)
{
	const struct fmt_link *l = NULL;

	for (size_t i = under; i-- > 0 && !l;)
		l = fmt_overlay_link(c->strata[i], parent, name, len);
	return l;
}

const struct fmt_link *mnt_chain_link(
    const struct mnt_chain *c, uint64_t parent, const char *name, size_t len)
{
	return mnt_chain_link_below(c, c->strata_count, parent, name, len);
}

int mnt_chain_reserve(struct mnt_chain *c)
{
	struct mnt_layer *layers;
	int r = mnt_chain_room(c);

	if (r < 0 || c->layer_count >= MNT_LAYERS_MAX)
		return r < 0 ? r : -EOVERFLOW;
	layers = realloc(c->layers, (c->layer_count + 1) * sizeof(*layers));
	if (!layers)
		return -ENOMEM;
	c->layers = layers;
	return 0;
}

static void remove_folder(int layers_fd, const char *name)
{
	struct orch_err err = ORCH_ERR_INIT;

	if (orch_remove_tree(layers_fd, name, &err) < 0)
		orch_log_err("mount", "layer-not-removed", &err);
}

/* Who removes what was left unfinished takes it exclusively. */
static int lock_folder(int layers_fd, struct orch_err *err)
{
	int fd = openat(layers_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r = fd;

	while (r >= 0 && (r = flock(fd, LOCK_SH)) < 0 && errno == EINTR)
		r = 0;
	if (r == 0)
		return fd;
	r = orch_err_sys(err, errno, "lock layers");
	orch_fd_close(fd);
	return r;
}

static int make_log(struct mnt_chain_next *n, struct orch_err *err)
{
	int r = layer_lock(&n->layer, err);

	if (r == 0)
		r = mnt_log_create(n->layer.dirfd, &n->head, n->room, &n->log, err);
	if (r < 0)
		return r;
	r = mnt_log_sync(n->log);
	return r < 0 ? orch_err_sys(err, -r, "sync") : 0;
}

/* What a killed process left under this name is nobody's. */
static int make_temporary(
    int layers_fd, const char *temp, struct mnt_chain_next *n, struct orch_err *err)
{
	int r = orch_remove_tree(layers_fd, temp, err);

	if (r < 0)
		return r;
	if (mkdirat(layers_fd, temp, 0700) < 0)
		return orch_err_sys(err, errno, "mkdir %s", temp);
	r = open_folder(layers_fd, temp, n->head.layer, &n->layer, err);
	return r < 0 ? r : make_log(n, err);
}

static int show(int layers_fd, const char *temp, const char *name, struct orch_err *err)
{
	int r = orch_rename(layers_fd, temp, layers_fd, name, RENAME_NOREPLACE);

	if (r < 0)
		return orch_err_sys(err, -r, "rename");
	r = orch_fd_sync(layers_fd);
	if (r < 0) {
		remove_folder(layers_fd, name);
		return orch_err_sys(err, -r, "sync of layers");
	}
	return 0;
}

/* Under its own name only when it is whole: a layer that nobody can read is in everybody's way. */
static int next_make(int layers_fd, struct mnt_chain_next *n, struct orch_err *err)
{
	char name[NAME_BYTES], temp[NAME_BYTES + sizeof(FMT_LAYER_UNFINISHED)];
	int lock = lock_folder(layers_fd, err), r;

	if (lock < 0)
		return lock;
	layer_name(n->head.layer, name);
	snprintf(temp, sizeof(temp), "%s" FMT_LAYER_UNFINISHED, name);
	r = make_temporary(layers_fd, temp, n, err);
	if (r == 0)
		r = show(layers_fd, temp, name, err);
	if (r < 0) {
		mnt_log_close(n->log);
		mnt_layer_close(&n->layer);
		remove_folder(layers_fd, temp);
	}
	orch_fd_close(lock);
	return r;
}

int mnt_chain_prepare(int layers_fd, const struct fmt_layer_head *head, uint64_t layer, size_t room,
    struct mnt_chain_next *out, struct orch_err *err)
{
	struct mnt_chain_next n = {
	    .head = *head, .room = room, .layer = {.dirfd = -1, .spool_fd = -1}};
	int r;

	n.stratum = fmt_overlay_new();
	if (!n.stratum)
		return orch_err_set(err, ENOMEM, "no memory");
	n.head.parent = head->layer;
	n.head.layer = layer;
	n.head.segment = 1;
	n.head.checkpoint = false;
	n.head.wall_ns = orch_wall_ns();
	r = next_make(layers_fd, &n, err);
	if (r < 0) {
		fmt_overlay_free(n.stratum);
		orch_err_wrap(err, "layer %llu", (unsigned long long)layer);
		return r;
	}
	*out = n;
	return 0;
}

struct mnt_log *mnt_chain_push(struct mnt_chain *c, struct mnt_chain_next *next)
{
	struct mnt_log *old = c->log;

	next->head.seq = c->head.seq;
	next->head.next_ino = c->head.next_ino;
	next->head.next_spool = c->head.next_spool;
	c->layers[c->layer_count++] = next->layer;
	c->strata_end[c->strata_count] = c->layer_count;
	c->strata[c->strata_count++] = next->stratum;
	c->log = next->log;
	c->head = next->head;
	mnt_log_seal(old);
	return old;
}

void mnt_chain_abandon(int layers_fd, struct mnt_chain_next *next)
{
	char name[NAME_BYTES];

	mnt_log_close(next->log);
	layer_name(next->layer.id, name);
	mnt_layer_close(&next->layer);
	fmt_overlay_free(next->stratum);
	remove_folder(layers_fd, name);
}

/* Closed when nobody can be using its descriptors. Without memory they stay open. */
static void retire(struct mnt_chain *c, struct mnt_layer *l)
{
	struct mnt_layer *v;

	if (c->spool_users == 0) {
		mnt_layer_close(l);
		return;
	}
	v = realloc(c->retired, (c->retired_count + 1) * sizeof(*v));
	if (!v)
		return;
	c->retired = v;
	v[c->retired_count++] = *l;
}

void mnt_chain_cut(
    struct mnt_chain *c, size_t keep, struct fmt_overlay *top, const struct fmt_layer_head *head)
{
	size_t layers;

	if (head->parent == 0)
		keep = 0;
	layers = keep > 0 ? c->strata_end[keep - 1] : 0;
	for (size_t i = keep; i < c->strata_count; i++)
		fmt_overlay_free(c->strata[i]);
	for (size_t i = layers; i + 1 < c->layer_count; i++)
		retire(c, &c->layers[i]);
	c->layers[layers] = c->layers[c->layer_count - 1];
	c->layer_count = layers + 1;
	c->strata[keep] = top;
	c->strata_end[keep] = c->layer_count;
	c->strata_count = keep + 1;
	c->head = *head;
}
