/* Mounting and the loop that reads requests. See door.h; the requests themselves: fuse_ops.h. */
#define FUSE_USE_VERSION 314
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/log.h"
#include "core/process.h"
#include "fsd/mount/door.h"
#include "fsd/mount/notify.h"
#include "fsd/mount/place.h"
#include "fsd/mount/requests.h"

#define THREADS		 2
#define HELLO_S		 30
#define UNMOUNT_MS	 20000
#define RECEIVE_TRIES	 100 /* in a row */
#define RECEIVE_PAUSE_NS 10000000
#define FOREVER_S	 (10.0 * 365 * 86400) /* the kernel may believe what it is told for ever */
#define MAX_WRITE	 (1u << 20)
#define READ_INLINE	 (64u << 10) /* below this a copy is cheaper than a splice */
#define COPY_MAX	 ((size_t)1 << 30)
#define MODERN_FUSE	 (FUSE_MINOR_VERSION >= 17)

/* struct fuse_backing_map and its ioctls, of the kernel's header since Linux 6.9 */
struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};
#define BACKING_OPEN  _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* A request that is held while the mount is frozen, as it was read. */
struct parked {
	struct parked *next;
	struct fuse_buf buf;
};

struct mnt_door {
	struct fuse_session *session;
	struct mnt_ns *ns;
	struct mnt_contents *contents;
	struct orch_pool *pool;
	struct mnt_queue *queue;
	struct mnt_door_config config;
	char *mountpoint;
	bool placed;	   /* by mount_id; else by libfuse, at mountpoint */
	uint64_t mount_id; /* as the kernel names it; valid when placed */
	pthread_t threads[THREADS], notifier;
	unsigned thread_count;
	bool notifying, mounted, passthrough;
	int ended_fd;
	struct mnt_requests requests;
	pthread_mutex_t freeze_lock; /* all below */
	pthread_cond_t greeted;	     /* the kernel has said hello (INIT), or will never */
	bool hello, gone;
	bool frozen;
	struct parked *parked, **parked_last;
};

static struct mnt_door *door_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

static void reply_result(fuse_req_t req, int r)
{
	fuse_reply_err(req, r < 0 ? -r : r > 0 ? EIO : 0);
}

static struct fuse_entry_param entry_of(const struct mnt_attr *a)
{
	return (struct fuse_entry_param){.ino = a->id,
	    .generation = 1,
	    .attr = a->st,
	    .attr_timeout = FOREVER_S,
	    .entry_timeout = FOREVER_S};
}

/* ---- names */

static void reply_entry(fuse_req_t req, int r, const struct mnt_attr *a)
{
	struct fuse_entry_param e;

	if (r != 0) {
		reply_result(req, r);
		return;
	}
	e = entry_of(a);
	if (fuse_reply_entry(req, &e) < 0)
		mnt_ns_forget(door_of(req)->ns, a->id, 1);
}

static void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct mnt_attr a;
	int r = mnt_ns_lookup(door_of(req)->ns, parent, name, &a);

	if (r == -ENOENT) { /* an absence is remembered too: only we can end it */
		struct fuse_entry_param none = {.entry_timeout = FOREVER_S};

		fuse_reply_entry(req, &none);
		return;
	}
	reply_entry(req, r, &a);
}

static void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t count)
{
	mnt_ns_forget(door_of(req)->ns, ino, count);
	fuse_reply_none(req);
}

static void op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *list)
{
	for (size_t i = 0; i < count; i++)
		mnt_ns_forget(door_of(req)->ns, list[i].ino, list[i].nlookup);
	fuse_reply_none(req);
}

static struct mnt_make make_of(fuse_req_t req, enum fmt_type type, mode_t mode)
{
	const struct fuse_ctx *ctx = fuse_req_ctx(req);

	return (struct mnt_make){
	    .type = type, .mode = mode & 07777, .uid = ctx->uid, .gid = ctx->gid};
}

static void make_and_reply(
    fuse_req_t req, fuse_ino_t parent, const char *name, const struct mnt_make *m)
{
	struct mnt_attr a;
	int r = mnt_ns_make(door_of(req)->ns, parent, name, m, &a);

	reply_entry(req, r, &a);
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

static void op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
	struct mnt_make m = make_of(req, type_of(mode), mode);

	m.rdev = rdev;
	make_and_reply(req, parent, name, &m);
}

