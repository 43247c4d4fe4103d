/* Requests that list a folder. */
#include <stdlib.h>
#include "fsd/mount/fuse_door_priv.h"

void mnt_fuse_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	/* "not needed": the kernel keeps listings until something changes, and never asks again */
	fuse_reply_err(req, ENOSYS);
}

struct listing {
	fuse_req_t req;
	char *p;
	size_t size, used;
};

static bool emit(void *arg, const char *name, uint64_t ino, enum fmt_type type,
    const struct mnt_attr *attr, uint64_t next)
{
	static const mode_t bits[] = {[FMT_REG] = S_IFREG,
	    [FMT_DIR] = S_IFDIR,
	    [FMT_SYMLINK] = S_IFLNK,
	    [FMT_FIFO] = S_IFIFO,
	    [FMT_SOCKET] = S_IFSOCK,
	    [FMT_CHR] = S_IFCHR,
	    [FMT_BLK] = S_IFBLK};
	struct listing *l = arg;
	struct stat st = {
	    .st_ino = ino, .st_mode = (size_t)type < ORCH_ARRAY_LEN(bits) ? bits[type] : 0};
	size_t n =
	    fuse_add_direntry(l->req, l->p + l->used, l->size - l->used, name, &st, (off_t)next);

	if (n > l->size - l->used)
		return false;
	l->used += n;
	return true;
}

static bool emit_plus(void *arg, const char *name, uint64_t ino, enum fmt_type type,
    const struct mnt_attr *attr, uint64_t next)
{
	struct fuse_entry_param e = {
	    .attr = {.st_ino = ino, .st_mode = type == FMT_DIR ? S_IFDIR : 0}};
	struct listing *l = arg;
	size_t n;

	if (attr)
		e = mnt_fuse_entry(attr);
	n = fuse_add_direntry_plus(
	    l->req, l->p + l->used, l->size - l->used, name, &e, (off_t)next);
	if (n > l->size - l->used)
		return false;
	l->used += n;
	return true;
}

static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, bool plus)
{
	struct listing l = {.req = req, .p = malloc(size), .size = size};
	int r = l.p ? mnt_ns_readdir(mnt_fuse_door(req)->ns, ino, (uint64_t)at, plus,
			  plus ? emit_plus : emit, &l)
		    : -ENOMEM;

	if (r < 0 && l.used == 0)
		mnt_fuse_reply(req, r);
	else
		fuse_reply_buf(req, l.p, l.used);
	free(l.p);
}

void mnt_fuse_readdir(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
	list(req, ino, size, at, false);
}

void mnt_fuse_readdirplus(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
	list(req, ino, size, at, true);
}
