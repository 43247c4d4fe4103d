/*
 * Whole trees of folders (declared in fd.h): making a chain of them, removing one with all that is
 * in it. No state; any thread.
 */
#include "core/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/stat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/path.h"

/* Each level costs a descriptor and a stack frame; deeper folders are moved up first. */
#define REMOVE_DEPTH_MAX 64

int orch_mkdirs(int dirfd, const char *path, mode_t mode, struct orch_err *err)
{
	orch_auto(free) char *copy = strdup(path);
	struct stat st;
	char *p = copy;

	if (!copy)
		return orch_err_sys(err, ENOMEM, "cannot make the folder %s", path);
	while (*p) {
		char saved;
		int code;

		p += strspn(p, "/");
		p += strcspn(p, "/");
		saved = *p;
		*p = '\0';
		code = mkdirat(dirfd, copy, mode) < 0 ? errno : 0;
		/* A folder that is there may be reported as EROFS or EACCES, too. */
		if (code && code != EEXIST && fstatat(dirfd, copy, &st, 0) < 0)
			return orch_err_sys(err, code, "cannot make the folder %s", copy);
		*p = saved;
	}
	if (fstatat(dirfd, path, &st, 0) < 0)
		return orch_err_sys(err, errno, "cannot make the folder %s", path);
	return S_ISDIR(st.st_mode) ? 0
				   : orch_err_sys(err, ENOTDIR, "cannot make the folder %s", path);
}

struct remove_job {
	int top; /* the folder to be removed: where deep ones are moved up to */
	unsigned long moved;
};

/* Gives the owner all permissions on a folder, without following a link to it. */
static int unlock_folder(int parent, const char *name)
{
	orch_auto(fd) int fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	char path[64];

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, 0700) < 0 ? -errno : 0;
}

/* A subfolder, never through a link and never across a mount point (-EXDEV). */
static int open_subfolder(int parent, const char *name)
{
	struct open_how how = {
	    .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
	    .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
	};
	long fd = syscall(SYS_openat2, parent, name, &how, sizeof(how));
	struct stat up, st;

	if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
		return fd < 0 ? -errno : (int)fd;
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(parent, &up) < 0 || fstat((int)fd, &st) < 0 || up.st_dev != st.st_dev) {
		close((int)fd);
		return -EXDEV;
	}
	return (int)fd;
}

static int open_unlocked(int parent, const char *name)
{
	int fd = open_subfolder(parent, name);

	if (fd == -EACCES && unlock_folder(parent, name) == 0)
		fd = open_subfolder(parent, name);
	return fd;
}

static int unlink_entry(int folder, const char *name, int flags)
{
	if (unlinkat(folder, name, flags) == 0 || errno == ENOENT)
		return 0;
	if (errno == EACCES && fchmod(folder, 0700) == 0 && unlinkat(folder, name, flags) == 0)
		return 0;
	return -errno;
}

static int remove_content(struct remove_job *j, int folder, unsigned depth);

static int move_up(struct remove_job *j, int folder, const char *name)
{
	char up[48];

	snprintf(up, sizeof(up), ".orch-deep-%d-%lu", (int)getpid(), j->moved++);
	if (renameat(folder, name, j->top, up) == 0)
		return 0;
	return errno == EACCES && unlock_folder(folder, name) == 0 &&
		       renameat(folder, name, j->top, up) == 0
		   ? 0
		   : -errno;
}

static int remove_folder(struct remove_job *j, int parent, const char *name, unsigned depth)
{
	int fd, r;

	if (depth >= REMOVE_DEPTH_MAX)
		return move_up(j, parent, name);
	fd = open_unlocked(parent, name);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = remove_content(j, fd, depth + 1);
	close(fd);
	return r < 0 ? r : unlink_entry(parent, name, AT_REMOVEDIR);
}

static int remove_entry(struct remove_job *j, int folder, const struct dirent *d, unsigned depth)
{
	int r;

	if (d->d_type != DT_DIR) {
		r = unlink_entry(folder, d->d_name, 0);
		if (r != -EISDIR)
			return r;
	}
	return remove_folder(j, folder, d->d_name, depth);
}

/* One pass over the entries; how many were removed (or moved up), or -errno. */
static long remove_pass(struct remove_job *j, int folder, unsigned depth)
{
	int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *d;
	long count = 0;
	int r = 0;

	if (!dir) {
		r = -errno;
		orch_fd_close(fd);
		return r;
	}
	while (r == 0 && (errno = 0, d = readdir(dir))) {
		if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
			continue;
		r = remove_entry(j, folder, d, depth);
		count++;
	}
	if (r == 0 && !d && errno)
		r = -errno;
	closedir(dir);
	return r < 0 ? r : count;
}

/* Some file systems skip entries while others are removed, and deep folders come up: go on until a
 * pass finds nothing. */
static int remove_content(struct remove_job *j, int folder, unsigned depth)
{
	long n;

	do
		n = remove_pass(j, folder, depth);
	while (n > 0);
	return (int)n;
}

static bool is_mount_point(int dirfd, const char *name)
{
	struct statx stx;

	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &stx) < 0)
		return false;
	return stx.stx_attributes & stx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT;
}

static int remove_top(int dirfd, const char *name)
{
	struct remove_job job = {.top = -1};
	struct stat st;
	int r;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISDIR(st.st_mode))
		return unlink_entry(dirfd, name, 0);
	if (is_mount_point(dirfd, name))
		return -EBUSY;
	job.top = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (job.top < 0 && errno == EACCES && unlock_folder(dirfd, name) == 0)
		job.top = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (job.top < 0)
		return errno == ENOENT ? 0 : -errno;
	r = remove_content(&job, job.top, 0);
	close(job.top);
	if (r < 0)
		return r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int orch_remove_tree(int dirfd, const char *name, struct orch_err *err)
{
	int r = remove_top(dirfd, name);

	return r < 0 ? orch_err_sys(err, -r, "cannot remove %s", name) : 0;
}