static void op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
	struct mnt_make m = make_of(req, FMT_DIR, mode);

	make_and_reply(req, parent, name, &m);
}

static void op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
	struct mnt_make m = make_of(req, FMT_SYMLINK, 0777);

	m.target = target;
	make_and_reply(req, parent, name, &m);
}

static void op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_result(req, mnt_ns_unlink(door_of(req)->ns, parent, name));
}

static void op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	reply_result(req, mnt_ns_rmdir(door_of(req)->ns, parent, name));
}

static void op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
    const char *new_name, unsigned flags)
{
	reply_result(
	    req, mnt_ns_rename(door_of(req)->ns, parent, name, new_parent, new_name, flags));
}

static void op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
	struct mnt_attr a;
	int r = mnt_ns_link(door_of(req)->ns, ino, parent, name, &a);

	reply_entry(req, r, &a);
}

static void op_readlink(fuse_req_t req, fuse_ino_t ino)
{
	char target[FMT_SYMLINK_MAX + 1];
	int r = mnt_ns_readlink(door_of(req)->ns, ino, target);

	if (r < 0)
		reply_result(req, r);
	else
		fuse_reply_readlink(req, target);
}

/* ---- attributes */

static void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct stat st;
	int r = mnt_ns_getattr(door_of(req)->ns, ino, &st);

	if (r < 0)
		reply_result(req, r);
	else
		fuse_reply_attr(req, &st, FOREVER_S);
}

/* A request that waits for private content. */
struct waiting {
	fuse_req_t req;
	fuse_ino_t ino;
	struct mnt_setattr set;
	struct fuse_file_info fi;
	bool open;
	int tries;
};

static void finish_setattr(struct waiting *w);
static void finish_open(struct waiting *w, bool may_block);

static void waited(void *arg, int r)
{
	struct waiting *w = arg;

	/* attributes of a node whose names another one has now are set there; its size is not */
	if (r == -ESTALE && !w->open && !(w->set.set & MNT_SET_SIZE))
		r = 0;
	if (r < 0) {
		reply_result(w->req, r);
		free(w);
	} else if (w->open) {
		finish_open(w, true);
	} else {
		finish_setattr(w);
	}
}

#define WAIT_TRIES 8

/* Has the file copied, then does the request again. */
static void wait_private(struct waiting *w)
{
	if (++w->tries > WAIT_TRIES) {
		fuse_reply_err(w->req, EBUSY);
		free(w);
		return;
	}
	mnt_ns_privatise(door_of(w->req)->ns, w->ino, waited, w);
}

static void finish_setattr(struct waiting *w)
{
	struct stat st;
	int r = mnt_ns_setattr(door_of(w->req)->ns, w->ino, &w->set, &st);

	if (r == MNT_AGAIN) {
		wait_private(w);
		return;
	}
	if (r < 0)
		reply_result(w->req, r);
	else
		fuse_reply_attr(w->req, &st, FOREVER_S);
	free(w);
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

static void op_setattr(
    fuse_req_t req, fuse_ino_t ino, struct stat *st, int to_set, struct fuse_file_info *fi)
{
	struct waiting *w = calloc(1, sizeof(*w));

	if (!w) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*w = (struct waiting){.req = req, .ino = ino, .set = set_of(st, to_set)};
	if ((to_set & FUSE_SET_ATTR_SIZE) && fuse_req_ctx(req)->uid != 0)
		w->set.set |= MNT_SET_DROP_IDS;
	else if (w->set.set == 0) /* chown(-1, -1): all that comes through of it */
		w->set.set = MNT_SET_DROP_IDS;
	finish_setattr(w);
}

/* ---- open files */

static struct mnt_handle *handle_of(const struct fuse_file_info *fi)
{
	return (struct mnt_handle *)(uintptr_t)fi->fh;
}

static void fill_open(struct mnt_door *d, const struct mnt_handle *h, struct fuse_file_info *fi)
{
	int backing = mnt_handle_backing(h);

	fi->fh = (uint64_t)(uintptr_t)h;
	fi->noflush = 1;
	/* nobody but the kernel's own users changes contents, unless somebody damaged the store */
	fi->keep_cache = backing == 0 && !mnt_contents_damage_seen(d->contents);
#if MODERN_FUSE
	fi->backing_id = backing;
#endif
}

static void open_in_pool(void *arg)
{
	finish_open(arg, true);
}

static void finish_open(struct waiting *w, bool may_block)
{
	struct mnt_door *d = door_of(w->req);
	struct mnt_handle *h;
	int r = mnt_ns_open(d->ns, w->ino, w->fi.flags, may_block, &h);

	if (r == MNT_AGAIN) {
		wait_private(w);
		return;
	}
	if (r == MNT_SLOW) {
		orch_pool_add(d->pool, open_in_pool, w);
		return;
	}
	if (r < 0) {
		reply_result(w->req, r);
	} else {
		fill_open(d, h, &w->fi);
		if (fuse_reply_open(w->req, &w->fi) < 0)
			mnt_ns_release(d->ns, h);
	}
	free(w);
}

/* A writer who is not root loses a file its set-id bits. A passthrough write is not seen here, so
 * they go when he opens it, a moment before ext4 would drop them. */
static bool may_keep_set_ids(fuse_req_t req, int flags)
{
	return fuse_req_ctx(req)->uid == 0 ||
	       ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_TRUNC));
}

