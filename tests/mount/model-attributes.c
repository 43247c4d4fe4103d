/* Attributes that are asked for in other ways than by stat, or that the mount refuses on purpose. See model.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tests/mount/model.h"

#define BLOCK 4096

static void done(struct result *r, long value)
{
	r->error = value < 0 ? errno : 0;
	r->value = value < 0 ? -1 : value;
}

/* ---- statx, statfs, access */

/* docs/posix.md: the time of birth is not told. */
static void do_statx(struct model *m, int side, struct args *a, struct result *r)
{
	struct statx x = {0};

	done(r, statx(model_at(m, side, &a->a), a->a.path, a->flags,
		    STATX_BASIC_STATS | STATX_BTIME, &x));
	if (r->error)
		return;
	if (side == 0 && x.stx_mask & STATX_BTIME)
		model_fail(m, "the mount tells a time of birth");
	x.stx_mask &= STATX_BASIC_STATS;
	r->hash = model_hash(x.stx_mask, &x.stx_blksize, sizeof(x.stx_blksize));
	x.stx_attributes &=
	    STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND | STATX_ATTR_ENCRYPTED | STATX_ATTR_VERITY;
	r->hash = model_hash(r->hash, &x.stx_attributes, sizeof(x.stx_attributes));
	r->has_stat = !(a->flags & AT_STATX_DONT_SYNC); /* docs/posix.md: what the kernel has */
	r->st = (struct stat){.st_mode = x.stx_mode,
	    .st_nlink = x.stx_nlink,
	    .st_uid = x.stx_uid,
	    .st_gid = x.stx_gid,
	    .st_size = (off_t)x.stx_size,
	    .st_ino = x.stx_ino,
	    .st_rdev = (dev_t)x.stx_rdev_major << 8 | x.stx_rdev_minor,
	    .st_mtim = {x.stx_mtime.tv_sec, x.stx_mtime.tv_nsec}};
}

static void do_statfs(struct model *m, int side, struct args *a, struct result *r)
{
	struct statvfs v = {0};
	long e = model_enter(m, side, &a->a);

	done(r, e < 0 ? e : statvfs(a->a.path, &v));
	model_leave(m);
	v.f_flag &= ST_RDONLY | ST_NOSUID | ST_NODEV | ST_NOEXEC;
	r->hash = model_hash(v.f_namemax, &v.f_flag, sizeof(v.f_flag));
	r->hash = model_hash(r->hash, &v.f_frsize, sizeof(v.f_frsize));
	if (r->error == 0 && (v.f_blocks == 0 || v.f_bfree > v.f_blocks || v.f_bavail > v.f_bfree))
		model_fail(m, "side %d: statfs: %lu blocks, %lu free, %lu for users", side,
		    (unsigned long)v.f_blocks, (unsigned long)v.f_bfree, (unsigned long)v.f_bavail);
}

/* Also for the real user, who is root. */
static void do_access(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, syscall(SYS_faccessat2, model_at(m, side, &a->a), a->a.path, (int)a->mode & 7,
		    a->flags));
}

static void step_ask(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 92);
	a->flags = model_chance(m, 50) ? AT_SYMLINK_NOFOLLOW : 0;
	a->mode = model_below(m, 8);
	switch (model_below(m, 3)) {
	case 0:
		a->flags |= (int[]){0, AT_STATX_FORCE_SYNC, AT_STATX_DONT_SYNC}[model_below(m, 3)];
		model_both(m, "statx", do_statx, a);
		return;
	case 1:
		model_both(m, "statfs", do_statfs, a);
		return;
	default:
		a->flags |= model_chance(m, 50) ? AT_EACCESS : 0;
		model_both(m, "faccessat2", do_access, a);
	}
}

/* ---- by a descriptor, without a path */

static void do_empty_path(struct model *m, int side, struct args *a, struct result *r)
{
	int fd = a->h->fd[side];

	switch (a->flags) {
	case 0:
		done(r, fstatat(fd, "", &r->st, AT_EMPTY_PATH));
		r->has_stat = r->error == 0;
		return;
	case 1:
		done(r, fchownat(fd, "", (uid_t)a->uid, (gid_t)a->gid, AT_EMPTY_PATH));
		return;
	case 2:
		done(r, linkat(fd, "", model_at(m, side, &a->b), a->b.path, AT_EMPTY_PATH));
		return;
	default:
		done(r,
		    syscall(SYS_faccessat2, fd, "", (int)a->mode & 7, AT_EMPTY_PATH | AT_EACCESS));
	}
}

static void step_empty_path(struct model *m, struct args *a)
{
	a->h = model_handle(m, model_chance(m, 30));
	if (!a->h)
		return;
	model_pick(m, &a->b, 10);
	a->flags = (int)model_below(m, 4);
	a->mode = model_below(m, 8);
	a->uid = (int[]){0, USER}[model_below(m, 2)];
	a->gid = (int[]){-1, 0, USER}[model_below(m, 3)];
	model_both(m, "by descriptor", do_empty_path, a);
}

