/*
 * What requests have in common: replies of one shape, the set-id bits that whoever asks takes away, a file that must be
 * copied first, the pool.
 */
#include <stdlib.h>
#include "fsd/mount/caller.h"
#include "fsd/mount/fuse_door_priv.h"

#define WAIT_TRIES 8

struct mnt_door *mnt_fuse_door(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

void mnt_fuse_reply(fuse_req_t req, int r)
{
	fuse_reply_err(req, r < 0 ? -r : r > 0 ? EIO : 0);
}

struct fuse_entry_param mnt_fuse_entry(const struct mnt_attr *a)
{
	return (struct fuse_entry_param){.ino = a->id,
	    .generation = 1,
	    .attr = a->st,
	    .attr_timeout = MNT_FUSE_FOREVER_S,
	    .entry_timeout = MNT_FUSE_FOREVER_S};
}

void mnt_fuse_reply_entry(fuse_req_t req, int r, const struct mnt_attr *a)
{
	struct fuse_entry_param e;

	if (r != 0) {
		mnt_fuse_reply(req, r);
		return;
	}
	e = mnt_fuse_entry(a);
	if (fuse_reply_entry(req, &e) < 0)
		mnt_ns_forget(mnt_fuse_door(req)->ns, a->id, 1);
}

struct mnt_make mnt_fuse_make(fuse_req_t req, enum fmt_type type, mode_t mode)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct mnt_make){
	    .type = type, .mode = mode & 07777, .uid = ctx->uid, .gid = ctx->gid};
}

struct mnt_handle *mnt_fuse_handle(const struct fuse_file_info *fi)
{
	return (struct mnt_handle *)(uintptr_t)fi->fh;
}

/* Who can't be looked at (he is of another pid namespace, or gone) has no groups but the one that the kernel
 * tells, if it does. They are those of the host, by which mount ever he came: in a view a group that is seen
 * as another is not his. */
static bool is_of_group(fuse_req_t req, uint32_t gid)
{
	gid_t few[64], *groups = few;
	int n, cap = (int)ORCH_ARRAY_LEN(few);
	gid_t own = fuse_req_ctx(req)->gid;
	bool found = false;

	if (own == (gid_t)-1)
		(void)!mnt_caller_group(fuse_req_ctx(req)->pid, &own);
	if (own == gid)
		return true;
	n = fuse_req_getgroups(req, cap, few);
	if (n > cap) {
		groups = calloc((size_t)n, sizeof(*groups));
		cap = n;
		n = groups ? fuse_req_getgroups(req, cap, groups) : 0;
	}
	for (int i = 0; i < n && i < cap && !found; i++)
		found = groups[i] == gid;
	if (groups != few)
		free(groups);
	return found;
}

unsigned mnt_fuse_ids_lost(fuse_req_t req, fuse_ino_t ino)
{
	uint32_t gid;

	if (!mnt_ns_has_set_ids(mnt_fuse_door(req)->ns, ino) ||
	    mnt_caller_keeps_set_ids(fuse_req_ctx(req)->pid))
		return 0;
	if (mnt_ns_group_bit(mnt_fuse_door(req)->ns, ino, &gid) && !is_of_group(req, gid))
		return MNT_SET_DROP_IDS | MNT_SET_DROP_SGID;
	return MNT_SET_DROP_IDS;
}

static void waited(void *arg, int r)
{
	struct mnt_fuse_wait *w = arg;

	w->again(w, r);
}

/* The kernel lets a killed process end only when it is answered. */
static bool gone(void *arg)
{
	const struct mnt_fuse_wait *w = arg;

	return mnt_caller_is_killed(fuse_req_ctx(w->req)->pid);
}

void mnt_fuse_wait_private(struct mnt_fuse_wait *w)
{
	if (++w->tries > WAIT_TRIES)
		w->again(w, -EBUSY);
	else
		mnt_ns_privatise(mnt_fuse_door(w->req)->ns, w->ino, waited, gone, w);
}

void mnt_fuse_in_pool(fuse_req_t req, void (*run)(void *), const struct mnt_fuse_task *task)
{
	struct mnt_fuse_task *t = malloc(sizeof(*t));

	if (!t) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*t = *task;
	orch_pool_add(mnt_fuse_door(req)->pool, run, t);
}
