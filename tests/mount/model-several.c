/*
 * What several openers of one file do to each other: copy on write under a reader, reopening through /proc,
 * programs that run while somebody wants to write them, locks, events, sockets. Each is one operation that leaves
 * nothing open. See model.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/mount/model.h"

#define PAGE	      4096
#define PROGRAM	      "/bin/cat"
#define PROGRAM_MAX   (1 << 20)
#define NOT_A_REGULAR (-3)

static void done(struct result *r, long value)
{
	r->error = value < 0 ? errno : 0;
	r->value = value < 0 ? -1 : value;
}

static long step(struct result *r, long value)
{
	return model_step(r, value);
}

/* docs/posix.md: with passthrough a file that was open before somebody wrote may not be opened again for writing
 * through /proc. */
static bool may_be_stale(const struct model *m, int side)
{
	return side == 0 && m->table->passthrough;
}

static int reopen(int fd, int flags)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_NONBLOCK | O_CLOEXEC);
}

/* ---- a reader, and somebody who changes the file */

enum change {
	BY_WRITE,
	BY_APPEND,
	BY_TRUNCATE,
	BY_O_TRUNC,
	BY_RENAME,
	BY_UNLINK,
	BY_REOPEN,
	BY_NOTHING,
	CHANGES
};

static void rename_over(int at, const struct args *a, struct result *r)
{
	char name[PATH_BYTES + 8];
	int fd;

	snprintf(name, sizeof(name), "%s.n", a->a.path);
	fd = (int)step(r, openat(at, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
	if (fd < 0)
		return;
	step(r, write(fd, a->data, a->n));
	close(fd);
	if (step(r, renameat(at, name, at, a->a.path)) < 0)
		step(r, unlinkat(at, name, 0));
}

static void change(struct model *m, int side, struct args *a, struct result *r)
{
	int at = model_at(m, side, &a->a), fd = -1;

	switch (a->mode) {
	case BY_RENAME:
		rename_over(at, a, r);
		break;
	case BY_UNLINK:
		step(r, unlinkat(at, a->a.path, 0));
		break;
	case BY_NOTHING:
		break;
	case BY_REOPEN: /* by who reads: with what the mount answers to that in passthrough it is no change */
		if (m->uid != 0 || (side == 1 && a->moved))
			break;
		fd = reopen(a->fds[side], O_RDWR);
		a->moved = side == 0 && fd < 0 && errno == ESTALE && may_be_stale(m, side);
		if (a->moved || step(r, fd) < 0)
			break;
		step(r, pwrite(fd, a->data, a->n, a->at));
		close(fd);
		break;
	default:
		fd = openat(at, a->a.path,
		    O_WRONLY | O_CLOEXEC | (a->mode == BY_APPEND ? O_APPEND : 0) |
			(a->mode == BY_O_TRUNC ? O_TRUNC : 0));
	}
	if (a->mode > BY_O_TRUNC || step(r, fd) < 0)
		return;
	if (a->mode == BY_TRUNCATE)
		step(r, ftruncate(fd, a->at2));
	else if (a->mode != BY_O_TRUNC || a->n > 50)
		step(r, pwrite(fd, a->data, a->n, a->at));
	close(fd);
}

struct seen {
	ssize_t n;
	uint8_t bytes[PAGE];
};

static void look(int fd, off_t at, struct seen *out)
{
	out->n = pread(fd, out->bytes, PAGE, at);
}

static bool same(const struct seen *a, const struct seen *b)
{
	return a->n == b->n && (a->n <= 0 || memcmp(a->bytes, b->bytes, (size_t)a->n) == 0);
}

/* docs/posix.md: in passthrough whoever reads what is shared with a snapshot may keep what was there when
 * another one wrote; nobody sees anything else. */
static void must_be(struct model *m, int side, const struct seen *is, const struct seen *old,
    const struct seen *now, const char *who)
{
	if (!same(is, now) && !(side == 0 && m->table->passthrough && same(is, old)))
		model_fail(m,
		    "side %d: %s sees %zd bytes that are neither the old %zd nor the new %zd", side,
		    who, is->n, old->n, now->n);
}

struct reader {
	int fd;
	uint8_t *map;
	struct seen old;
	struct stat st;
};

static void look_again(struct model *m, int side, struct args *a, struct result *r,
    struct reader *x, const struct seen *now)
{
	static struct seen is;
	struct stat st;
	int fd;

	look(x->fd, a->at, &is);
	must_be(m, side, &is, &x->old, now, "the reader");
	if (x->map && x->old.n == PAGE && now->n == PAGE) {
		is.n = PAGE;
		memcpy(is.bytes, x->map, PAGE);
		must_be(m, side, &is, &x->old, now, "a mapping");
	}
	if (step(r, fstat(x->fd, &st)) < 0)
		return;
	if (st.st_ino != x->st.st_ino)
		model_fail(m, "side %d: the reader's inode number changed", side);
	r->hash = model_hash(r->hash, &st.st_nlink, sizeof(st.st_nlink));
	if (m->uid != 0)
		return; /* /proc/self/fd is root's here */
	fd = reopen(x->fd, O_RDONLY);
	if (fd < 0)
		model_fail(m, "side %d: the reader's file is not opened again: %s", side,
		    strerrorname_np(errno));
	look(fd, a->at, &is);
	must_be(m, side, &is, &x->old, now, "the reader's file, opened again,");
	close(fd);
}

/* The name leads to what the change made of it; a descriptor that has none any more keeps its content. */
static void do_under_a_reader(struct model *m, int side, struct args *a, struct result *r)
{
	int at = model_at(m, side, &a->a), fd;
	static struct seen now;
	static struct reader x;

	x.fd = openat(at, a->a.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	done(r, x.fd < 0 ? -1 : 0);
	if (x.fd < 0)
		return;
	if (fstat(x.fd, &x.st) < 0 || !S_ISREG(x.st.st_mode)) {
		r->value = NOT_A_REGULAR;
		close(x.fd);
		return;
	}
	look(x.fd, a->at, &x.old);
	x.map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, x.fd, a->at);
	x.map = x.map == MAP_FAILED ? NULL : x.map;
	a->fds[side] = x.fd;
	change(m, side, a, r);
	fd = openat(at, a->a.path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (step(r, fd) >= 0 && a->mode != BY_RENAME) {
		look(fd, a->at, &now);
		r->hash = model_hash(r->hash, now.bytes, now.n > 0 ? (size_t)now.n : 0);
		look_again(m, side, a, r, &x, &now);
	} else {
		look_again(m, side, a, r, &x, &x.old);
	}
	step(r, fchmod(x.fd, 0640 | (a->flags & 7)));
	if (fd >= 0) {
		r->has_stat = fstatat(at, a->a.path, &r->st, AT_SYMLINK_NOFOLLOW) == 0;
		if (side == 1 && m->uid != 0)
			model_mark(m->table->set_ids, x.st.st_ino);
		close(fd);
	}
	if (x.map)
		munmap(x.map, PAGE);
	close(x.fd);
}

static void step_under_a_reader(struct model *m, struct args *a)
{
	model_pick(m, &a->a, 97);
	a->mode = model_below(m, CHANGES);
	a->at = (off_t[]){0, 0, PAGE, 16 * PAGE}[model_below(m, 4)];
	a->at2 = (off_t[]){0, 1, 5000, 100000}[model_below(m, 4)];
	a->n = (size_t[]){1, 50, 5000, 20000}[model_below(m, 4)];
	a->data = model_data(m, a->n);
	a->flags = (int)model_below(m, 8);
	model_both(m, "change under a reader", do_under_a_reader, a);
}

/* ---- a descriptor opened again through /proc */

static void do_reopen(struct model *m, int side, struct args *a, struct result *r)
{
	int fd = reopen(a->h->fd[side], a->flags);

	(void)m;
	done(r, fd < 0 ? -1 : 0);
	if (fd < 0)
		return;
	if ((a->flags & O_ACCMODE) != O_RDONLY)
		step(r, pwrite(fd, a->data, a->n, a->at));
	if ((a->flags & O_ACCMODE) != O_WRONLY) {
		static struct seen s;

		look(fd, a->at, &s);
		r->hash = model_hash(r->hash, s.bytes, s.n > 0 ? (size_t)s.n : 0);
	}
	r->has_stat = fstat(fd, &r->st) == 0;
	close(fd);
}

static void step_reopen(struct model *m, struct args *a)
{
	struct stat st;

	a->h = model_handle(m, false);
	if (!a->h || m->uid != 0 || fstat(a->h->fd[1], &st) < 0 || !S_ISREG(st.st_mode))
		return;
	a->flags = (int[]){O_RDONLY, O_RDWR, O_RDWR | O_APPEND, O_WRONLY, O_RDWR | O_TRUNC,
	    O_RDONLY}[model_below(m, 6)];
	a->at = (off_t[]){0, 100, 5000}[model_below(m, 3)];
	a->n = (size_t[]){1, 300, 5000}[model_below(m, 3)];
	a->data = model_data(m, a->n);
	model_both(m, "reopen", do_reopen, a);
}

/* ---- programs */

static const uint8_t *program(size_t *out_size)
{
	static uint8_t bytes[PROGRAM_MAX];
	static ssize_t size;
	int fd;

	if (size == 0) {
		fd = open(PROGRAM, O_RDONLY | O_CLOEXEC);
		size = fd < 0 ? -1 : read(fd, bytes, sizeof(bytes));
		if (fd >= 0)
			close(fd);
	}
	*out_size = size < 0 ? 0 : (size_t)size;
	return bytes;
}

/* Returns the process, *error: of its execve. What it reads is in *in: it ends when that is closed. */
static pid_t start(int at, const char *path, int *in, int *error)
{
	int input[2], told[2], e = 0;
	pid_t pid;

	*in = -1;
	if (pipe2(input, O_CLOEXEC) < 0 || pipe2(told, O_CLOEXEC) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		char *argv[] = {(char *)(uintptr_t) "program", NULL}, *env[] = {NULL};

		if (dup2(input[0], 0) >= 0)
			syscall(SYS_execveat, at, path, argv, env, 0);
		e = errno;
		_exit(write(told[1], &e, sizeof(e)) < 0 ? 2 : 1);
	}
	close(input[0]);
	close(told[1]);
	*error = read(told[0], &e, sizeof(e)) == sizeof(e) ? e : 0;
	close(told[0]);
	*in = input[1];
	return pid;
}

static void end(struct result *r, pid_t pid, int in)
{
	int status = -1;

	if (in >= 0)
		close(in);
	if (pid > 0)
		(void)waitpid(pid, &status, 0);
	r->hash = model_hash(r->hash, &status, sizeof(status));
	model_say(r, "=%d", status);
}

static void while_it_runs(struct model *m, int side, struct args *a, struct result *r)
{
	int at = model_at(m, side, &a->a);
	int fd = (int)step(r, openat(at, a->a.path, O_RDWR | O_CLOEXEC));

	if (fd >= 0)
		close(fd);
	/* docs/posix.md: not O_RDONLY | O_TRUNC */
	fd = (int)step(r, openat(at, a->a.path, O_WRONLY | O_TRUNC | O_CLOEXEC));
	if (fd >= 0)
		close(fd);
	if (model_enter(m, side, &a->a) == 0)
		step(r, truncate(a->a.path, 10));
	model_leave(m);
	step(r, fstatat(at, a->a.path, &r->st, 0));
	r->hash = model_hash(r->hash, &r->st.st_size, sizeof(r->st.st_size));
}

/* Whether somebody has it open for writing, whether it runs, is for each side to say; then it is written again. */
static void do_program(struct model *m, int side, struct args *a, struct result *r)
{
	int at = model_at(m, side, &a->a), fd, in = -1, e = 0;
	size_t size;
	const uint8_t *bytes = program(&size);
	struct stat st = {0};
	pid_t pid;

	fd = openat(at, a->a.path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | a->flags, 0755);
	done(r, fd < 0 ? -1 : 0);
	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		step(r, write(fd, bytes, a->n ? a->n : size));
		step(r, fchmod(fd, a->mode));
		pid = start(at, a->a.path, &in, &e);
		end(r, pid, in);
		r->hash = model_hash(r->hash, &e, sizeof(e));
		model_say(r, "exec %s", e ? strerrorname_np(e) : "ok");
	}
	close(fd);
	if (side == 0) /* docs/posix.md: whose mapping counts as a writer */
		a->moved = model_is_held(m, st.st_ino);
	if (!a->moved) {
		pid = start(at, a->a.path, &in, &e);
		r->hash = model_hash(r->hash, &e, sizeof(e));
		model_say(r, "exec %s", e ? strerrorname_np(e) : "ok");
		if (e == 0)
			while_it_runs(m, side, a, r);
		end(r, pid, in);
	}
	fd = (int)step(r, openat(at, a->a.path, O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC));
	if (fd >= 0) {
		step(r, write(fd, "x", 1));
		close(fd);
	}
	if (side == 1 && m->uid != 0)
		model_mark(m->table->set_ids, st.st_ino);
}

static void step_program(struct model *m, struct args *a)
{
	if (model_below(m, 6) != 0)
		return;
	model_pick(m, &a->a, 30);
	a->flags = O_CREAT | O_TRUNC;
	a->mode = model_chance(m, 85) ? 0755 : 0644;
	a->n = model_chance(m, 80) ? 0 : 20; /* no program */
	model_both(m, "program", do_program, a);
}

/* ---- locks */

static void do_flock(struct model *m, int side, struct args *a, struct result *r)
{
	(void)m;
	done(r, flock(a->h->fd[side], a->flags | LOCK_NB));
}

static void do_ofd_lock(struct model *m, int side, struct args *a, struct result *r)
{
	struct flock l = {
	    .l_type = (short)a->mode, .l_whence = SEEK_SET, .l_start = a->at, .l_len = (off_t)a->n};

	(void)m;
	done(r, fcntl(a->h->fd[side], a->flags, &l));
	if (r->error == 0 && a->flags == F_OFD_GETLK)
		r->value = l.l_type == F_UNLCK ? F_UNLCK : l.l_type + 10 + (long)l.l_start * 100;
}

/* The lock of a process, asked for by another. A process loses it with any of its descriptors of the file. */
static void do_process_lock(struct model *m, int side, struct args *a, struct result *r)
{
	struct flock l = {
	    .l_type = (short)a->mode, .l_whence = SEEK_SET, .l_start = a->at, .l_len = (off_t)a->n};
	int status = -1;
	pid_t pid;

	(void)m;
	done(r, fcntl(a->h->fd[side], F_SETLK, &l));
	if (r->error)
		return;
	pid = fork();
	if (pid == 0) {
		l.l_type = F_RDLCK;
		l.l_start = 3;
		_exit(fcntl(a->h->fd[side], F_SETLK, &l) < 0 ? errno : 0);
	}
	if (pid > 0)
		(void)waitpid(pid, &status, 0);
	r->hash = model_hash(1, &status, sizeof(status));
	l.l_type = F_UNLCK;
	step(r, fcntl(a->h->fd[side], F_SETLK, &l));
}

static void step_lock(struct model *m, struct args *a)
{
	a->h = model_handle(m, model_chance(m, 15));
	if (!a->h)
		return;
	a->h->locked |= !a->h->is_path;
	a->at = (off_t[]){0, 5, 4096}[model_below(m, 3)];
	a->n = (size_t[]){0, 1, 10}[model_below(m, 3)];
	a->mode = (unsigned[]){F_RDLCK, F_WRLCK, F_UNLCK}[model_below(m, 3)];
	switch (model_below(m, 8)) {
	case 0:
	case 1:
	case 2:
		a->flags = (int[]){LOCK_SH, LOCK_EX, LOCK_UN}[model_below(m, 3)];
		model_both(m, "flock", do_flock, a);
		return;
	case 3:
		if (a->mode != F_UNLCK)
			model_both(m, "process lock", do_process_lock, a);
		return;
	default:
		a->flags = a->mode != F_UNLCK && model_chance(m, 30) ? F_OFD_GETLK : F_OFD_SETLK;
		model_both(m, "ofd lock", do_ofd_lock, a);
	}
}

/* ---- events */

static void read_events(int fd, struct result *r)
{
	char buf[8192] __attribute__((aligned(8)));
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		for (ssize_t at = 0; at < n;) {
			const struct inotify_event *e = (const struct inotify_event *)(buf + at);

			at += (ssize_t)sizeof(*e) + e->len;
			if (e->mask & (IN_DELETE_SELF | IN_IGNORED))
				continue; /* come when the kernel drops the inode, which is no moment of anybody's */
			model_say(r, "%d:%x %s", e->wd, e->mask, e->len ? e->name : "");
			r->hash = model_hash(r->hash, &e->mask, sizeof(e->mask));
			r->hash = model_hash(r->hash, &e->wd, sizeof(e->wd));
			r->hash = model_hash(r->hash, e->name, strnlen(e->name, e->len));
			r->value++;
		}
	}
}

static void cause_events(int in, const struct args *a, struct result *r)
{
	int fd = (int)step(r, open("watched", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
	char byte;

	if (fd < 0)
		return;
	step(r, inotify_add_watch(in, "watched", IN_ALL_EVENTS));
	step(r, write(fd, a->data, a->n));
	step(r, pread(fd, &byte, 1, 0));
	step(r, ftruncate(fd, 3));
	close(fd);
	step(r, chmod("watched", 0640));
	step(r, link("watched", "watched2"));
	step(r, rename("watched", "watched3"));
	step(r, renameat2(AT_FDCWD, "watched2", AT_FDCWD, "watched3", RENAME_EXCHANGE));
	step(r, unlink("watched2"));
	step(r, mkdir("watched2", 0700));
	step(r, rename("watched3", "watched2/x"));
	step(r, unlink("watched2/x"));
	step(r, rmdir("watched2"));
}

static void do_events(struct model *m, int side, struct args *a, struct result *r)
{
	int in = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);

	if (in < 0)
		model_fail(m, "inotify: %s", strerror(errno));
	done(r, model_enter(m, side, &a->a) < 0 || chdir(a->a.path) < 0 ? -1 : 0);
	if (r->error == 0) {
		step(r, inotify_add_watch(in, ".", IN_ALL_EVENTS));
		cause_events(in, a, r);
		read_events(in, r);
	}
	model_leave(m);
	close(in);
}

static void step_events(struct model *m, struct args *a)
{
	if (model_below(m, 3) != 0)
		return;
	model_pick_folder(m, &a->a);
	a->n = 500;
	a->data = model_data(m, a->n);
	model_both(m, "events", do_events, a);
}

/* ---- sockets */

static void do_socket(struct model *m, int side, struct args *a, struct result *r)
{
	struct sockaddr_un name = {.sun_family = AF_UNIX};
	int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int c = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(name.sun_path, sizeof(name.sun_path), "%.107s", a->b.path);
	done(r, model_enter(m, side, &a->a) < 0 || chdir(a->a.path) < 0 ? -1 : 0);
	if (r->error == 0) {
		step(r, bind(s, (struct sockaddr *)&name, sizeof(name)));
		step(r, listen(s, 1));
		step(r, connect(c, (struct sockaddr *)&name, sizeof(name)));
	}
	model_leave(m);
	close(c);
	close(s);
}

static void step_socket(struct model *m, struct args *a)
{
	if (model_below(m, 6) != 0)
		return;
	model_pick_folder(m, &a->a);
	snprintf(a->b.path, sizeof(a->b.path), "%c", "abcdefghij"[model_below(m, 10)]);
	model_both(m, "socket", do_socket, a);
}

void model_several_step(struct model *m)
{
	static void (*const steps[])(struct model *, struct args *) = {step_under_a_reader,
	    step_under_a_reader, step_under_a_reader, step_reopen, step_reopen, step_lock,
	    step_lock, step_lock, step_program, step_events, step_socket};
	struct args *a = calloc(1, sizeof(*a));

	if (!a)
		model_fail(m, "no memory");
	a->a.at = a->b.at = -1;
	steps[model_below(m, sizeof(steps) / sizeof(*steps))](m, a);
	free(a);
}
