/* Operations on names. See model.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "tests/mount/model.h"

static void done(struct result *r, long value)
{
	r->error = value < 0 ? errno : 0;
	r->value = value < 0 ? -1 : value;
}

static void do_stat(struct model *m, int side, struct args *a, struct result *r)
{
	int at = model_at(m, side, &a->a), flags = a->flags & AT_SYMLINK_NOFOLLOW;

	done(r, fstatat(at, a->a.path, &r->st, flags));
	r->has_stat = r->error == 0;
	if (side == 0)
		a->at2 = r->has_stat ? (off_t)r->st.st_ino : 0;
	else if (r->has_stat && a->at2) {
		uint64_t key = model_ino_key(at, a->a.path, flags);

		if (key && !model_ino_same(m->table, key, (uint64_t)a->at2))
			model_fail(m, "%s has another inode number than before", a->a.path);
	}
}

static void do_access(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, faccessat(model_at(m, side, &a->a), a->a.path, (int)a->mode & 7, AT_EACCESS));
}

static void do_mkdir(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, mkdirat(model_at(m, side, &a->a), a->a.path, a->mode));
}

static void do_unlink(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, unlinkat(model_at(m, side, &a->a), a->a.path, a->flags));
}

static void do_link(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, linkat(model_at(m, side, &a->a), a->a.path, model_at(m, side, &a->b), a->b.path,
		    a->flags));
}

static void do_symlink(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, symlinkat(a->name, model_at(m, side, &a->a), a->a.path));
}

static void do_readlink(struct model *m, int side, struct args *a, struct result *r)
{
	char text[4096];
	ssize_t n = readlinkat(model_at(m, side, &a->a), a->a.path, text, a->n);

	done(r, n);
	r->hash = n < 0 ? 0 : model_hash(1, text, (size_t)n);
}

static void do_mknod(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, mknodat(model_at(m, side, &a->a), a->a.path, a->mode, (dev_t)a->at));
}

static void do_rename(struct model *m, int side, struct args *a, struct result *r)
{
	done(r, renameat2(model_at(m, side, &a->a), a->a.path, model_at(m, side, &a->b), a->b.path,
		    (unsigned)a->flags));
}

static void do_chmod(struct model *m, int side, struct args *a, struct result *r)
{
	struct stat st;

	done(r, fchmodat(model_at(m, side, &a->a), a->a.path, a->mode, 0));
	if (side == 1 && r->error == 0 && fstatat(model_at(m, 1, &a->a), a->a.path, &st, 0) == 0)
		model_unmark(m->table->set_ids, st.st_ino);
}

static void do_chown(struct model *m, int side, struct args *a, struct result *r)
{
	done(r,
	    fchownat(model_at(m, side, &a->a), a->a.path, (uid_t)a->uid, (gid_t)a->gid, a->flags));
}

/* What was set is there, to the nanosecond. */
static void do_utimens(struct model *m, int side, struct args *a, struct result *r)
{
	int at = model_at(m, side, &a->a);
	struct stat st;

	done(r, utimensat(at, a->a.path, a->times, a->flags));
	if (r->error || fstatat(at, a->a.path, &st, a->flags) < 0)
		return;
	for (int i = 0; i < 2; i++) {
		struct timespec *t = i ? &st.st_mtim : &st.st_atim;

		if (a->times[i].tv_nsec < 1000000000)
			r->hash = model_hash(model_hash(r->hash, &t->tv_sec, sizeof(t->tv_sec)),
			    &t->tv_nsec, sizeof(t->tv_nsec));
	}
}

static void do_truncate(struct model *m, int side, struct args *a, struct result *r)
{
	long e = model_enter(m, side, &a->a);

	done(r, e < 0 ? e : truncate(a->a.path, a->at));
	model_leave(m);
}

static void do_setxattr(struct model *m, int side, struct args *a, struct result *r)
{
	long e = model_enter(m, side, &a->a);

	done(r, e < 0 ? e : lsetxattr(a->a.path, a->name, a->data, a->n, a->flags));
	model_leave(m);
}