static void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct waiting *w = calloc(1, sizeof(*w));
	int r = may_keep_set_ids(req, fi->flags) ? 0 : mnt_ns_drop_set_ids(door_of(req)->ns, ino);

	if (r < 0) {
		free(w);
		reply_result(req, r);
		return;
	}

	if (!w) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*w = (struct waiting){.req = req, .ino = ino, .fi = *fi, .open = true};
	finish_open(w, false);
}

static void create(
    fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	struct mnt_door *d = door_of(req);
	struct mnt_make m = make_of(req, FMT_REG, mode);
	struct fuse_entry_param e;
	struct mnt_handle *h;
	struct mnt_attr a;
	int r = mnt_ns_create(d->ns, parent, name, &m, fi->flags, &a, &h);

	if (r != 0) {
		reply_result(req, r);
		return;
	}
	fill_open(d, h, fi);
	e = entry_of(&a);
	if (fuse_reply_create(req, &e, fi) < 0) {
		mnt_ns_release(d->ns, h);
		mnt_ns_forget(d->ns, a.id, 1);
	}
}

static void op_create(
    fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, struct fuse_file_info *fi)
{
	create(req, parent, name, mode, fi);
}

#if MODERN_FUSE
static void op_tmpfile(fuse_req_t req, fuse_ino_t parent, mode_t mode, struct fuse_file_info *fi)
{
	create(req, parent, NULL, mode, fi);
}
#endif

static void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	mnt_ns_release(door_of(req)->ns, handle_of(fi));
	fuse_reply_err(req, 0);
}

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

