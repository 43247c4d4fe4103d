/*
 * Requests that open a file, make one or close one. What takes long (a copy, a look at an object that is not known yet)
 * is done by the pool, which answers then.
 */
#include <fcntl.h>
#include <stdlib.h>
#include "fsd/mount/fuse_door_priv.h"

struct opening {
	struct mnt_fuse_wait wait; /* first */
	struct fuse_file_info fi;
};

static void fill_open(struct mnt_door *d, const struct mnt_handle *h, struct fuse_file_info *fi)
{
	int backing = mnt_handle_backing(h);

	fi->fh = (uint64_t)(uintptr_t)h;
	fi->noflush = 1;
	/* nobody but the kernel's own users changes contents, unless somebody damaged the store; what they do in
	 * passthrough is not in the kernel's cache of the node */
	fi->keep_cache = backing == 0 && !d->passthrough && !mnt_contents_damage_seen(d->contents);
#if MNT_FUSE_MODERN
	fi->backing_id = backing;
#endif
}

/* A file that is open now, but not yet for who asked. */
struct opened {
	fuse_req_t req;
	struct mnt_handle *h;
	struct fuse_file_info fi;
	bool made; /* e is what was made */
	struct fuse_entry_param e;
};

static void answer(const struct opened *o, int r)
{
	struct mnt_door *d = mnt_fuse_door(o->req);

	if (r < 0)
		mnt_fuse_reply(o->req, r);
	else
		r = o->made ? fuse_reply_create(o->req, &o->e, &o->fi)
			    : fuse_reply_open(o->req, &o->fi);
	if (r < 0) {
		mnt_ns_release(d->ns, o->h);
		if (o->made)
			mnt_ns_forget(d->ns, o->e.ino, 1);
	}
}

static void answer_durable(void *arg)
{
	struct opened *o = arg;

	answer(o, mnt_ns_fsync(mnt_fuse_door(o->req)->ns, o->h, false));
	free(o);
}

/* In passthrough a write with O_SYNC or O_DSYNC is durable in the private file, but nobody tells us of it.
 * That the workspace has this file must be durable too, so it becomes so before the first write. */
static bool durable_first(const struct opened *o)
{
	return (o->fi.flags & O_DSYNC) && (o->fi.flags & O_ACCMODE) != O_RDONLY &&
	       mnt_handle_backing(o->h) > 0;
}

static void opened(struct opened *o)
{
	struct mnt_door *d = mnt_fuse_door(o->req);
	struct opened *later;

	fill_open(d, o->h, &o->fi);
	if (!durable_first(o)) {
		answer(o, 0);
		return;
	}
	later = malloc(sizeof(*later));
	if (!later) {
		answer(o, -ENOMEM);
		return;
	}
	*later = *o;
	orch_pool_add(d->pool, answer_durable, later);
}

static void finish_open(struct opening *o, bool may_block);

static void open_in_pool(void *arg)
{
	finish_open(arg, true);
}

static void finish_open(struct opening *o, bool may_block)
{
	struct mnt_fuse_wait *w = &o->wait;
	struct mnt_door *d = mnt_fuse_door(w->req);
	struct mnt_handle *h;
	int r = mnt_ns_open(d->ns, w->ino, o->fi.flags, may_block, &h);

	if (r == MNT_AGAIN) {
		mnt_fuse_wait_private(w);
		return;
	}
	if (r == MNT_SLOW) {
		orch_pool_add(d->pool, open_in_pool, o);
		return;
	}
	if (r < 0) {
		mnt_fuse_reply(w->req, r);
	} else {
		opened(&(struct opened){.req = w->req, .h = h, .fi = o->fi});
	}
	free(o);
}

static void open_again(struct mnt_fuse_wait *wait, int r)
{
	struct opening *o = (struct opening *)wait;

	if (r < 0) {
		mnt_fuse_reply(wait->req, r);
		free(o);
	} else {
		finish_open(o, true);
	}
}

/* A writer without CAP_FSETID loses a file its set-id bits. A passthrough write is not seen here, so
 * they go when he opens it, a moment before ext4 would drop them. The kernel tells us of that capability
 * for O_TRUNC alone. */
static int drop_set_ids(fuse_req_t req, fuse_ino_t ino, int flags)
{
	bool writer = (flags & O_ACCMODE) != O_RDONLY || flags & O_TRUNC;
	unsigned lost = writer ? mnt_fuse_ids_lost(req, ino) : 0;

	return lost ? mnt_ns_drop_set_ids(mnt_fuse_door(req)->ns, ino, lost) : 0;
}

void mnt_fuse_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct opening *o = calloc(1, sizeof(*o));
	int r = drop_set_ids(req, ino, fi->flags);

	if (r < 0) {
		free(o);
		mnt_fuse_reply(req, r);
		return;
	}

	if (!o) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*o = (struct opening){.wait = {.req = req, .ino = ino, .again = open_again}, .fi = *fi};
	finish_open(o, false);
}

static void create(
    fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct mnt_make m = mnt_fuse_make(req, FMT_REG, mode);
	struct opened o = {.req = req, .fi = *fi, .made = true};
	struct mnt_attr a;
	int r = mnt_ns_create(mnt_fuse_door(req)->ns, parent, name, &m, fi->flags, &a, &o.h);

	if (r != 0) {
		mnt_fuse_reply(req, r);
		return;
	}
	o.e = mnt_fuse_entry(&a);
	opened(&o);
}

void mnt_fuse_create(
    fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	create(req, parent, name, mode, fi);
}

#if MNT_FUSE_MODERN
void mnt_fuse_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	create(req, parent, NULL, mode, fi);
}
#endif

void mnt_fuse_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	mnt_ns_release(mnt_fuse_door(req)->ns, mnt_fuse_handle(fi));
	fuse_reply_err(req, 0);
}