static void do_getxattr(struct model *m, int side, struct args *a, struct result *r)
{
	char value[4096];
	ssize_t n = model_enter(m, side, &a->a);

	n = n < 0 ? n : lgetxattr(a->a.path, a->name, value, a->n);
	done(r, n);
	model_leave(m);
	r->hash = n > 0 && a->n ? model_hash(1, value, (size_t)n) : 0;
}

static void do_removexattr(struct model *m, int side, struct args *a, struct result *r)
{
	long e = model_enter(m, side, &a->a);

	done(r, e < 0 ? e : lremovexattr(a->a.path, a->name));
	model_leave(m);
}

/* The names together, in any order: only those that both may have. */
static void do_listxattr(struct model *m, int side, struct args *a, struct result *r)
{
	char list[8192];
	ssize_t n = model_enter(m, side, &a->a);

	n = n < 0 ? n : llistxattr(a->a.path, list, a->n ? a->n : sizeof(list));
	done(r, n);
	model_leave(m);
	for (char *p = list; n > 0 && p < list + n; p += strlen(p) + 1)
		if (strncmp(p, "user.", 5) == 0)
			r->hash += model_hash(1, p, strlen(p));
}

static void do_list(struct model *m, int side, struct args *a, struct result *r)
{
	int fd = openat(
	    model_at(m, side, &a->a), a->a.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	done(r, fd < 0 ? -1 : 0);
	while (d && (errno = 0, e = readdir(d))) {
		r->hash += model_hash(e->d_type, e->d_name, strlen(e->d_name));
		r->value++;
	}
	if (d && errno)
		r->error = errno;
	if (d)
		closedir(d);
}

/* A whole file, from open to close. */
static void do_read(struct model *m, int side, struct args *a, struct result *r)
{
	static uint8_t buf[1 << 16];
	int fd = openat(model_at(m, side, &a->a), a->a.path, a->flags | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = 0;

	done(r, fd < 0 ? -1 : 0);
	if (fd < 0)
		return;
	r->has_stat = fstat(fd, &r->st) == 0;
	if (side == 1 && m->uid != 0 && a->flags & O_ACCMODE)
		model_mark(m->table->set_ids, r->st.st_ino);
	while (S_ISREG(r->st.st_mode) && (n = read(fd, buf, sizeof(buf))) > 0) {
		r->hash = model_hash(r->hash, buf, (size_t)n);
		r->value += n;
	}
	if (n < 0)
		r->error = errno;
	close(fd);
}

static void do_write(struct model *m, int side, struct args *a, struct result *r)
{
	int fd =
	    openat(model_at(m, side, &a->a), a->a.path, a->flags | O_NONBLOCK | O_CLOEXEC, a->mode);
	struct stat st;

	done(r, fd < 0 ? -1 : 0);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		done(r, a->at < 0 ? write(fd, a->data, a->n) : pwrite(fd, a->data, a->n, a->at));
		r->has_stat = fstat(fd, &r->st) == 0;
		if (side == 1 && m->uid != 0 && a->n == 0)
			model_mark(m->table->set_ids, st.st_ino);
	}
	close(fd);
}

/* ---- times that an operation moves */

static bool parent_stat(struct model *m, int side, const struct place *p, struct stat *out)
{
	char path[PATH_BYTES];
	char *slash;

	snprintf(path, sizeof(path), "%s", p->path);
	slash = strrchr(path, '/');
	if (!slash)
		return fstatat(model_at(m, side, p), "", out, AT_EMPTY_PATH) == 0;
	if (slash[1] == 0 || strcmp(slash, "/.") == 0)
		return false;
	*slash = 0;
	return fstatat(model_at(m, side, p), path, out, 0) == 0;
}

struct watched {
	struct stat st[3]; /* a's folder, b's folder, a */
	bool is[3];
};

static void watch(struct model *m, int side, const struct args *a, struct watched *out)
{
	out->is[0] = parent_stat(m, side, &a->a, &out->st[0]);
	out->is[1] = a->b.path[0] && parent_stat(m, side, &a->b, &out->st[1]);
	out->is[2] =
	    fstatat(model_at(m, side, &a->a), a->a.path, &out->st[2], AT_SYMLINK_NOFOLLOW) == 0;
}

static bool time_moved(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec || a->tv_nsec != b->tv_nsec;
}

/* What moves on ext4 moves on the mount: modification times of folders no more than that, change times
 * perhaps (docs/posix.md: a commit moves them). As root, who may ask for all of them. */
static void do_watched(struct model *m, int side, struct args *a, struct result *r)
{
	struct watched before, after;
	unsigned moved = 0, wrong;

	watch(m, side, a, &before);
	a->inner(m, side, a, r);
	watch(m, side, a, &after);
	for (unsigned i = 0; i < 3; i++) {
		if (!before.is[i] || !after.is[i] || before.st[i].st_ino != after.st[i].st_ino)
			continue;
		if (i < 2 && time_moved(&before.st[i].st_mtim, &after.st[i].st_mtim))
			moved |= 1u << i;
		if (time_moved(&before.st[i].st_ctim, &after.st[i].st_ctim))
			moved |= 8u << i;
	}
	if (side == 0)
		a->moved = moved;
	wrong = side == 0 ? 0 : (moved & ~a->moved) | ((moved ^ a->moved) & 7);
	if (wrong)
		model_fail(m, "times that moved: %#x on the mount, %#x natively", a->moved, moved);
}

static struct result both(struct model *m, const char *what, op_fn *fn, struct args *a)
{
	a->inner = fn;
	return model_both(m, what, m->uid == 0 ? do_watched : fn, a);
}

/* ---- choices */

static void step_write(struct model *m, struct args *a)
{
	static const int flags[] = {0, O_CREAT, O_CREAT, O_CREAT | O_EXCL, O_TRUNC, O_APPEND,
	    O_CREAT | O_TRUNC, O_CREAT | O_APPEND, O_CREAT | O_NOFOLLOW, O_CREAT | O_DIRECTORY};

	model_pick(m, &a->a, 55);
	a->flags = O_WRONLY | flags[model_below(m, 10)];
	a->mode = (unsigned[]){0644, 0600, 0666, 0755, 0400}[model_below(m, 5)];
	a->n = (size_t[]){0, 1, 100, 5000, 70000}[model_below(m, 5)];
	a->at = (off_t[]){0, 0, -1, 10, 9000, 300000}[model_below(m, 6)];
	a->data = model_data(m, a->n);
	model_both(m, "write", do_write, a);
}

static void step_read(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 92);
	a->flags = (int[]){O_RDONLY, O_RDONLY, O_NOFOLLOW, O_DIRECTORY, O_RDWR}[model_below(m, 5)];
	model_both(m, "read", do_read, a);
}

