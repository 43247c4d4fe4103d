/* Operations on open files, folders and mappings, which live across everybody's other operations. See model.h. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tests/mount/model.h"

#define PAGE 4096

static void done(struct result *r, long value)
{
	r->error = value < 0 ? errno : 0;
	r->value = value < 0 ? -1 : value;
}

/* ---- open and close */

static void do_open(struct model *m, int side, struct args *a, struct result *r)
{
	int fd = openat(model_at(m, side, &a->a), a->a.path, a->flags, a->mode);

	done(r, fd < 0 ? -1 : 0);
	a->fds[side] = fd;
	r->has_stat = fd >= 0 && fstat(fd, &r->st) == 0;
	if (side == 0 && r->has_stat)
		a->at2 = (off_t)r->st.st_ino;
	if (r->has_stat)
		r->st.st_mtim.tv_sec = OLD_S; /* O_TRUNC changes it, or nothing does */
	if (side == 1 && r->has_stat && m->uid != 0 && a->flags & O_ACCMODE)
		model_mark(m->table->set_ids, r->st.st_ino);
}

/* One more, or one less. */
static void hold(struct model *m, ino_t ino, int more)
{
	__atomic_fetch_add(&m->table->held[ino % FUZZY], (uint16_t)more, __ATOMIC_SEQ_CST);
}

bool model_is_held(struct model *m, ino_t ino)
{
	return __atomic_load_n(&m->table->held[ino % FUZZY], __ATOMIC_SEQ_CST) != 0;
}

static struct handle *free_handle(struct model *m)
{
	struct handle *h = &m->handles[model_below(m, HANDLES)];

	if (h->used && h->shared != m->shared)
		return NULL; /* closing it may be an operation on the other part */
	if (h->used)
		model_handle_close(m, h);
	return h;
}

void model_handle_close(struct model *m, struct handle *h)
{
	struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET};

	/* docs/posix.md: a mapping does not keep a lock as ext4's does; nor does our own copy of a descriptor */
	for (int side = 0; h->locked && side < 2; side++)
		if (flock(h->fd[side], LOCK_UN) < 0 || fcntl(h->fd[side], F_OFD_SETLK, &all) < 0)
			model_fail(m, "unlock of side %d: %s", side, strerror(errno));
	for (int side = 0; side < 2; side++)
		if (close(h->fd[side]) < 0)
			model_fail(m, "close of side %d: %s", side, strerror(errno));
	if (h->guard >= 0) {
		hold(m, h->ino, -1);
		close(h->guard);
	}
	*h = (struct handle){.guard = -1};
}

/* A reader of what is shared with a snapshot would keep the old bytes when a writer comes: so there is
 * a writer from the begin. *out -1: it can't be had. */
static void guard_open(struct model *m, const struct args *a, int *out)
{
	uid_t uid = m->uid;

	model_become(m, 0);
	*out = openat(model_at(m, 0, &a->a), a->a.path,
	    O_RDWR | O_NONBLOCK | O_CLOEXEC | (a->flags & O_NOFOLLOW));
	model_become(m, uid);
}

static void keep(
    struct model *m, struct handle *h, const struct args *a, const struct result *r, int guard)
{
	*h = (struct handle){.used = true,
	    .shared = m->shared,
	    .folder = S_ISDIR(r->st.st_mode),
	    .tmpfile = (a->flags & O_TMPFILE) == O_TMPFILE,
	    .is_path = a->flags & O_PATH,
	    .fd = {a->fds[0], a->fds[1]},
	    .guard = guard,
	    .flags = a->flags,
	    .uid = m->uid,
	    .ino = (ino_t)a->at2};
	if (guard >= 0)
		hold(m, h->ino, 1);
}