static void op_read(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
	struct mnt_door *d = door_of(req);
	struct mnt_content *c = mnt_ns_handle_content(d->ns, handle_of(fi));
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

static void op_write_buf(
    fuse_req_t req, fuse_ino_t ino, struct fuse_bufvec *in, off_t at, struct fuse_file_info *fi)
{
	struct mnt_door *d = door_of(req);
	struct mnt_content *c = mnt_ns_handle_content(d->ns, handle_of(fi));
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

static void op_fallocate(
    fuse_req_t req, fuse_ino_t ino, int mode, off_t at, off_t len, struct fuse_file_info *fi)
{
	struct mnt_door *d = door_of(req);
	struct mnt_content *c = mnt_ns_handle_content(d->ns, handle_of(fi));
	int r = !c->is_private ? EBADF : fallocate(c->fd, mode, at, len) < 0 ? errno : 0;

	mnt_content_put(d->contents, c);
	fuse_reply_err(req, r);
}

static void op_lseek(
    fuse_req_t req, fuse_ino_t ino, off_t at, int whence, struct fuse_file_info *fi)
{
	struct mnt_door *d = door_of(req);
	struct mnt_content *c = mnt_ns_handle_content(d->ns, handle_of(fi));
	off_t r = lseek(c->fd, at, whence);
	int e = errno;

	mnt_content_put(d->contents, c);
	if (r < 0)
		fuse_reply_err(req, e);
	else
		fuse_reply_lseek(req, r);
}

/* ---- what may take long: in the pool */

struct task {
	fuse_req_t req;
	struct mnt_handle *from, *to; /* the kernel keeps them open until the reply */
	off_t from_at, to_at;
	size_t len;
	bool data_only;
};

static void run_fsync(void *arg)
{
	struct task *t = arg;

	reply_result(t->req, mnt_ns_fsync(door_of(t->req)->ns, t->from, t->data_only));
	free(t);
}

static void run_copy(void *arg)
{
	struct task *t = arg;
	struct mnt_door *d = door_of(t->req);
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

static void in_pool(fuse_req_t req, void (*run)(void *), const struct task *task)
{
	struct task *t = malloc(sizeof(*t));

	if (!t) {
		fuse_reply_err(req, ENOMEM);
		return;
	}
	*t = *task;
	orch_pool_add(door_of(req)->pool, run, t);
}

static void op_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct task t = {.req = req, .from = handle_of(fi), .data_only = data_only};

	in_pool(req, run_fsync, &t);
}

static void op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
	struct task t = {.req = req};

	in_pool(req, run_fsync, &t);
}

static void op_copy_file_range(fuse_req_t req, fuse_ino_t from, off_t from_at,
    struct fuse_file_info *from_fi, fuse_ino_t to, off_t to_at, struct fuse_file_info *to_fi,
    size_t len, int flags)
{
	struct task t = {.req = req,
	    .from = handle_of(from_fi),
	    .to = handle_of(to_fi),
	    .from_at = from_at,
	    .to_at = to_at,
	    .len = len < COPY_MAX ? len : COPY_MAX};

	if (flags != 0)
		fuse_reply_err(req, EINVAL);
	else
		in_pool(req, run_copy, &t);
}

/* ---- folders */

static void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
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
		e = entry_of(attr);
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
	int r = l.p ? mnt_ns_readdir(
			  door_of(req)->ns, ino, (uint64_t)at, plus, plus ? emit_plus : emit, &l)
		    : -ENOMEM;

	if (r < 0 && l.used == 0)
		reply_result(req, r);
	else
		fuse_reply_buf(req, l.p, l.used);
	free(l.p);
}

static void op_readdir(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
	list(req, ino, size, at, false);
}

static void op_readdirplus(
    fuse_req_t req, fuse_ino_t ino, size_t size, off_t at, struct fuse_file_info *fi)
{
	list(req, ino, size, at, true);
}

static void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	struct statvfs v;
	int r = mnt_ns_statfs(door_of(req)->ns, &v);

	if (r < 0)
		reply_result(req, r);
	else
		fuse_reply_statfs(req, &v);
}

/* ---- extended attributes */

static void reply_sized(fuse_req_t req, int r, struct orch_buf *b, size_t size)
{
	if (r < 0)
		reply_result(req, r);
	else if (size == 0)
		fuse_reply_xattr(req, b->len);
	else if (b->len > size)
		fuse_reply_err(req, ERANGE);
	else
		fuse_reply_buf(req, (const char *)b->data, b->len);
	orch_buf_fini(b);
}

static void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct orch_buf b = ORCH_BUF_INIT;

	reply_sized(req, mnt_ns_getxattr(door_of(req)->ns, ino, name, &b), &b, size);
}

static void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct orch_buf b = ORCH_BUF_INIT;

	reply_sized(req, mnt_ns_listxattr(door_of(req)->ns, ino, &b), &b, size);
}

static void op_setxattr(
    fuse_req_t req, fuse_ino_t ino, const char *name, const char *value, size_t size, int flags)
{
	reply_result(
	    req, mnt_ns_setxattr(door_of(req)->ns, ino, name, value ? value : "", size, flags));
}

static void op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
	reply_result(req, mnt_ns_setxattr(door_of(req)->ns, ino, name, NULL, 0, 0));
}

/* ---- what the kernel can do, and what we want of it */

static uint64_t capable(const struct fuse_conn_info *conn)
{
#if MODERN_FUSE
	return conn->capable_ext;
#else
	return conn->capable;
#endif
}

static void want(struct fuse_conn_info *conn, uint64_t flag, bool on)
{
	if (!(capable(conn) & flag))
		return;
#if MODERN_FUSE
	if (on)
		fuse_set_feature_flag(conn, flag);
	else
		fuse_unset_feature_flag(conn, flag);
#else
	if (on)
		conn->want |= (unsigned)flag;
	else
		conn->want &= ~(unsigned)flag;
#endif
}

#if MODERN_FUSE
static int backing_open(void *priv, int fd)
{
	struct mnt_door *d = priv;
	struct backing_map map = {.fd = fd};

	return ioctl(fuse_session_fd(d->session), BACKING_OPEN, &map);
}

