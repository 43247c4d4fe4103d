/* Folders on which workspaces are mounted. Nothing here enters a mounted file system: its process
 * may be dead or stuck. */
#include "mountpoint.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "core/clock.h"
#include "core/fd.h"
#include "core/process.h"

#define UMOUNT_MS 10000

static bool is_fuse(const struct fsd_mountinfo *m)
{
	return strcmp(m->type, "fuse") == 0 || strncmp(m->type, "fuse.", 5) == 0;
}

static int detach_one(const char *path, struct orch_err *err)
{
	const char *argv[] = {"fusermount3", "-u", "-z", "-q", "--", path, NULL};

	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
		return 0;
	if (errno != EPERM)
		return orch_err_sys(err, errno, "detach the stale mount on %s", path);
	return orch_process_run(argv, NULL, orch_deadline_in_ms(UMOUNT_MS), err);
}

int fsd_mountpoint_detach(const char *path, struct orch_err *err)
{
	struct fsd_mountinfo m;
	int rc;

	for (int i = 0; i < 16; i++) { /* mounts may be stacked */
		rc = fsd_mountpoint_find(path, &m, err);
		if (rc <= 0)
			return rc;
		if (!is_fuse(&m))
			return 0; /* somebody else's */
		rc = detach_one(path, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int fsd_mountpoint_prepare(const char *path, struct orch_err *err)
{
	struct fsd_mountinfo m;
	int rc = fsd_mountpoint_detach(path, err);

	if (rc == 0)
		rc = fsd_mountpoint_find(path, &m, err);
	if (rc > 0)
		return orch_err_set(
		    err, EBUSY, "%s: a file system of type %s is mounted there", path, m.type);
	return rc < 0 ? rc : orch_mkdirs(AT_FDCWD, path, 0755, err);
}

void fsd_mountpoint_discard(const char *path)
{
	/* Not empty, or mounted on: it stays. */
	if (rmdir(path) < 0)
		return;
}

/* ---- a path that a peer gave; in a child that has the peer's ids, system calls only ---- */

struct check {
	const char *path;
	uid_t uid;
};

static int is_empty(int fd)
{
	char buf[1024];
	unsigned entries = 0;
	long n;

	for (;;) {
		n = syscall(SYS_getdents64, fd, buf, sizeof(buf));
		if (n <= 0)
			return n < 0 ? -errno : 1;
		for (long at = 0; at < n;) {
			uint16_t reclen;

			memcpy(&reclen, buf + at + 16, sizeof(reclen));
			entries++;
			at += reclen;
		}
		if (entries > 2) /* . and .. */
			return 0;
	}
}

static int check_folder(void *arg, char *out, size_t cap)
{
	const struct check *c = arg;
	char link[64];
	struct stat st;
	ssize_t n;
	int fd = open(c->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (c->uid != 0 && st.st_uid != c->uid)
		return -EPERM;
	rc = is_empty(fd);
	if (rc <= 0)
		return rc < 0 ? rc : -ENOTEMPTY;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, cap - 1);
	if (n < 0)
		return -errno;
	if ((size_t)n == cap - 1)
		return -ENAMETOOLONG;
	out[n] = '\0';
	return 0;
}

int fsd_mountpoint_check(
    const struct fsd_peer *peer, const char *path, char *out, size_t cap, struct orch_err *err)
{
	struct check c = {.path = path, .uid = peer->uid};
	int rc;

	if (path[0] != '/')
		return orch_err_set(err, EINVAL, "'at' is not an absolute path: %s", path);
	rc = fsd_peer_actable(peer, err);
	if (rc < 0)
		return rc;
	rc = fsd_peer_run(peer, check_folder, &c, out, cap, err);
	if (rc == -EPERM)
		return orch_err_set(
		    err, EPERM, "%s does not belong to user %u", path, (unsigned)peer->uid);
	if (rc == -ENOTEMPTY)
		return orch_err_set(err, ENOTEMPTY, "%s is not empty", path);
	if (rc < 0)
		return orch_err_sys(err, -rc, "%s", path);
	return 0;
}

/* ---- who uses a mount ---- */

#define USERS_MAX 5

static bool below(const char *p, size_t n, const char *path)
{
	size_t len = strlen(path);

	return n >= len && memcmp(p, path, len) == 0 && (n == len || p[len] == '/');
}

static bool link_is_below(int dir, const char *name, const char *path)
{
	char buf[4096];
	ssize_t n = readlinkat(dir, name, buf, sizeof(buf));

	return n > 0 && below(buf, (size_t)n, path);
}

static bool has_open(int proc, const char *path)
{
	int dir = openat(proc, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = dir < 0 ? NULL : fdopendir(dir);
	bool found = false;

	if (!d) {
		orch_fd_close(dir);
		return false;
	}
	for (struct dirent *e; !found && (e = readdir(d));)
		found = link_is_below(dirfd(d), e->d_name, path);
	closedir(d);
	return found;
}

static bool maps(int proc, const char *path)
{
	orch_auto(buf) struct orch_buf b = ORCH_BUF_INIT;

	return orch_file_load(proc, "maps", &b, NULL) == 0 && b.len &&
	       memmem(b.data, b.len, path, strlen(path)) != NULL;
}

static bool uses(int proc, const char *path)
{
	return link_is_below(proc, "cwd", path) || link_is_below(proc, "root", path) ||
	       link_is_below(proc, "exe", path) || has_open(proc, path) || maps(proc, path);
}

static void tell_user(int proc, const char *pid, unsigned n, struct orch_buf *out)
{
	orch_auto(buf) struct orch_buf name = ORCH_BUF_INIT;
	const char *text = "?";

	if (orch_file_load(proc, "comm", &name, NULL) == 0 && name.len) {
		name.data[strcspn((char *)name.data, "\n")] = '\0';
		text = (const char *)name.data;
	}
	(void)orch_buf_printf(out, "%s%s (pid %s)", n ? ", " : ": in use by ", text, pid);
}

void fsd_mountpoint_users(const char *path, struct orch_buf *out)
{
	DIR *d = opendir("/proc");
	unsigned n = 0;

	if (!d)
		return;
	for (struct dirent *e; n < USERS_MAX && (e = readdir(d));) {
		orch_auto(fd) int proc = -1;

		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		proc = openat(dirfd(d), e->d_name, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (proc >= 0 && uses(proc, path))
			tell_user(proc, e->d_name, n++, out);
	}
	closedir(d);
}
