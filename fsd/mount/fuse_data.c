/*
 * Requests on the data of open files: read, write, room, holes, copies, fsync. Each works on the descriptor of the handle's
 * content; in passthrough the kernel reads and writes without asking. What may take long is done by the pool.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "fsd/mount/fuse_door_priv.h"

#define READ_INLINE (64u << 10) /* below this a copy is cheaper than a splice */
#define COPY_MAX    ((size_t)1 << 30)

static void read_inline(fuse_req_t req, int fd, size_t size, off_t at)
{
	char *p = malloc(size ? size : 1);
	ssize_t n = p ? pread(fd, p, size, at) : -1;

	if (n < 0)
		fuse_reply_err(req, p ? errno : ENOMEM);
	else
		fuse_reply_buf(req, p, (size_t)n);
	free(p);
}

void mnt_fuse_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
	struct mnt_door *d = mnt_fuse_door(req);
	struct mnt_content *c = mnt_ns_handle_content(d->ns, mnt_fuse_handle(fi));
	struct fuse_bufvec v = FUSE_BUFVEC_INIT(size);

	if (size <= READ_INLINE) {
		read_inline(req, c->fd, size, at);
	} else {
		v.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
		v.buf[0].fd = c->fd;
		v.buf[0].pos = at;
		fuse_reply_data(req, &v, FUSE_BUF_SPLICE_MOVE);
	}
	mnt_content_put(d->contents, c);
}

void mnt_fuse_write_buf(
    fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t at, struct fuse_file_info *fi)
{
	struct mnt_door *d = mnt_fuse_door(req);
	struct mnt_content *c = mnt_ns_handle_content(d->ns, mnt_fuse_handle(fi));
	struct fuse_bufvec out = FUSE_BUFVEC_INIT(fuse_buf_size(in));
	ssize_t n;

	out.buf[0].flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK;
	out.buf[0].fd = c->fd;
	out.buf[0].pos = at;
	n = c->is_private ? fuse_buf_copy(&out, in, 0) : -EBADF;
	mnt_content_put(d->contents, c);
	if (n < 0)
		fuse_reply_err(req, (int)-n);
	else
		fuse_reply_write(req, (size_t)n);
}

void mnt_fuse_fallocate(
    fuse_req_t req, fuse_ino_t ino, int mode, off_t at, off_t len, struct fuse_file_info *fi)
{
	struct mnt_door *d = mnt_fuse_door(req);
	struct mnt_content *c = mnt_ns_handle_content(d->ns, mnt_fuse_handle(fi));
	int r = !c->is_private ? EBADF : fallocate(c->fd, mode, at, len) < 0 ? errno : 0;

	mnt_content_put(d->contents, c);
	fuse_reply_err(req, r);
}

static void seek(fuse_req_t req, const struct mnt_handle *h, off_t at, int whence)
{
	struct mnt_door *d = mnt_fuse_door(req);
	struct mnt_content *c = mnt_ns_handle_content(d->ns, h);
	off_t r = lseek(c->fd, at, whence);
	int e = errno;

	mnt_content_put(d->contents, c);
	if (r < 0)
		fuse_reply_err(req, e);
	else
		fuse_reply_lseek(req, r);
}

/* ---- in the pool */

/* The kernel asks us where data is without having written what it has. */
static void run_seek(void *arg)
{
	struct mnt_fuse_task *t = arg;

	mnt_fuse_flush(mnt_fuse_door(t->req), t->ino);
	seek(t->req, t->from, t->from_at, t->whence);
	free(t);
}

void mnt_fuse_lseek(fuse_req_t req, fuse_ino_t ino, off_t at, int whence, struct fuse_file_info *fi)
{
	struct mnt_fuse_task t = {
	    .req = req, .ino = ino, .from = mnt_fuse_handle(fi), .from_at = at, .whence = whence};

	if (mnt_ns_hides_stores(mnt_fuse_door(req)->ns, t.from))
		mnt_fuse_in_pool(req, run_seek, &t);
	else
		seek(req, t.from, at, whence);
}

static void run_fsync(void *arg)
{
	struct mnt_fuse_task *t = arg;

	mnt_fuse_reply(t->req, mnt_ns_fsync(mnt_fuse_door(t->req)->ns, t->from, t->data_only));
	free(t);
}

static void run_copy(void *arg)
{
	struct mnt_fuse_task *t = arg;
	struct mnt_door *d = mnt_fuse_door(t->req);
	struct mnt_content *from = mnt_ns_handle_content(d->ns, t->from);
	struct mnt_content *to = mnt_ns_handle_content(d->ns, t->to);
	ssize_t n = copy_file_range(from->fd, &t->from_at, to->fd, &t->to_at, t->len, 0);
	int e = errno;

	mnt_content_put(d->contents, from);
	mnt_content_put(d->contents, to);
	if (n < 0)
		fuse_reply_err(t->req, e);
	else
		fuse_reply_write(t->req, (size_t)n);
	free(t);
}

void mnt_fuse_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct mnt_fuse_task t = {.req = req, .from = mnt_fuse_handle(fi), .data_only = data_only};

	mnt_fuse_in_pool(req, run_fsync, &t);
}

void mnt_fuse_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct mnt_fuse_task t = {.req = req};

	mnt_fuse_in_pool(req, run_fsync, &t);
}

void mnt_fuse_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_at,
    struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_at, struct fuse_file_info *to_fi,
    size_t len, int flags)
{
	struct mnt_fuse_task t = {.req = req,
	    .from = mnt_fuse_handle(from_fi),
	    .to = mnt_fuse_handle(to_fi),
	    .from_at = from_at,
	    .to_at = to_at,
	    .len = len < COPY_MAX ? len : COPY_MAX};

	if (flags != 0)
		fuse_reply_err(req, EINVAL);
	else
		mnt_fuse_in_pool(req, run_copy, &t);
}