static void step_stat(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 90);
	a->flags = model_chance(m, 70) ? AT_SYMLINK_NOFOLLOW : 0;
	a->mode = model_below(m, 8);
	model_both(m, "stat", do_stat, a);
	if (model_chance(m, 25))
		model_both(m, "access", do_access, a);
}

static unsigned depth(const char *path)
{
	unsigned n = 0;

	while (*path)
		n += *path++ == '/';
	return n;
}

static void step_mkdir(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 10);
	if (depth(a->a.path) > 7)
		return;
	a->mode = (unsigned[]){0755, 0777, 0700, 01777, 02775, 0}[model_below(m, 6)];
	both(m, "mkdir", do_mkdir, a);
}

static void step_remove(struct model *m, struct args *a)
{
	a->flags = model_chance(m, 30) ? AT_REMOVEDIR : 0;
	if (a->flags && model_chance(m, 80))
		model_pick_folder(m, &a->a);
	else
		model_pick(m, &a->a, 92);
	if (a->a.at < 0 && !strchr(a->a.path, '/'))
		return; /* a part itself */
	both(m, a->flags ? "rmdir" : "unlink", do_unlink, a);
}

static void step_link(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 92);
	model_pick(m, &a->b, 15);
	a->flags = model_chance(m, 25) ? AT_SYMLINK_FOLLOW : 0;
	both(m, "link", do_link, a);
}