static void step_open(struct model *m, struct args *a)
{
	static const int flags[] = {O_RDONLY, O_RDWR, O_RDWR | O_CREAT, O_RDWR | O_APPEND,
	    O_RDWR | O_TRUNC, O_WRONLY, O_WRONLY | O_APPEND | O_CREAT, O_RDWR | O_CREAT | O_EXCL,
	    O_PATH, O_RDONLY | O_DIRECTORY, O_PATH | O_DIRECTORY, O_RDWR | O_CREAT | O_NOFOLLOW,
	    O_RDWR | O_CREAT | O_SYNC, O_RDWR | O_DSYNC | O_APPEND};
	struct handle *h = free_handle(m);
	struct result r;
	int guard = -1;

	if (!h)
		return;
	model_pick(m, &a->a, 85);
	if (model_chance(m, 20))
		model_pick_folder(m, &a->a);
	a->flags = flags[model_below(m, 14)] | O_NONBLOCK | O_CLOEXEC;
	a->mode = 0666;
	if (!(a->flags & (O_ACCMODE | O_PATH | O_DIRECTORY)))
		guard_open(m, a, &guard);
	r = model_both(m, "open", do_open, a);
	if (r.error == 0 &&
	    (S_ISDIR(r.st.st_mode) || (a->flags & O_PATH) ||
		(S_ISREG(r.st.st_mode) && (guard >= 0 || (a->flags & O_ACCMODE))))) {
		keep(m, h, a, &r, guard);
		return;
	}
	for (int side = 0; side < 2; side++)
		if (a->fds[side] >= 0)
			close(a->fds[side]);
	if (guard >= 0)
		close(guard);
}

static void step_tmpfile(struct model *m, struct args *a)
{
	struct handle *h = free_handle(m);
	struct result r;

	if (!h || !m->has_tmpfile)
		return;
	model_pick_folder(m, &a->a);
	a->flags = O_TMPFILE | O_CLOEXEC | (model_chance(m, 70) ? O_RDWR : O_WRONLY) |
		   (model_chance(m, 15) ? O_EXCL : 0);
	a->mode = 0640;
	r = model_both(m, "tmpfile", do_open, a);
	if (r.error == 0)
		keep(m, h, a, &r, -1);
}

static void step_close(struct model *m, struct args *a)
{
	a->h = model_handle(m, model_chance(m, 30));
	if (a->h)
		model_handle_close(m, a->h);
}

/* ---- data */

/* Before whoever opened it as a user changes it: docs/posix.md, set-id bits are the opener's affair. */
static void become_opener(struct model *m, const struct handle *h)
{
	struct stat st;

	model_become(m, h->uid);
	if (h->uid != 0 && fstat(h->fd[1], &st) == 0)
		model_mark(m->table->set_ids, st.st_ino);
}

static void do_pread(struct model *m, int side, struct args *a, struct result *r)
{
	static uint8_t buf[DATA_MAX];
	ssize_t n =
	    a->at < 0 ? read(a->h->fd[side], buf, a->n) : pread(a->h->fd[side], buf, a->n, a->at);

	done(r, n);
	r->hash = n > 0 ? model_hash(1, buf, (size_t)n) : 0;
}

static void do_preadv(struct model *m, int side, struct args *a, struct result *r)
{
	static uint8_t buf[DATA_MAX];
	struct iovec v[2] = {{buf, a->n / 3}, {buf + a->n / 3, a->n - a->n / 3}};
	ssize_t n = preadv(a->h->fd[side], v, 2, a->at);

	done(r, n);
	r->hash = n > 0 ? model_hash(1, buf, (size_t)n) : 0;
}

static void do_pwrite(struct model *m, int side, struct args *a, struct result *r)
{
	if (a->at < 0)
		done(r, write(a->h->fd[side], a->data, a->n));
	else
		done(r, pwrite(a->h->fd[side], a->data, a->n, a->at));
}

static void do_pwritev(struct model *m, int side, struct args *a, struct result *r)
{
	struct iovec v[2] = {{(void *)(uintptr_t)a->data, a->n / 2},
	    {(void *)(uintptr_t)(a->data + a->n / 2), a->n - a->n / 2}};

	done(r, pwritev2(a->h->fd[side], v, 2, a->at, a->flags));
}

static void do_fstat(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, fstat(a->h->fd[side], &r->st));
	r->has_stat = r->error == 0;
	if (side == 0 && r->has_stat && r->st.st_ino != a->h->ino)
		model_fail(m, "the open file's inode number was %lu, is %lu",
		    (unsigned long)a->h->ino, (unsigned long)r->st.st_ino);
}

static void do_ftruncate(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, ftruncate(a->h->fd[side], a->at));
}

static void do_fsync(struct model *m, int side, struct args *a, struct result *r)
{
	int fd = a->h->fd[side];

	done(r, a->flags == 0 ? fsync(fd) : a->flags == 1 ? fdatasync(fd) : syncfs(fd));
}