static void backing_close(void *priv, int backing)
{
	struct mnt_door *d = priv;
	uint32_t id = (uint32_t)backing;

	(void)ioctl(fuse_session_fd(d->session), BACKING_CLOSE, &id);
}

/* Registering a file takes CAP_SYS_ADMIN, which the kernel's offer does not mean that we have. */
static bool may_register(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};

	return syscall(SYS_capget, &head, data) == 0 &&
	       (data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN));
}
#endif

static void want_passthrough(struct mnt_door *d, struct fuse_conn_info *conn)
{
#if MODERN_FUSE
	if (!d->config.passthrough || !(capable(conn) & FUSE_CAP_PASSTHROUGH) || !may_register())
		return;
	want(conn, FUSE_CAP_PASSTHROUGH, true);
	conn->max_backing_stack_depth = 1;
	d->passthrough = true;
	mnt_contents_set_backing(d->contents,
	    &(struct mnt_backing_ops){.open = backing_open, .close = backing_close, .priv = d});
#endif
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
	static const uint64_t wanted[] = {FUSE_CAP_PARALLEL_DIROPS, FUSE_CAP_CACHE_SYMLINKS,
	    FUSE_CAP_ATOMIC_O_TRUNC, FUSE_CAP_READDIRPLUS, FUSE_CAP_READDIRPLUS_AUTO,
	    FUSE_CAP_ASYNC_READ, FUSE_CAP_ASYNC_DIO, FUSE_CAP_SPLICE_WRITE, FUSE_CAP_SPLICE_MOVE,
	    FUSE_CAP_NO_OPENDIR_SUPPORT};
	static const uint64_t unwanted[] = {FUSE_CAP_WRITEBACK_CACHE, FUSE_CAP_AUTO_INVAL_DATA,
	    FUSE_CAP_HANDLE_KILLPRIV, FUSE_CAP_NO_OPEN_SUPPORT, FUSE_CAP_POSIX_LOCKS,
	    FUSE_CAP_FLOCK_LOCKS, FUSE_CAP_SPLICE_READ, FUSE_CAP_POSIX_ACL,
	    FUSE_CAP_EXPORT_SUPPORT};
	struct mnt_door *d = userdata;

	for (size_t i = 0; i < ORCH_ARRAY_LEN(wanted); i++)
		want(conn, wanted[i], true);
	for (size_t i = 0; i < ORCH_ARRAY_LEN(unwanted); i++)
		want(conn, unwanted[i], false);
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
	/* Without it the kernel asks for security.capability before each write, passthrough too:
	 * 50 us a write. With it set-id bits are ours to drop, see may_keep_set_ids. */
	want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2, true);
#endif
	conn->max_write = MAX_WRITE;
	conn->time_gran = 1;
#if MODERN_FUSE
	conn->no_interrupt = 1;
#endif
	want_passthrough(d, conn);
	orch_log(ORCH_LOG_INFO, "mount", "connected", "data=%s protocol=%u.%u",
	    mnt_door_data_path(d), conn->proto_major, conn->proto_minor);
	pthread_mutex_lock(&d->freeze_lock);
	d->hello = true;
	pthread_cond_broadcast(&d->greeted);
	pthread_mutex_unlock(&d->freeze_lock);
}

static const struct fuse_lowlevel_ops ops = {
    .init = op_init,
    .lookup = op_lookup,
    .forget = op_forget,
    .forget_multi = op_forget_multi,
    .getattr = op_getattr,
    .setattr = op_setattr,
    .readlink = op_readlink,
    .mknod = op_mknod,
    .mkdir = op_mkdir,
    .unlink = op_unlink,
    .rmdir = op_rmdir,
    .symlink = op_symlink,
    .rename = op_rename,
    .link = op_link,
    .open = op_open,
    .create = op_create,
    .read = op_read,
    .write_buf = op_write_buf,
    .release = op_release,
    .fsync = op_fsync,
    .opendir = op_opendir,
    .readdir = op_readdir,
    .readdirplus = op_readdirplus,
    .fsyncdir = op_fsyncdir,
    .statfs = op_statfs,
    .getxattr = op_getxattr,
    .listxattr = op_listxattr,
    .setxattr = op_setxattr,
    .removexattr = op_removexattr,
    .fallocate = op_fallocate,
    .lseek = op_lseek,
    .copy_file_range = op_copy_file_range,
#if MODERN_FUSE
    .tmpfile = op_tmpfile,
#endif
};