static void step_symlink(struct model *m, struct args *a)
{
	static char target[4200];

	if (model_chance(m, 70)) {
		snprintf(target, sizeof(target), "%s",
		    (const char *[]){
			"a", "b", "c1", "d/e", "a/b/c", "./a", "x//y"}[model_below(m, 7)]);
	} else {
		size_t n = (size_t[]){255, 300, 1000, 4095, 4096}[model_below(m, 5)];

		memset(target, 't', n);
		target[n] = 0;
	}
	a->name = target;
	model_pick(m, &a->a, 5);
	both(m, "symlink", do_symlink, a);
}

static void step_readlink(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 95);
	a->n = model_chance(m, 80) ? 4096 : 3;
	model_both(m, "readlink", do_readlink, a);
}

static void step_mknod(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 5);
	a->mode = 0640 | (unsigned[]){S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK, S_IFREG, 0,
			     S_IFDIR}[model_below(m, 7)];
	a->at = S_ISCHR(a->mode) || S_ISBLK(a->mode)
		    ? (off_t)makedev(240 + model_below(m, 3), model_below(m, 300))
		    : 0;
	both(m, "mknod", do_mknod, a);
}

static void step_rename(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 92);
	if (model_chance(m, 15))
		model_pick_folder(m, &a->a);
	model_pick(m, &a->b, 45);
	if (model_chance(m, 10))
		model_pick_folder(m, &a->b);
	if ((a->a.at < 0 && !strchr(a->a.path, '/')) || (a->b.at < 0 && !strchr(a->b.path, '/')) ||
	    depth(a->b.path) > 8)
		return;
	a->flags = (int[]){0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_EXCHANGE,
	    RENAME_NOREPLACE | RENAME_EXCHANGE, 8}[model_below(m, 8)];
	both(m, "rename", do_rename, a);
}

static void step_chmod(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 92);
	if (a->a.at < 0 && !strchr(a->a.path, '/'))
		return;
	a->mode = (unsigned[]){0600, 0644, 0755, 0777, 04755, 02755, 01777, 0, 02777, 06777,
	    02666}[model_below(m, 11)];
	both(m, "chmod", do_chmod, a);
}

static void step_chown(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 92);
	a->uid = (int[]){-1, 0, USER, 1001}[model_below(m, 4)];
	a->gid = (int[]){-1, 0, USER, 1001}[model_below(m, 4)];
	a->flags = model_chance(m, 60) ? AT_SYMLINK_NOFOLLOW : 0;
	if (m->uid != 0 && a->uid < 0 && a->gid < 0)
		return; /* docs/posix.md: set-id bits */
	both(m, "chown", do_chown, a);
}

static void step_utimens(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 92);
	for (int i = 0; i < 2; i++) {
		a->times[i].tv_sec = (time_t)model_below(m, 3000000000u) - 1500000000;
		a->times[i].tv_nsec = (long)model_below(m, 1000000000);
		if (model_chance(m, 10))
			a->times[i].tv_nsec = model_chance(m, 50) ? UTIME_NOW : UTIME_OMIT;
	}
	a->flags = model_chance(m, 60) ? AT_SYMLINK_NOFOLLOW : 0;
	model_both(m, "utimens", do_utimens, a);
}

static void step_truncate(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 92);
	a->at = (off_t[]){0, 0, 1, 100, 4096, 100000, 2000000, -1}[model_below(m, 8)];
	model_both(m, "truncate", do_truncate, a);
}

static void step_xattr(struct model *m, struct args *a)
{
	static const char *const names[] = {
	    "user.a", "user.b", "user.c", "user.longer-name", "user.", "nonsense", ""};

	model_pick(m, &a->a, 94);
	a->name = names[model_below(m, 7)];
	switch (model_below(m, 5)) {
	case 0:
	case 1:
		a->n = (size_t[]){0, 5, 300, 700}[model_below(m, 4)];
		a->data = model_data(m, a->n);
		a->flags = (int[]){0, 0, XATTR_CREATE, XATTR_REPLACE}[model_below(m, 4)];
		both(m, "setxattr", do_setxattr, a);
		break;
	case 2:
		a->n = (size_t[]){0, 4, 1000}[model_below(m, 3)];
		model_both(m, "getxattr", do_getxattr, a);
		break;
	case 3:
		both(m, "removexattr", do_removexattr, a);
		break;
	default:
		a->n = model_chance(m, 20) ? 3 : 0;
		model_both(m, "listxattr", do_listxattr, a);
	}
}

