/* Requests about names: looking up, making, removing, moving, linking. Answered at once, by the thread that read them. */
#include "fsd/mount/fuse_door_priv.h"

void mnt_fuse_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mnt_attr a;
	int r = mnt_ns_lookup(mnt_fuse_door(req)->ns, parent, name, &a);

	if (r == -ENOENT) { /* an absence is remembered too: only we can end it */
		struct fuse_entry_param none = {.entry_timeout = MNT_FUSE_FOREVER_S};

		fuse_reply_entry(req, &none);
		return;
	}
	mnt_fuse_reply_entry(req, r, &a);
}

void mnt_fuse_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	mnt_ns_forget(mnt_fuse_door(req)->ns, ino, count);
	fuse_reply_none(req);
}

void mnt_fuse_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	for (size_t i = 0; i < count; i++)
		mnt_ns_forget(mnt_fuse_door(req)->ns, list[i].ino, list[i].nlookup);
	fuse_reply_none(req);
}

static void make_and_reply(
    fuse_req_t req, fuse_ino_t parent, const char *name, const struct mnt_make *m)
{
	struct mnt_attr a;
	int r = mnt_ns_make(mnt_fuse_door(req)->ns, parent, name, m, &a);

	mnt_fuse_reply_entry(req, r, &a);
}

static enum fmt_type type_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFIFO:
		return FMT_FIFO;
	case S_IFSOCK:
		return FMT_SOCKET;
	case S_IFCHR:
		return FMT_CHR;
	case S_IFBLK:
		return FMT_BLK;
	default:
		return FMT_REG;
	}
}

void mnt_fuse_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct mnt_make m = mnt_fuse_make(req, type_of(mode), mode);

	m.rdev = rdev;
	make_and_reply(req, parent, name, &m);
}

void mnt_fuse_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct mnt_make m = mnt_fuse_make(req, FMT_DIR, mode);

	make_and_reply(req, parent, name, &m);
}

void mnt_fuse_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct mnt_make m = mnt_fuse_make(req, FMT_SYMLINK, 0777);

	m.target = target;
	make_and_reply(req, parent, name, &m);
}

void mnt_fuse_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	mnt_fuse_reply(req, mnt_ns_unlink(mnt_fuse_door(req)->ns, parent, name));
}

void mnt_fuse_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	mnt_fuse_reply(req, mnt_ns_rmdir(mnt_fuse_door(req)->ns, parent, name));
}

void mnt_fuse_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
    const char *new_name, unsigned flags)
{
	mnt_fuse_reply(
	    req, mnt_ns_rename(mnt_fuse_door(req)->ns, parent, name, new_parent, new_name, flags));
}

void mnt_fuse_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct mnt_attr a;
	int r = mnt_ns_link(mnt_fuse_door(req)->ns, ino, parent, name, &a);

	mnt_fuse_reply_entry(req, r, &a);
}

void mnt_fuse_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[FMT_SYMLINK_MAX + 1];
	int r = mnt_ns_readlink(mnt_fuse_door(req)->ns, ino, target);

	if (r < 0)
		mnt_fuse_reply(req, r);
	else
		fuse_reply_readlink(req, target);
}