/* ---- attributes that are not kept */

/* One that both would take, for whom it is about: where the path leads, and what stands in the way. */
static int way(struct model *m, const struct place *p, const char **out_native)
{
	char value[8];
	int e = 0;

	*out_native = p->path;
	if (model_enter(m, 1, p) < 0 ||
	    (lgetxattr(p->path, "user.not-there", value, sizeof(value)) < 0 && errno != ENODATA &&
		errno != EPERM))
		e = errno;
	model_leave(m);
	return e;
}

static long foreign(const struct args *a)
{
	static const uint8_t acl[] = {2, 0, 0, 0, 1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff, 4, 0, 4, 0,
	    0xff, 0xff, 0xff, 0xff, 0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t capability[20] = {0, 0, 0, 2};
	char value[256];

	if (a->flags == 0 && strcmp(a->name, "security.capability") == 0)
		return lsetxattr(a->a.path, a->name, capability, sizeof(capability), 0);
	if (a->flags == 0)
		return lsetxattr(a->a.path, a->name, acl, sizeof(acl), 0);
	if (a->flags == 1)
		return lgetxattr(a->a.path, a->name, value, sizeof(value));
	return lremovexattr(a->a.path, a->name);
}

/* docs/posix.md: EOPNOTSUPP; a question for security.capability ENODATA. The kernel itself answers some before the
 * mount is asked: EPERM and ENODATA for trusted ones to whoever is not root, and what is not the caller's. */
static void do_foreign_xattr(struct model *m, int side, struct args *a, struct result *r)
{
	const char *native;
	int e, blocked;

	(void)r;
	if (side == 1)
		return;
	blocked = way(m, &a->a, &native);
	e = model_enter(m, 0, &a->a) < 0 || foreign(a) < 0 ? errno : 0;
	model_leave(m);
	if (e == EOPNOTSUPP || (blocked && e == blocked))
		return;
	if (a->flags == 1 && e == ENODATA &&
	    (strcmp(a->name, "security.capability") == 0 || m->uid != 0))
		return;
	if (m->uid != 0 && (e == EPERM || e == EACCES))
		return;
	if (strcmp(a->name, "system.posix_acl_default") == 0 && e == (a->flags == 0 ? EACCES : 0))
		return; /* the kernel's answers for what is no folder */
	model_fail(m, "%s: %s (native way: %s)", a->name, e ? strerrorname_np(e) : "was taken",
	    blocked ? strerrorname_np(blocked) : "free");
}

static void step_foreign_xattr(struct model *m, struct args *a)
{
	static const char *const names[] = {"system.posix_acl_access", "system.posix_acl_default",
	    "trusted.a", "security.a", "security.capability", "trusted.overlay.opaque"};

	model_pick(m, &a->a, 95);
	a->name = names[model_below(m, 6)];
	a->flags = (int)model_below(m, 3);
	model_both(m, "foreign xattr", do_foreign_xattr, a);
}

/* docs/posix.md: EINVAL, whatever else is wrong with it. The kernel does nothing for two names of one file. */
static void do_whiteout(struct model *m, int side, struct args *a, struct result *r)
{
	struct stat st[2];

	(void)r;
	if (fstatat(model_at(m, 0, &a->a), a->a.path, &st[0], AT_SYMLINK_NOFOLLOW) == 0 &&
	    fstatat(model_at(m, 0, &a->b), a->b.path, &st[1], AT_SYMLINK_NOFOLLOW) == 0 &&
	    st[0].st_ino == st[1].st_ino)
		return;
	if (side == 0 && renameat2(model_at(m, 0, &a->a), a->a.path, model_at(m, 0, &a->b),
			     a->b.path, RENAME_WHITEOUT) == 0)
		model_fail(m, "a whiteout was made");
}

static void step_whiteout(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 95);
	model_pick(m, &a->b, 50);
	if (a->a.at != a->b.at || strcmp(a->a.path, a->b.path) != 0)
		model_both(m, "whiteout", do_whiteout, a);
}

/* ---- values of any size, which are gone afterwards */

static void do_xattr_sizes(struct model *m, int side, struct args *a, struct result *r)
{
	static char list[1 << 16], value[1 << 16], name[300] = "user.";
	long e = model_enter(m, side, &a->a), n;

	memset(name + 5, 'n', (size_t)a->at);
	name[5 + a->at] = 0;
	done(r, e < 0 ? e : lsetxattr(a->a.path, name, a->data, a->n, XATTR_CREATE));
	if (r->error == 0) {
		n = lgetxattr(a->a.path, name, NULL, 0);
		r->hash = model_hash(1, &n, sizeof(n));
		n = lgetxattr(a->a.path, name, value, a->n ? a->n - 1 : 0);
		n = n < 0 ? errno : n;
		r->hash = model_hash(r->hash, &n, sizeof(n));
		n = lgetxattr(a->a.path, name, value, a->n);
		r->hash = model_hash(r->hash, value, n < 0 ? 0 : (size_t)n);
		n = llistxattr(a->a.path, NULL, 0);
		e = llistxattr(a->a.path, list, (size_t)n - 1) < 0 ? errno : 0;
		r->hash = model_hash(r->hash, &e, sizeof(e));
		n = llistxattr(a->a.path, list, (size_t)n) - n;
		r->hash = model_hash(r->hash, &n, sizeof(n));
		done(r, lremovexattr(a->a.path, name));
	}
	model_leave(m);
}