/* ---- life */

int mnt_door_new(struct mnt_door **out)
{
	struct mnt_door *d = calloc(1, sizeof(*d));

	if (!d)
		return -ENOMEM;
	d->queue = mnt_queue_new();
	if (!d->queue) {
		free(d);
		return -ENOMEM;
	}
	pthread_mutex_init(&d->freeze_lock, NULL);
	pthread_cond_init(&d->greeted, NULL);
	d->parked_last = &d->parked;
	d->ended_fd = -1;
	*out = d;
	return 0;
}

static void note_attr(void *priv, uint64_t id)
{
	struct mnt_door *d = priv;

	mnt_queue_attr(d->queue, id);
}

static void note_recheck(void *priv, uint64_t id)
{
	struct mnt_door *d = priv;

	mnt_queue_recheck(d->queue, id);
}

static void note_entry(void *priv, uint64_t parent, const char *name, size_t len)
{
	struct mnt_door *d = priv;

	mnt_queue_entry(d->queue, parent, name, len);
}

/* From an offset on: the kernel writes dirty pages before it drops them. */
static void flush(void *priv, uint64_t id)
{
	struct mnt_door *d = priv;

	(void)fuse_lowlevel_notify_inval_inode(d->session, id, 0, 0);
}

struct mnt_notify mnt_door_notify(struct mnt_door *d)
{
	return (struct mnt_notify){.attr = note_attr,
	    .recheck = note_recheck,
	    .entry = note_entry,
	    .flush = flush,
	    .priv = d};
}

static int session_make(struct mnt_door *d, struct orch_err *err)
{
	char name[] = "orch-mount", options[512];
	char *argv[] = {name, options, NULL};
	struct fuse_args args = FUSE_ARGS_INIT(2, argv);

	snprintf(options, sizeof(options),
	    "-odefault_permissions,noatime,fsname=%s,subtype=orch%s%s", d->config.source,
	    d->config.allow_other ? ",allow_other" : "", d->config.read_only ? ",ro" : "");
	d->session = fuse_session_new(&args, &ops, sizeof(ops), d);
	fuse_opt_free_args(&args);
	return d->session ? 0 : orch_err_set(err, EINVAL, "libfuse does not take %s", options);
}