static void do_fchmod(struct model *m, int side, struct args *a, struct result *r)
{
	struct stat st;

	done(r, fchmod(a->h->fd[side], a->mode));
	if (side == 1 && r->error == 0 && fstat(a->h->fd[1], &st) == 0)
		model_unmark(m->table->set_ids, st.st_ino);
}

static void do_fchown(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, fchown(a->h->fd[side], (uid_t)a->uid, (gid_t)a->gid));
}

static void do_futimens(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, futimens(a->h->fd[side], a->times));
	r->has_stat = r->error == 0 && fstat(a->h->fd[side], &r->st) == 0;
}

/* What the kernel does not pass on to FUSE must be refused as such, and is not done natively. */
static void do_fallocate(struct model *m, int side, struct args *a, struct result *r)
{
	bool natively =
	    !(a->flags & ~(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE));

	if (side == 0 || natively)
		done(r, fallocate(a->h->fd[side], a->flags, a->at, (off_t)a->n));
	if (natively)
		return;
	if (side == 0 && r->error == 0)
		model_fail(m, "fallocate %#x was done", (unsigned)a->flags);
	*r = (struct result){.error = EOPNOTSUPP};
}

static void do_fxattr(struct model *m, int side, struct args *a, struct result *r)
{
	char value[1000];

	if (a->flags == 0) {
		done(r, fsetxattr(a->h->fd[side], a->name, a->data, a->n, 0));
	} else if (a->flags == 1) {
		done(r, fgetxattr(a->h->fd[side], a->name, value, sizeof(value)));
		r->hash = r->value > 0 ? model_hash(1, value, (size_t)r->value) : 0;
	} else {
		done(r, fremovexattr(a->h->fd[side], a->name));
	}
}

static void do_seek(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, lseek(a->h->fd[side], a->at, a->flags));
}

/* The extents may differ, but what is called a hole reads as zeros, and the ends agree. */
static void do_seek_data(struct model *m, int side, struct args *a, struct result *r)
{
	static uint8_t buf[DATA_MAX];
	off_t was = lseek(a->h->fd[side], 0, SEEK_CUR), to = lseek(a->h->fd[side], a->at, a->flags);
	int e = to < 0 ? errno : 0;
	struct stat st;

	(void)lseek(a->h->fd[side], was, SEEK_SET);
	if (fstat(a->h->fd[1], &st) < 0)
		return;
	if (e && (e != ENXIO || a->at >= st.st_size || a->at < 0)) {
		done(r, -1);
		r->error = e;
		return;
	}
	if (a->flags == SEEK_HOLE || (a->h->flags & O_ACCMODE) == O_WRONLY)
		return;
	for (off_t at = a->at, end = e ? st.st_size : to; at < end;) {
		ssize_t n = pread(
		    a->h->fd[1], buf, end - at > DATA_MAX ? DATA_MAX : (size_t)(end - at), at);

		if (n <= 0)
			break;
		for (ssize_t i = 0; i < n; i++)
			if (buf[i])
				model_fail(m, "side %d calls %ld a hole", side, (long)(at + i));
		at += n;
	}
}

static void do_copy(struct model *m, int side, struct args *a, struct result *r)
{
	off_t from = a->at, to = a->at2;
	size_t left = a->n;
	ssize_t n = 0;

	while (left > 0 &&
	       (n = copy_file_range(a->h->fd[side], &from, a->h2->fd[side], &to, left, 0)) > 0)
		left -= (size_t)n;
	done(r, n < 0 ? -1 : (long)(a->n - left));
}

static void do_sendfile(struct model *m, int side, struct args *a, struct result *r)
{
	off_t from = a->at;
	size_t left = a->n;
	ssize_t n = 0;

	(void)m;
	while (left > 0 && (n = sendfile(a->h2->fd[side], a->h->fd[side], &from, left)) > 0)
		left -= (size_t)n;
	done(r, n < 0 ? -1 : (long)(a->n - left));
}

static void do_link(struct model *m, int side, struct args *a, struct result *r)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", a->h->fd[side]);
	done(r, linkat(AT_FDCWD, path, model_at(m, side, &a->b), a->b.path, AT_SYMLINK_FOLLOW));
}