static void step_xattr_sizes(struct model *m, struct args *a)
{
	static uint8_t large[65537];

	model_pick(m, &a->a, 95);
	a->at =
	    (off_t[]){1, 20, 249, 250, 251, 0}[model_below(m, 6)]; /* of the name behind "user." */
	a->n = (size_t[]){0, 1, 100, 1000, 65537}[model_below(m, 5)];
	a->data = a->n > DATA_MAX ? large : model_data(m, a->n);
	model_both(m, "xattr sizes", do_xattr_sizes, a);
}

/* ---- O_DIRECT, where both sides take it */

static void do_direct(struct model *m, int side, struct args *a, struct result *r)
{
	static uint8_t buf[16 * BLOCK] __attribute__((aligned(BLOCK)));
	int fd = openat(model_at(m, side, &a->a), a->a.path,
	    O_DIRECT | O_NONBLOCK | O_CLOEXEC | a->flags, 0644);
	ssize_t n;

	done(r, fd < 0 ? -1 : 0);
	if (fd < 0)
		return;
	if (fstat(fd, &r->st) == 0 && S_ISREG(r->st.st_mode)) {
		/* docs/posix.md: unaligned is EINVAL on ext4 */
		if ((a->flags & O_ACCMODE) == O_RDWR &&
		    (!(a->flags & O_APPEND) || r->st.st_size % BLOCK == 0)) {
			memcpy(buf, a->data, a->n);
			done(r, pwrite(fd, buf, a->n, a->at));
		}
		n = pread(fd, buf, sizeof(buf), a->at2);
		r->hash = model_hash(n < 0 ? (uint64_t)errno : 1, buf, n < 0 ? 0 : (size_t)n);
		r->has_stat = fstat(fd, &r->st) == 0;
	}
	if (side == 1 && m->uid != 0)
		model_mark(m->table->set_ids, r->st.st_ino);
	close(fd);
}

static void step_direct(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 80);
	a->flags =
	    (int[]){O_RDONLY, O_RDWR, O_RDWR | O_CREAT, O_RDWR | O_APPEND}[model_below(m, 4)];
	a->n = BLOCK * (size_t)(1 + model_below(m, 8));
	a->data = model_data(m, a->n);
	a->at = BLOCK * (off_t)model_below(m, 20);
	a->at2 = BLOCK * (off_t)model_below(m, 20);
	model_both(m, "direct", do_direct, a);
}

/* ---- a place in a folder is where it was */

#define PLACES 100

static void do_seekdir(struct model *m, int side, struct args *a, struct result *r)
{
	int fd = openat(
	    model_at(m, side, &a->a), a->a.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	static char names[PLACES][256];
	static long places[PLACES];
	struct dirent *e;
	unsigned n = 0;

	done(r, fd < 0 ? -1 : 0);
	if (!d)
		return;
	for (; n < PLACES; n++) {
		places[n] = telldir(d);
		e = readdir(d);
		if (!e)
			break;
		snprintf(names[n], sizeof(names[n]), "%s", e->d_name);
	}
	for (unsigned i = 0; n > 0 && i < 6; i++) {
		unsigned k = (a->mode * 7 + i * 31) % n;

		if (i == 3)
			rewinddir(d);
		seekdir(d, places[k]);
		e = readdir(d);
		if (!e || strcmp(e->d_name, names[k]) != 0)
			model_fail(m, "side %d: at %ld was %s, is %s", side, places[k], names[k],
			    e ? e->d_name : "the end");
	}
	r->value = n;
	closedir(d);
}

static void step_seekdir(struct model *m, struct args *a)
{
	model_pick_folder(m, &a->a);
	a->mode = model_below(m, PLACES);
	model_both(m, "seekdir", do_seekdir, a);
}

void model_attributes_step(struct model *m)
{
	static void (*const steps[])(struct model *, struct args *) = {step_ask, step_ask, step_ask,
	    step_empty_path, step_empty_path, step_foreign_xattr, step_whiteout, step_xattr_sizes,
	    step_xattr_sizes, step_direct, step_direct, step_seekdir};
	struct args *a = calloc(1, sizeof(*a));

	if (!a)
		model_fail(m, "no memory");
	a->a.at = a->b.at = -1;
	steps[model_below(m, sizeof(steps) / sizeof(*steps))](m, a);
	free(a);
}