/* The file system below stays free to be unmounted: the folder is held open no longer than this. */
static int mount_placed(struct mnt_door *d, struct orch_err *err)
{
	orch_auto(fd) int own = -1;
	struct mnt_place_spec s = {.folder = d->config.mountpoint_fd,
	    .source = d->config.source,
	    .allow_other = d->config.allow_other,
	    .read_only = d->config.read_only};
	char name[32];
	int fuse_fd, r;

	if (s.folder < 0)
		s.folder = own = open(d->mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (s.folder < 0)
		return orch_err_sys(err, errno, "%s", d->mountpoint);
	r = mnt_place_mount(&s, &fuse_fd, &d->mount_id, err);
	if (r < 0)
		return r;
	d->placed = d->mounted = true;
	snprintf(name, sizeof(name), "/dev/fd/%d", fuse_fd);
	if (fuse_session_mount(d->session, name) == 0)
		return 0; /* the descriptor is the session's now */
	orch_fd_close(fuse_fd);
	return orch_err_set(err, EIO, "libfuse does not take an open mount");
}

static int mount_by_user(struct mnt_door *d, struct orch_err *err)
{
	if (fuse_session_mount(d->session, d->mountpoint) != 0)
		return orch_err_set(err, errno > 0 ? errno : EIO, "fusermount3 can't mount there");
	d->mounted = true;
	return 0;
}

int mnt_door_mount(struct mnt_door *d, const struct mnt_door_config *config, struct mnt_ns *ns,
    struct mnt_contents *contents, struct orch_pool *pool, struct orch_err *err)
{
	int r;

	d->config = *config;
	d->ns = ns;
	d->contents = contents;
	d->pool = pool;
	d->mountpoint = strdup(config->mountpoint);
	if (!d->mountpoint)
		return orch_err_set(err, ENOMEM, "no memory");
	r = session_make(d, err);
	if (r < 0)
		return r;
	r = geteuid() == 0 ? mount_placed(d, err) : mount_by_user(d, err);
	if (r < 0)
		orch_err_wrap(err, "can't mount on %s", d->mountpoint);
	return r;
}

static void notify_one(struct mnt_door *d, const struct mnt_note *n)
{
	if (n->name_len > 0)
		(void)fuse_lowlevel_notify_inval_entry(d->session, n->id, n->name, n->name_len);
	else
		(void)fuse_lowlevel_notify_inval_inode(d->session, n->id, -1, 0);
}

static void *notifier(void *arg)
{
	struct mnt_door *d = arg;
	struct mnt_note *n;

	while ((n = mnt_queue_take(d->queue))) {
		notify_one(d, n);
		free(n);
	}
	return NULL;
}

/* ---- freezing: requests that change something are put aside as they were read */

/* Of struct fuse_in_header and struct fuse_open_in, the kernel's protocol. */
#define HEADER_BYTES 40
#define OPCODE_AT    4

static bool changes(const struct fuse_buf *b)
{
	/* SETATTR SYMLINK MKNOD MKDIR UNLINK RMDIR RENAME LINK WRITE SETXATTR REMOVEXATTR CREATE
	 * FALLOCATE RENAME2 COPY_FILE_RANGE TMPFILE */
	static const uint32_t codes[] = {
	    4, 6, 8, 9, 10, 11, 12, 13, 16, 21, 24, 35, 43, 45, 47, 51};
	const uint32_t open_code = 14;
	uint32_t code, flags;

	if (b->size < HEADER_BYTES || (b->flags & FUSE_BUF_IS_FD))
		return false;
	memcpy(&code, (const char *)b->mem + OPCODE_AT, sizeof(code));
	if (code == open_code && b->size >= HEADER_BYTES + sizeof(flags)) {
		memcpy(&flags, (const char *)b->mem + HEADER_BYTES, sizeof(flags));
		return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
	}
	for (size_t i = 0; i < ORCH_ARRAY_LEN(codes); i++)
		if (codes[i] == code)
			return true;
	return false;
}

/* True: the request waits, and buf is empty now. */
static bool park(struct mnt_door *d, struct fuse_buf *buf)
{
	struct parked *p = NULL;

	pthread_mutex_lock(&d->freeze_lock);
	if (d->frozen && changes(buf))
		p = calloc(1, sizeof(*p));
	if (p) {
		p->buf = *buf;
		*d->parked_last = p;
		d->parked_last = &p->next;
		*buf = (struct fuse_buf){0};
	}
	pthread_mutex_unlock(&d->freeze_lock);
	return p != NULL;
}

void mnt_door_freeze(struct mnt_door *d)
{
	pthread_mutex_lock(&d->freeze_lock);
	d->frozen = true;
	pthread_mutex_unlock(&d->freeze_lock);
}

bool mnt_door_frozen(struct mnt_door *d)
{
	bool frozen;

	pthread_mutex_lock(&d->freeze_lock);
	frozen = d->frozen;
	pthread_mutex_unlock(&d->freeze_lock);
	return frozen;
}

void mnt_door_thaw(struct mnt_door *d)
{
	struct parked *list;

	pthread_mutex_lock(&d->freeze_lock);
	d->frozen = false;
	list = d->parked;
	d->parked = NULL;
	d->parked_last = &d->parked;
	pthread_mutex_unlock(&d->freeze_lock);
	while (list) {
		struct parked *p = list;

		list = p->next;
		fuse_session_process_buf(d->session, &p->buf);
		free(p->buf.mem);
		free(p);
	}
}

/* ---- the loop */

/* The next request into `buf`: its size; 0: the mount is gone. What fails (no memory, a failed read) has
 * taken no request away, so it is tried again: users wait a little instead of losing their mount. */
static int receive(struct mnt_door *d, struct fuse_buf *buf)
{
	const struct timespec pause = {.tv_nsec = RECEIVE_PAUSE_NS};
	int r = 0;

	for (int i = 0; i < RECEIVE_TRIES && !fuse_session_exited(d->session);) {
		r = fuse_session_receive_buf(d->session, buf);
		if (r >= 0)
			return r;
		if (r == -EINTR)
			continue;
		orch_log(ORCH_LOG_WARN, "mount", "receive-failed", "mountpoint=%s error=%s",
		    d->mountpoint, orch_err_name(-r));
		nanosleep(&pause, NULL);
		i++;
	}
	return r;
}

static void *serve(void *arg)
{
	struct mnt_door *d = arg;
	struct fuse_buf buf = {0};
	uint64_t one = 1;

	while (receive(d, &buf) > 0) {
		mnt_requests_note(&d->requests, buf.mem, buf.flags & FUSE_BUF_IS_FD ? 0 : buf.size);
		if (!park(d, &buf))
			fuse_session_process_buf(d->session, &buf);
	}
	free(buf.mem);
	fuse_session_exit(d->session);
	pthread_mutex_lock(&d->freeze_lock);
	d->gone = true;
	pthread_cond_broadcast(&d->greeted);
	pthread_mutex_unlock(&d->freeze_lock);
	(void)!write(d->ended_fd, &one, sizeof(one));
	return NULL;
}

/* The kernel's first request decides how data goes; it is sent at the mount. */
static int wait_hello(struct mnt_door *d, struct orch_err *err)
{
	struct timespec until;
	int r = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += HELLO_S;
	pthread_mutex_lock(&d->freeze_lock);
	while (r == 0 && !d->hello && !d->gone)
		r = pthread_cond_timedwait(&d->greeted, &d->freeze_lock, &until);
	if (!d->hello && r == 0)
		r = ENOTCONN;
	pthread_mutex_unlock(&d->freeze_lock);
	return r == 0 ? 0 : orch_err_sys(err, r, "the kernel does not connect");
}

int mnt_door_start(struct mnt_door *d, int ended_fd, struct orch_err *err)
{
	int r;

	d->ended_fd = ended_fd;
	r = pthread_create(&d->notifier, NULL, notifier, d);
	if (r != 0)
		return orch_err_sys(err, r, "thread");
	d->notifying = true;
	while (d->thread_count < THREADS) {
		r = pthread_create(&d->threads[d->thread_count], NULL, serve, d);
		if (r != 0)
			break;
		d->thread_count++;
	}
	return d->thread_count > 0 ? wait_hello(d, err) : orch_err_sys(err, r, "thread");
}

/* An ordinary user's mount is taken away by the program that made it. */
static int unmount_as_user(struct mnt_door *d, bool lazy, struct orch_err *err)
{
	const char *const argv[] = {"fusermount3", lazy ? "-uz" : "-u", "--", d->mountpoint, NULL};
	int r = orch_process_run(argv, NULL, orch_deadline_in_ms(UNMOUNT_MS), err);

	if (r == -ECHILD && !lazy)
		return orch_err_set(err, EBUSY, "unmount %s: it is in use", d->mountpoint);
	return r;
}

int mnt_door_unmount(struct mnt_door *d, bool lazy, struct orch_err *err)
{
	int r;

	if (!d->mounted)
		return 0;
	r = d->placed ? mnt_place_unmount(d->mount_id, d->config.source, lazy, err)
		      : unmount_as_user(d, lazy, err);
	if (r == 0)
		d->mounted = false;
	return r;
}

const struct mnt_requests *mnt_door_requests(const struct mnt_door *d)
{
	return &d->requests;
}

const char *mnt_door_data_path(const struct mnt_door *d)
{
	return d->passthrough ? "passthrough" : "process";
}

void mnt_door_join(struct mnt_door *d)
{
	for (unsigned i = 0; i < d->thread_count; i++)
		pthread_join(d->threads[i], NULL);
	d->thread_count = 0;
	if (d->pool)
		orch_pool_drain(d->pool);
	if (d->notifying) {
		mnt_queue_stop(d->queue);
		pthread_join(d->notifier, NULL);
	}
	d->notifying = false;
}

void mnt_door_free(struct mnt_door *d)
{
	if (!d)
		return;
	/* After a hello, "gone" says that somebody has unmounted already. */
	if (d->mounted && d->placed && !(d->hello && d->gone))
		(void)!mnt_place_unmount(d->mount_id, d->config.source, true, NULL);
	else if (d->mounted && d->session)
		fuse_session_unmount(d->session);
	if (d->session)
		fuse_session_destroy(d->session);
	while (d->parked) {
		struct parked *p = d->parked;

		d->parked = p->next;
		free(p->buf.mem);
		free(p);
	}
	mnt_queue_free(d->queue);
	pthread_cond_destroy(&d->greeted);
	pthread_mutex_destroy(&d->freeze_lock);
	free(d->mountpoint);
	free(d);
}