/* With a folder as working directory, which may be gone. */
static void do_inside(struct model *m, int side, struct args *a, struct result *r)
{
	char cwd[PATH_BYTES];
	long n;

	if (fchdir(a->h->fd[side]) < 0) {
		done(r, -1);
		return;
	}
	n = getcwd(cwd, sizeof(cwd)) ? 0 : -1;
	r->hash =
	    n < 0 ? (uint64_t)errno
		  : model_hash(1, cwd + strlen(m->root[side]), strlen(cwd + strlen(m->root[side])));
	switch (a->flags) {
	case 0:
		done(r, mkdir(a->name, 0755));
		break;
	case 1:
		done(r, fstatat(AT_FDCWD, a->name, &r->st, AT_SYMLINK_NOFOLLOW));
		r->has_stat = r->error == 0;
		break;
	case 2:
		done(r, unlink(a->name));
		break;
	default:
		n = open(a->name, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0644);
		done(r, n < 0 ? -1 : 0);
		if (n >= 0)
			close((int)n);
	}
	if (chdir("/") < 0)
		model_fail(m, "chdir");
}

static void step_data(struct model *m, struct args *a)
{
	static const off_t offsets[] = {0, 3, 4096, 5000, 70000, 1000000, FILE_MAX - DATA_MAX};

	a->at = offsets[model_below(m, 7)];
	a->n = (size_t[]){0, 1, 50, 4096, 9000, 65537}[model_below(m, 6)];
	switch (model_below(m, 6)) {
	case 0:
		a->at = model_chance(m, 40) ? -1 : a->at;
		model_both(m, "pread", do_pread, a);
		return;
	case 1:
		model_both(m, "preadv", do_preadv, a);
		return;
	default:
		become_opener(m, a->h);
		a->data = model_data(m, a->n);
		a->at = model_chance(m, 25) ? -1 : a->at;
		a->flags = (int[]){0, 0, RWF_DSYNC, RWF_APPEND}[model_below(m, 4)];
		if (a->at >= 0 && model_chance(m, 30))
			model_both(m, "pwritev", do_pwritev, a);
		else
			model_both(m, a->at < 0 ? "write" : "pwrite", do_pwrite, a);
	}
}

static void step_space(struct model *m, struct args *a)
{
	static const int modes[] = {0, FALLOC_FL_KEEP_SIZE,
	    FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_ZERO_RANGE,
	    FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
	    FALLOC_FL_COLLAPSE_RANGE, FALLOC_FL_INSERT_RANGE, FALLOC_FL_UNSHARE_RANGE};

	become_opener(m, a->h);
	a->at = (off_t[]){0, 100, 4096, 8192, 500000}[model_below(m, 5)];
	if (model_chance(m, 40)) {
		model_both(m, "ftruncate", do_ftruncate, a);
		return;
	}
	a->flags = modes[model_below(m, 9)];
	a->n = (size_t[]){0, 1, 4096, 10000, 200000}[model_below(m, 5)];
	model_both(m, "fallocate", do_fallocate, a);
}

static void step_attributes(struct model *m, struct args *a)
{
	switch (model_below(m, 5)) {
	case 0:
		a->mode = (unsigned[]){0600, 0644, 0666, 0755, 01777, 06755}[model_below(m, 6)];
		model_both(m, "fchmod", do_fchmod, a);
		return;
	case 1:
		a->uid = (int[]){-1, 0, USER}[model_below(m, 3)];
		a->gid = (int[]){-1, 0, USER}[model_below(m, 3)];
		if (m->uid == 0 || a->uid >= 0 || a->gid >= 0) /* docs/posix.md: set-id bits */
			model_both(m, "fchown", do_fchown, a);
		return;
	case 2:
		for (int i = 0; i < 2; i++) {
			a->times[i].tv_sec = (time_t)model_below(m, 1500000000) - 700000000;
			a->times[i].tv_nsec =
			    model_chance(m, 10) ? UTIME_OMIT : (long)model_below(m, 1000000000);
		}
		model_both(m, "futimens", do_futimens, a);
		return;
	case 3:
		a->name = model_chance(m, 50) ? "user.a" : "user.h";
		a->flags = (int)model_below(m, 3);
		a->n = model_below(m, 400);
		a->data = model_data(m, a->n);
		model_both(m, "fxattr", do_fxattr, a);
		return;
	default:
		model_both(m, "fstat", do_fstat, a);
	}
}

