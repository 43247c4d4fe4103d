/*
 * Descriptors: whole transfers, durable replacement, copies. Trees of folders are in tree.c, sockets
 * in sock.c. No state; any thread.
 */
#include "core/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "core/fault.h"
#include "core/guard.h"
#include "core/path.h"

#define SLURP_BYTES	 ((size_t)64 << 10)
#define COPY_BLOCK_BYTES ((size_t)1 << 20)
#define COPY_STEP_BYTES	 ((off_t)16 << 20) /* between two looks at whether to go on */

void orch_fd_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

void orch_auto_fd(int *fd)
{
	orch_fd_close(*fd);
	*fd = -1;
}

/* One transfer of any direction: at < 0 means the descriptor's own position. */
static ssize_t write_some(int fd, const void *p, size_t n, off_t at)
{
	ssize_t r;

	do
		r = at < 0 ? write(fd, p, n) : pwrite(fd, p, n, at);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static ssize_t read_some(int fd, void *p, size_t n, off_t at)
{
	ssize_t r;

	do
		r = at < 0 ? read(fd, p, n) : pread(fd, p, n, at);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : r;
}

static int write_whole(int fd, const uint8_t *p, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t r = write_some(fd, p, n, at);

		if (r <= 0)
			return r < 0 ? (int)r : -EIO;
		p += r;
		n -= (size_t)r;
		at += at < 0 ? 0 : r;
	}
	return 0;
}

static int read_whole(int fd, uint8_t *p, size_t n, off_t at)
{
	while (n > 0) {
		ssize_t r = read_some(fd, p, n, at);

		if (r <= 0)
			return r < 0 ? (int)r : -ENODATA;
		p += r;
		n -= (size_t)r;
		at += at < 0 ? 0 : r;
	}
	return 0;
}

int orch_fd_write_all(int fd, const void *p, size_t n)
{
	return write_whole(fd, p, n, -1);
}

int orch_fd_pwrite_all(int fd, const void *p, size_t n, off_t at)
{
	return at < 0 ? -EINVAL : write_whole(fd, p, n, at);
}

int orch_fd_read_all(int fd, void *p, size_t n)
{
	return read_whole(fd, p, n, -1);
}

int orch_fd_pread_all(int fd, void *p, size_t n, off_t at)
{
	return at < 0 ? -EINVAL : read_whole(fd, p, n, at);
}

/* With the buffer full: 0 at the end of the file, -EOVERFLOW when there is more. */
static int expect_end(int fd)
{
	uint8_t byte;
	ssize_t r = read_some(fd, &byte, 1, -1);

	return r < 0 ? (int)r : r > 0 ? -EOVERFLOW : 0;
}

static int slurp_rest(int fd, struct orch_buf *buf)
{
	for (;;) {
		size_t room = buf->max - buf->len;
		ssize_t n;
		int r;

		if (room == 0)
			return expect_end(fd);
		if (buf->cap - buf->len < SLURP_BYTES / 8) {
			r = orch_buf_reserve(buf, room < SLURP_BYTES ? room : SLURP_BYTES);
			if (r < 0)
				return r;
		}
		n = read_some(fd, buf->data + buf->len, buf->cap - buf->len, -1);
		if (n <= 0)
			return (int)n;
		buf->len += (size_t)n;
		buf->data[buf->len] = '\0';
	}
}

int orch_fd_slurp(int fd, struct orch_buf *buf)
{
	size_t before = buf->len;
	struct stat st;
	int r = 0;

	if (buf->failed)
		return -ENOMEM;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
	    (uint64_t)st.st_size < buf->max - buf->len)
		r = orch_buf_reserve(buf, (size_t)st.st_size + 1);
	if (r == 0)
		r = slurp_rest(fd, buf);
	if (r < 0) {
		buf->len = before;
		if (buf->data)
			buf->data[before] = '\0';
		buf->failed = true;
	}
	return r;
}

int orch_file_load(int dirfd, const char *name, struct orch_buf *buf, struct orch_err *err)
{
	orch_auto(fd) int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC);
	int r = fd < 0 ? -errno : orch_fd_slurp(fd, buf);

	return r < 0 ? orch_err_sys(err, -r, "cannot read %s", name) : 0;
}