static void step_list(struct model *m, struct args *a)
{
	if (model_chance(m, 80))
		model_pick_folder(m, &a->a);
	else
		model_pick(m, &a->a, 90);
	model_both(m, "list", do_list, a);
}

/* ---- a folder read while it changes: what stays is met once */

#define CROWD 60

static unsigned read_some(int fd, unsigned seen[CROWD], unsigned calls)
{
	char buf[600];
	long n = 0;

	while (calls-- > 0 && (n = syscall(SYS_getdents64, fd, buf, sizeof(buf))) > 0) {
		for (long at = 0; at < n;) {
			struct dirent64 *e = (struct dirent64 *)(buf + at);
			unsigned i;

			if (e->d_name[0] == 'k' &&
			    (i = (unsigned)strtoul(e->d_name + 1, NULL, 10)) < CROWD)
				seen[i]++;
			at += e->d_reclen;
		}
	}
	return n < 0 ? (unsigned)errno : 0;
}

static void do_crowd(struct model *m, int side, struct args *a, struct result *r)
{
	unsigned seen[CROWD] = {0}, e;
	int at = model_at(m, side, &a->a), fd, file;
	char name[20];

	done(r, mkdirat(at, a->a.path, 0755));
	fd = r->error ? -1 : openat(at, a->a.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return;
	for (unsigned i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "k%u", i);
		file = openat(fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		close(file);
	}
	e = read_some(fd, seen, (unsigned)a->n);
	for (unsigned i = a->mode % 7; i < CROWD; i += 7) { /* goes, comes, moves */
		char other[24];

		snprintf(name, sizeof(name), "k%u", i);
		snprintf(other, sizeof(other), "x%u", i);
		if (i % 2)
			unlinkat(fd, name, 0);
		else
			renameat(fd, name, fd, other);
		mkdirat(fd, name, 0700);
	}
	e |= read_some(fd, seen, 1000);
	for (unsigned i = 0; i < CROWD; i++)
		if (i % 7 != a->mode % 7 && seen[i] != 1)
			model_fail(m, "side %d: %s/k%u was met %u times by readdir", side,
			    a->a.path, i, seen[i]);
	r->error = (int)e;
	for (unsigned i = 0; i < CROWD; i++) {
		snprintf(name, sizeof(name), "k%u", i);
		if (unlinkat(fd, name, 0) < 0 && errno == EISDIR)
			unlinkat(fd, name, AT_REMOVEDIR);
		snprintf(name, sizeof(name), "x%u", i);
		unlinkat(fd, name, 0);
	}
	close(fd);
	r->hash = unlinkat(at, a->a.path, AT_REMOVEDIR) < 0 ? (uint64_t)errno : 0;
}

static void step_crowd(struct model *m, struct args *a)
{
	if (model_below(m, 10) != 0)
		return;
	model_pick(m, &a->a, 0);
	a->n = model_below(m, 5);
	a->mode = model_below(m, 7);
	model_both(m, "crowd", do_crowd, a);
}

void model_names_step(struct model *m)
{
	static const struct {
		void (*fn)(struct model *m, struct args *a);
		unsigned weight;
	} steps[] = {{step_write, 16}, {step_read, 8}, {step_stat, 8}, {step_mkdir, 8},
	    {step_remove, 12}, {step_link, 5}, {step_symlink, 4}, {step_readlink, 3},
	    {step_mknod, 3}, {step_rename, 14}, {step_chmod, 5}, {step_chown, 4}, {step_utimens, 5},
	    {step_truncate, 5}, {step_xattr, 8}, {step_list, 4}, {step_crowd, 1}};
	struct args *a = calloc(1, sizeof(*a));
	unsigned total = 0, n;

	if (!a)
		model_fail(m, "no memory");
	a->a.at = a->b.at = -1;
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
		total += steps[i].weight;
	n = model_below(m, total);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		if (n < steps[i].weight) {
			steps[i].fn(m, a);
			break;
		}
		n -= steps[i].weight;
	}
	free(a);
}