static void step_seek(struct model *m, struct args *a)
{
	a->flags = (int[]){SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE}[model_below(m, 5)];
	a->at = (off_t[]){0, 10, 4095, 70000, -5, -100000}[model_below(m, 6)];
	if (a->flags >= SEEK_DATA)
		model_both(m, "seek data", do_seek_data, a);
	else
		model_both(m, "seek", do_seek, a);
}

static void step_copy(struct model *m, struct args *a)
{
	a->h2 = model_handle(m, false);
	if (!a->h2)
		return;
	become_opener(m, a->h2);
	a->at = (off_t[]){0, 100, 70000}[model_below(m, 3)];
	a->at2 = (off_t[]){0, 4096, 300000}[model_below(m, 3)];
	a->n = (size_t[]){0, 1, 5000, 300000}[model_below(m, 4)];
	if (model_chance(m, 70))
		model_both(m, "copy", do_copy, a);
	else
		model_both(m, "sendfile", do_sendfile, a);
}

static void step_file(struct model *m, struct args *a)
{
	unsigned n = model_below(m, 100);

	a->h = model_handle(m, false);
	if (!a->h) {
		step_open(m, a);
		return;
	}
	if (n < 45)
		step_data(m, a);
	else if (n < 58)
		step_space(m, a);
	else if (n < 76)
		step_attributes(m, a);
	else if (n < 84)
		step_seek(m, a);
	else if (n < 90)
		step_copy(m, a);
	else if (n < 92) {
		a->flags = (int)model_below(m, 3);
		model_both(m, "fsync", do_fsync, a);
	} else if (m->uid == 0) { /* /proc/self/fd is root's here */
		model_pick(m, &a->b, 10);
		model_both(m, "link of an open file", do_link, a);
	}
}

static void step_folder(struct model *m, struct args *a)
{
	a->h = model_handle(m, true);
	if (!a->h)
		return;
	if (model_chance(m, 40)) {
		step_attributes(m, a);
		return;
	}
	a->name = (const char *[]){".", "a", "b", "c", "inside", "d/e"}[model_below(m, 6)];
	a->flags = (int)model_below(m, 4);
	model_both(m, "inside", do_inside, a);
}

/* ---- mappings */

static sigjmp_buf bus;

static void on_bus(int sig)
{
	(void)sig;
	siglongjmp(bus, 1);
}

static void do_map(struct model *m, int side, struct args *a, struct result *r)
{
	void *p = mmap(NULL, a->n, (int)a->mode, a->flags, a->h->fd[side], a->at);

	done(r, p == MAP_FAILED ? -1 : 0);
	a->m->p[side] = p == MAP_FAILED ? NULL : p;
}

static void step_map(struct model *m, struct args *a)
{
	struct mapping *x = &m->mappings[model_below(m, MAPPINGS)];
	struct result r;
	struct stat st;

	a->h = model_handle(m, false);
	if (!a->h || a->h->is_path || (x->used && x->shared != m->shared))
		return;
	if (x->used)
		model_unmap(m, x);
	a->m = x;
	a->n = PAGE * (1 + model_below(m, 24));
	a->at = PAGE * (off_t)model_below(m, 3);
	a->mode = model_chance(m, 65) ? PROT_READ | PROT_WRITE : PROT_READ;
	a->flags = model_chance(m, 65) ? MAP_SHARED : MAP_PRIVATE;
	r = model_both(m, "mmap", do_map, a);
	if (r.error)
		return;
	*x = (struct mapping){.used = true,
	    .shared = m->shared,
	    .writes = a->mode & PROT_WRITE,
	    .keeps = a->flags == MAP_SHARED,
	    .p = {x->p[0], x->p[1]},
	    .bytes = a->n,
	    .at = a->at,
	    .guard = -1,
	    .native = dup(a->h->fd[1])};
	if (!(x->writes && x->keeps) || model_chance(m, 50))
		x->guard = dup(a->h->guard >= 0 ? a->h->guard : a->h->fd[0]);
	x->ino = a->h->ino;
	hold(m, x->ino, 1);
	if (x->writes && x->keeps && fstat(a->h->fd[1], &st) == 0)
		m->table->fuzzy[st.st_ino % FUZZY] = 1;
}