void orch_fd_in_place(int fd)
{
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return;
	flags |= FS_NOCOW_FL;
	(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
}

int orch_fd_sync(int fd)
{
	return fsync(fd) < 0 ? -errno : 0;
}

/* The folder that holds path: "." for a bare name. malloc'd. */
static char *parent_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

int orch_fd_sync_parent(int dirfd, const char *path)
{
	orch_auto(free) char *parent = parent_of(path);
	orch_auto(fd) int fd = -1;

	if (!parent)
		return -ENOMEM;
	fd = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : orch_fd_sync(fd);
}

int orch_rename(int fromdir, const char *from, int todir, const char *to, unsigned flags)
{
	return renameat2(fromdir, from, todir, to, flags) < 0 ? -errno : 0;
}

/* Makes a new file in folder under a name of its own; fd or -errno. */
static int temporary_create(int folder, char name[32])
{
	for (int i = 0; i < 16; i++) {
		uint64_t random;
		int fd;

		if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
			return -EIO;
		snprintf(name, 32, ".orch-%016" PRIx64, random);
		fd = openat(
		    folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0 || errno != EEXIST)
			return fd < 0 ? -errno : fd;
	}
	return -EEXIST;
}

static int write_and_sync(int fd, const void *p, size_t n, mode_t mode)
{
	int r = orch_fd_write_all(fd, p, n);

	if (r == 0 && fchmod(fd, mode) < 0)
		r = -errno;
	return r < 0 ? r : orch_fd_sync(fd);
}

static int save_in(int folder, const char *name, const void *p, size_t n, mode_t mode)
{
	char temporary[32];
	int fd = temporary_create(folder, temporary);
	int r;

	if (fd < 0)
		return fd;
	r = write_and_sync(fd, p, n, mode);
	if (close(fd) < 0 && r == 0)
		r = -errno;
	if (r == 0)
		r = orch_rename(folder, temporary, folder, name, 0);
	if (r < 0) {
		unlinkat(folder, temporary, 0);
		return r;
	}
	return orch_fd_sync(folder);
}

int orch_file_save(
    int dirfd, const char *name, const void *p, size_t n, mode_t mode, struct orch_err *err)
{
	const char *slash = strrchr(name, '/');
	const char *base = slash ? slash + 1 : name;
	orch_auto(free) char *parent = parent_of(name);
	orch_auto(fd) int folder = -1;
	int r;

	if (slash && dirfd != AT_FDCWD)
		return orch_err_set(err, EINVAL, "cannot write %s: a bare name is wanted", name);
	if (!parent)
		return orch_err_sys(err, ENOMEM, "cannot write %s", name);
	if (!orch_name_valid(base, strlen(base)))
		return orch_err_set(err, EINVAL, "cannot write %s: not the name of a file", name);
	folder = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	r = folder < 0 ? -errno : save_in(folder, base, p, n, mode);
	return r < 0 ? orch_err_sys(err, -r, "cannot write %s", name) : 0;
}

/* What a copy works with; `block` is made when the kernel can't copy by itself. */
struct copy_job {
	int from, to;
	const atomic_bool *cancel;
	orch_go_on_fn *go_on;
	void *arg;
	uint8_t *block;
};

static bool kernel_copy_refused(int code)
{
	return code == EXDEV || code == ENOSYS || code == EOPNOTSUPP || code == EINVAL ||
	       code == EPERM || code == ETXTBSY;
}

/* By read and write: up to n bytes at `at`; what was copied, 0 at the end of the file. */
static ssize_t copy_by_hand(struct copy_job *j, off_t at, size_t n)
{
	ssize_t got;
	int r;

	if (!j->block)
		j->block = malloc(COPY_BLOCK_BYTES);
	if (!j->block)
		return -ENOMEM;
	got = read_some(j->from, j->block, n < COPY_BLOCK_BYTES ? n : COPY_BLOCK_BYTES, at);
	if (got <= 0)
		return got;
	r = orch_fd_pwrite_all(j->to, j->block, (size_t)got, at);
	return r < 0 ? r : got;
}

static ssize_t copy_some(struct copy_job *j, off_t at, size_t n)
{
	loff_t in = at, out = at;
	ssize_t r;

	if (j->block)
		return copy_by_hand(j, at, n);
	do
		r = copy_file_range(j->from, &in, j->to, &out, n, 0);
	while (r < 0 && errno == EINTR);
	if (r > 0)
		return r;
	if (r < 0 && !kernel_copy_refused(errno))
		return -errno;
	/* 0 is the end of the file, or a file system that can't say how long a file is. */
	return copy_by_hand(j, at, n);
}

static int copy_range(struct copy_job *j, off_t at, off_t end)
{
	while (at < end) {
		off_t step = end - at < COPY_STEP_BYTES ? end - at : COPY_STEP_BYTES;
		ssize_t n;

		if ((j->cancel && *j->cancel) || (j->go_on && !j->go_on(j->arg)))
			return -ECANCELED;
		n = copy_some(j, at, (size_t)step);
		if (n <= 0)
			return (int)n;
		at += n;
	}
	return 0;
}

/* The next range of data at or after `at`; false when only a hole is left. */
static bool next_data(int fd, off_t at, off_t size, off_t *out_start, off_t *out_end)
{
	off_t start = lseek(fd, at, SEEK_DATA);
	off_t end;

	if (start < 0 && errno == ENXIO)
		return false;
	if (start < 0) {
		/* no such question here: all of it is data */
		*out_start = at;
		*out_end = size;
		return at < size;
	}
	end = lseek(fd, start, SEEK_HOLE);
	*out_start = start;
	*out_end = end < 0 || end > size ? size : end;
	return start < size;
}

static int copy_keeping_holes(struct copy_job *j, off_t size)
{
	off_t start, end = 0;

	while (end < size && next_data(j->from, end, size, &start, &end)) {
		int r = copy_range(j, start, end);

		if (r < 0)
			return r;
	}
	return ftruncate(j->to, size) < 0 ? -errno : 0;
}

static int try_clone(int from, int to)
{
	if (orch_fault(ORCH_FAULT_CLONE))
		return -EOPNOTSUPP;
	return ioctl(to, FICLONE, from) < 0 ? -errno : 0;
}

static int clone_or_copy(struct copy_job *j, enum orch_copy_how *out_how, struct orch_err *err)
{
	enum orch_copy_how how = ORCH_COPY_REFLINKED;
	struct stat st;
	int r;

	if (fstat(j->from, &st) < 0)
		return orch_err_sys(err, errno, "cannot copy a file");
	if (!S_ISREG(st.st_mode))
		return orch_err_sys(err, EINVAL, "cannot copy what is no regular file");
	r = try_clone(j->from, j->to);
	if (r < 0) {
		how = ORCH_COPY_COPIED;
		r = copy_keeping_holes(j, st.st_size);
		free(j->block);
	}
	if (r < 0)
		return orch_err_sys(err, -r, "cannot copy a file");
	if (out_how)
		*out_how = how;
	return 0;
}

int orch_fd_clone_or_copy(
    int from, int to, const atomic_bool *cancel, enum orch_copy_how *out_how, struct orch_err *err)
{
	struct copy_job job = {.from = from, .to = to, .cancel = cancel};

	return clone_or_copy(&job, out_how, err);
}

int orch_fd_clone_or_copy_while(
    int from, int to, orch_go_on_fn *go_on, void *arg, struct orch_err *err)
{
	struct copy_job job = {.from = from, .to = to, .go_on = go_on, .arg = arg};

	return clone_or_copy(&job, NULL, err);
}

int orch_map_fd(int fd, struct orch_map *out)
{
	struct stat st;
	void *addr;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -ENODEV;
	if (st.st_size == 0) {
		*out = (struct orch_map){.addr = NULL};
		return 0;
	}
	addr = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	if (addr == MAP_FAILED)
		return -errno;
	*out = (struct orch_map){.addr = addr,
	    .len = (size_t)st.st_size,
	    .guard = orch_guard_add(addr, (size_t)st.st_size, PROT_READ)};
	if (!out->guard) {
		munmap(addr, out->len);
		return -ENOMEM;
	}
	return 0;
}

int orch_map_open(int dirfd, const char *name, struct orch_map *out, struct orch_err *err)
{
	/* neither a fifo that nobody writes nor a link is waited for or followed */
	orch_auto(fd) int fd = openat(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	int r = fd < 0 ? -errno : orch_map_fd(fd, out);

	return r < 0 ? orch_err_sys(err, -r, "cannot map %s", name) : 0;
}

void orch_map_close(struct orch_map *m)
{
	union {
		const uint8_t *borrowed;
		void *addr;
	} u = {.borrowed = m->addr};

	orch_guard_remove(m->guard);
	if (u.addr)
		munmap(u.addr, m->len);
	*m = (struct orch_map){.addr = NULL};
}

bool orch_map_broken(const struct orch_map *m)
{
	return m->guard && orch_guard_broken(m->guard);
}
