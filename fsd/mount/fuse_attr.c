/* Requests about attributes, the plain ones and the extended ones, and about the file system as a whole. */
#include <stdlib.h>
#include "core/clock.h"
#include "fsd/mount/fuse_door_priv.h"

void mnt_fuse_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	int r = mnt_ns_getattr(mnt_fuse_door(req)->ns, ino, &st);

	if (r < 0)
		mnt_fuse_reply(req, r);
	else
		fuse_reply_attr(req, &st, r == MNT_PASSING ? 0 : MNT_FUSE_FOREVER_S);
}

struct setting {
	struct mnt_fuse_wait wait; /* first */
	struct mnt_setattr set;
};

static void set(struct setting *s)
{
	struct mnt_fuse_wait *w = &s->wait;
	struct stat st;
	int r = mnt_ns_setattr(mnt_fuse_door(w->req)->ns, w->ino, &s->set, &st);

	if (r == MNT_AGAIN) {
		mnt_fuse_wait_private(w);
		return;
	}
	if (r < 0)
		mnt_fuse_reply(w->req, r);
	else
		fuse_reply_attr(w->req, &st, r == MNT_PASSING ? 0 : MNT_FUSE_FOREVER_S);
	free(s);
}

static void set_again(struct mnt_fuse_wait *wait, int r)
{
	struct setting *s = (struct setting *)wait;

	/* attributes of a node whose names another one has now are set there; its size is not */
	if (r == -ESTALE && !(s->set.set & MNT_SET_SIZE))
		r = 0;
	if (r < 0) {
		mnt_fuse_reply(wait->req, r);
		free(s);
	} else {
		set(s);
	}
}

static struct mnt_setattr set_of(const struct stat *st, int to_set)
{
	struct mnt_setattr s = {.mode = st->st_mode,
	    .uid = st->st_uid,
	    .gid = st->st_gid,
	    .size = (uint64_t)st->st_size,
	    .atime_ns = orch_timespec_ns(&st->st_atim),
	    .mtime_ns = orch_timespec_ns(&st->st_mtim)};

	s.set |= to_set & FUSE_SET_ATTR_MODE ? MNT_SET_MODE : 0;
	s.set |= to_set & FUSE_SET_ATTR_UID ? MNT_SET_UID : 0;
	s.set |= to_set & FUSE_SET_ATTR_GID ? MNT_SET_GID : 0;
	s.set |= to_set & FUSE_SET_ATTR_SIZE ? MNT_SET_SIZE : 0;
	s.set |= to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW) ? MNT_SET_ATIME : 0;
	s.set |= to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW) ? MNT_SET_MTIME : 0;
	if (to_set & FUSE_SET_ATTR_ATIME_NOW)
		s.atime_ns = orch_wall_ns();
	if (to_set & FUSE_SET_ATTR_MTIME_NOW)
		s.mtime_ns = to_set & FUSE_SET_ATTR_ATIME_NOW ? s.atime_ns : orch_wall_ns();
	return s;
}

void mnt_fuse_setattr(
    fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	struct setting *s = calloc(1, sizeof(*s));

	if (!s) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*s = (struct setting){
	    .wait = {.req = req, .ino = ino, .again = set_again}, .set = set_of(st, to_set)};
	if (to_set & (FUSE_SET_ATTR_SIZE | FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID))
		s->set.set |= mnt_fuse_ids_lost(req, ino);
	else if (s->set.set == 0) /* chown(-1, -1): all that comes through of it */
		s->set.set = MNT_SET_DROP_IDS | MNT_SET_CTIME;
	set(s);
}

void mnt_fuse_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs v;
	int r = mnt_ns_statfs(mnt_fuse_door(req)->ns, &v);

	if (r < 0)
		mnt_fuse_reply(req, r);
	else
		fuse_reply_statfs(req, &v);
}

/* ---- extended attributes */

static void reply_sized(fuse_req_t req, int r, struct orch_buf *b, size_t size)
{
	if (r < 0)
		mnt_fuse_reply(req, r);
	else if (size == 0)
		fuse_reply_xattr(req, b->len);
	else if (b->len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, (const char *)b->data, b->len);
	orch_buf_fini(b);
}

void mnt_fuse_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct orch_buf b = ORCH_BUF_INIT;

	reply_sized(req, mnt_ns_getxattr(mnt_fuse_door(req)->ns, ino, name, &b), &b, size);
}

void mnt_fuse_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct orch_buf b = ORCH_BUF_INIT;

	reply_sized(req, mnt_ns_listxattr(mnt_fuse_door(req)->ns, ino, &b), &b, size);
}

void mnt_fuse_setxattr(
    fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	mnt_fuse_reply(req,
	    mnt_ns_setxattr(mnt_fuse_door(req)->ns, ino, name, value ? value : "", size, flags));
}

void mnt_fuse_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	mnt_fuse_reply(req, mnt_ns_setxattr(mnt_fuse_door(req)->ns, ino, name, NULL, 0, 0));
}