void model_unmap(struct model *m, struct mapping *x)
{
	for (int side = 0; side < 2; side++)
		if (munmap(x->p[side], x->bytes) < 0)
			model_fail(m, "munmap: %s", strerror(errno));
	if (x->guard >= 0)
		close(x->guard);
	hold(m, x->ino, -1);
	close(x->native);
	*x = (struct mapping){.guard = -1};
}

static void do_load(struct model *m, int side, struct args *a, struct result *r)
{
	volatile size_t at = 0;
	volatile uint64_t hash = 0;
	static uint8_t page[PAGE];

	for (; at < a->m->bytes; at += PAGE) {
		if (sigsetjmp(bus, 1) == 0) {
			memcpy(page, a->m->p[side] + at, PAGE);
			hash = model_hash(hash, page, PAGE);
		} else {
			hash = model_hash(hash, "bus", 3);
		}
	}
	r->hash = hash;
}

/* Behind the end of the file nothing is stored: what becomes of it is nobody's promise. */
static void do_store(struct model *m, int side, struct args *a, struct result *r)
{
	static uint8_t now[1];

	if (sigsetjmp(bus, 1)) {
		r->value = -7;
		return;
	}
	memcpy(now, a->m->p[side] + a->at, 1);
	memcpy(a->m->p[side] + a->at, a->data, a->n);
}

static void do_msync(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, msync(a->m->p[side], a->m->bytes, a->flags));
}

/* May a mapping for reading become one for writing? It does not stay one. */
static void do_mprotect(struct model *m, int side, struct args *a, struct result *r)
{
	(void)m;
	done(r, mprotect(a->m->p[side], a->m->bytes, PROT_READ | PROT_WRITE));
	if (!a->m->writes)
		(void)mprotect(a->m->p[side], a->m->bytes, PROT_READ);
}

static void do_drop(struct model *m, int side, struct args *a, struct result *r)
{
	(void)m;
	done(r, madvise(a->m->p[side], a->m->bytes, MADV_DONTNEED));
}

static void step_mapping(struct model *m, struct args *a)
{
	struct mapping *x = &m->mappings[model_below(m, MAPPINGS)];
	struct stat st;

	if (!x->used || x->shared != m->shared) {
		step_map(m, a);
		return;
	}
	a->m = x;
	if (x->writes && model_chance(m, 50)) {
		a->n = model_chance(m, 50) ? 8 : 200;
		a->at = (off_t)model_below(m, (unsigned)(x->bytes / PAGE)) * PAGE;
		a->data = model_data(m, a->n);
		if (fstat(x->native, &st) < 0 ||
		    (x->at + a->at < st.st_size && x->at + a->at + (off_t)a->n > st.st_size))
			return;
		model_both(m, "store", do_store, a);
	} else if (model_chance(m, 60)) {
		model_both(m, "load", do_load, a);
	} else if (model_chance(m, 15)) {
		model_both(m, "mprotect", do_mprotect, a);
	} else if (model_chance(m, 15)) {
		model_both(m, "madvise", do_drop, a);
	} else if (model_chance(m, 70)) {
		a->flags = model_chance(m, 70) ? MS_SYNC : MS_ASYNC;
		model_both(m, "msync", do_msync, a);
	} else {
		model_unmap(m, x);
	}
}

void model_flush(struct model *m)
{
	for (unsigned i = 0; i < MAPPINGS; i++) {
		struct mapping *x = &m->mappings[i];

		for (int side = 0; x->used && x->keeps && side < 2; side++)
			if (msync(x->p[side], x->bytes, MS_SYNC) < 0)
				model_fail(m, "msync of side %d: %s", side, strerror(errno));
	}
}

void model_handles_step(struct model *m)
{
	static bool caught;
	struct args *a = calloc(1, sizeof(*a));
	unsigned n = model_below(m, 100);

	if (!a)
		model_fail(m, "no memory");
	if (!caught)
		caught = sigaction(SIGBUS,
			     &(struct sigaction){.sa_handler = on_bus, .sa_flags = SA_NODEFER},
			     NULL) == 0;
	a->a.at = a->b.at = -1;
	if (n < 14)
		step_open(m, a);
	else if (n < 18)
		step_tmpfile(m, a);
	else if (n < 24)
		step_close(m, a);
	else if (n < 34)
		step_folder(m, a);
	else if (n < 52)
		step_mapping(m, a);
	else
		step_file(m, a);
	free(a);
}
